"""Spanloom: a streaming sessionizer for OTLP spans."""

__version__ = "0.1.0"
