"""Spans on their way to `session_spans` and `trace_spans`, in the partitions where they belong."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from services.sessionizer.stage import Output
from services.shared.model.session_key import SessionKey
from services.shared.records import session_spans, span_chunks, trace_spans
from services.shared.records.session_spans import SpanGroup, WatermarkRecord
from services.shared.records.trace_spans import BindingGroup, TraceGroup, WaitingGroup, WaitingSpan, trace_partition

try:
    from services.shared.records._span_chunks import SpanChunks, Total, TraceChunks
except ImportError:  # not built, or switched off
    SpanChunks, TraceChunks = span_chunks.SpanChunks, span_chunks.TraceChunks  # type: ignore[misc,assignment]  # equal
    Total = span_chunks.Total  # type: ignore[misc]  # equal

_MAX_KNOWN_PARTITIONS = 100_000

_Group = TypeVar("_Group")
_Added_contra = TypeVar("_Added_contra", contravariant=True)


class Chunks(Protocol[_Added_contra]):
    """What goes to one partition (see `span_chunks`)."""

    @property
    def size(self) -> int: ...

    def add(self, group: _Added_contra, /) -> None: ...

    def take(self) -> list[bytes]: ...


class _Partitions(Generic[_Group]):
    """Collects for all partitions of a topic."""

    def __init__(self, topic: str, partitions: int, chunks: Callable[[span_chunks.Total], Chunks[_Group]]) -> None:
        self._total = Total()
        self._topic, self._chunks = topic, [chunks(self._total) for _ in range(partitions)]
        self.partitions = partitions

    @property
    def chunks(self) -> Sequence[Chunks[_Group]]:
        """By partition."""
        return self._chunks

    @property
    def size(self) -> int:
        """About how many bytes `take` would give."""
        return self._total.bytes

    def take(self) -> list[Output]:
        """Everything added since the last call."""
        return [
            Output(self._topic, target, None, value)
            for target, chunks in enumerate(self._chunks)
            for value in chunks.take()
        ]

    def _everywhere(self, value: bytes) -> list[Output]:
        return [Output(self._topic, target, None, value) for target in range(len(self._chunks))]


class SessionSpansOutput(_Partitions[SpanGroup]):
    """What goes to `session_spans`."""

    def __init__(
        self, topic: str, partitions: int, *, chunks: Callable[[span_chunks.Total], Chunks[SpanGroup]] = SpanChunks
    ) -> None:
        super().__init__(topic, partitions, chunks)
        self._known: dict[SessionKey, int] = {}

    def add(self, group: SpanGroup) -> None:
        self.chunks_of(group.key).add(group)

    def chunks_of(self, key: SessionKey) -> Chunks[SpanGroup]:
        """Of its partition."""
        return self._chunks[self._partition_of(key)]

    def watermarks(self, record: WatermarkRecord) -> list[Output]:
        """To every partition; they belong after the spans that they speak about."""
        return self._everywhere(session_spans.encode_watermark(record))

    def _partition_of(self, key: SessionKey) -> int:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_KNOWN_PARTITIONS:
                self._known.clear()
            found = self._known[key] = key.partition(len(self._chunks))
        return found


class TraceSpansOutput(_Partitions[TraceGroup]):
    """What goes to `trace_spans`."""

    def __init__(
        self, topic: str, partitions: int, *, chunks: Callable[[span_chunks.Total], Chunks[TraceGroup]] = TraceChunks
    ) -> None:
        super().__init__(topic, partitions, chunks)

    def add(
        self, record_time: int, bindings: dict[bytes, SessionKey], waiting: Iterable[tuple[str, WaitingSpan]]
    ) -> None:
        """The traces that one record of `otlp_spans` binds, and its spans that wait, with their projects."""
        count = len(self._chunks)
        traces: dict[tuple[int, SessionKey], list[bytes]] = {}
        for trace_id, key in bindings.items():
            traces.setdefault((trace_partition(trace_id, count), key), []).append(trace_id)
        for (target, key), found in traces.items():
            self._chunks[target].add(BindingGroup(key, record_time, tuple(found)))
        spans: dict[tuple[int, str], list[WaitingSpan]] = {}
        for project, span in waiting:
            spans.setdefault((trace_partition(span.facts.session_trace, count), project), []).append(span)
        for (target, project), held in spans.items():
            self._chunks[target].add(WaitingGroup(project, record_time, tuple(held)))

    def watermarks(self, record: WatermarkRecord) -> list[Output]:
        """To every partition; they belong after the spans that they speak about."""
        return self._everywhere(trace_spans.encode_watermark(record))
