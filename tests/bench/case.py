"""What is measured: one kind of traffic a case."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """`spans` spans of about `span_bytes` each, in records of `record_spans` and sessions of `session_spans`."""

    spans: int
    span_bytes: int = 2_600
    record_spans: int = 500
    session_spans: int = 10

    @property
    def name(self) -> str:
        size = f"{self.span_bytes / 1_000:g} KB"
        return f"{size}, {self.record_spans} a record, {self.session_spans:,} a session"


LARGE_SPAN_RECORD = 40
"""Spans of 20 KB in one record: a Collector's batch ends at 900,000 bytes (deploy/collector)."""

_RECORD_SPANS = {500: (500, 8), 2_600: (500, 8), 20_000: (LARGE_SPAN_RECORD, 8)}
_SPANS = {500: 1_000_000, 2_600: 500_000, 20_000: 100_000}

REFERENCE = Case(500_000)
"""The case that others are compared with."""

QUICK = (
    Case(400_000),
    Case(150_000, record_spans=8),
    Case(300_000, span_bytes=500),
)
"""The reference, and what changes when one thing differs: as much as two minutes allow."""

FULL = tuple(
    Case(spans, span_bytes, record_spans, session_spans)
    for span_bytes, spans in _SPANS.items()
    for record_spans in _RECORD_SPANS[span_bytes]
    for session_spans in (10, 100, 10_000)
)
"""Every combination."""
