from collections import Counter
from collections.abc import Sequence

from services.shared.otlp.rules import Rules
from services.shared.records._span_chunks import SpanChunks, TraceChunks

class Scanner:
    latest_end: int | None

    def __init__(
        self, rules: Rules, session_spans: Sequence[SpanChunks], trace_spans: Sequence[TraceChunks]
    ) -> None: ...
    def scan(self, value: bytes, record_time: int) -> bool: ...
    def take_counts(self) -> Counter[tuple[str, str]]: ...
