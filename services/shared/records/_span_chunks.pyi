from services.shared.records.session_spans import SpanGroup
from services.shared.records.span_chunks import Total as Total
from services.shared.records.trace_spans import TraceGroup

class ItemChunks:
    size: int

    def __init__(self, total: Total | None = None) -> None: ...
    def take(self) -> list[bytes]: ...

class SpanChunks(ItemChunks):
    def add(self, group: SpanGroup) -> None: ...

class TraceChunks(ItemChunks):
    def add(self, group: TraceGroup) -> None: ...
