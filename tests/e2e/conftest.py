"""Fixtures of whole installations."""

from tests.support.worker_group import start_group

__all__ = ["start_group"]
