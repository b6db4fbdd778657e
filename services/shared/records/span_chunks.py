"""Groups of spans on their way to one partition of a topic of ours: few records, none too large.

`_span_chunks.pyx` does the same compiled, and takes items that are packed already; records are equal to the byte.
"""

from abc import abstractmethod
from typing import Generic, TypeVar

from services.shared.model.span import Dimensions, SessionEnd, SpanFacts
from services.shared.records import session_spans, trace_spans
from services.shared.records.packed import array_of, pack
from services.shared.records.session_spans import SpanGroup, pack_dimensions, pack_item
from services.shared.records.trace_spans import BindingGroup, TraceGroup, WaitingGroup

MAX_RECORD_BYTES = 512 << 10
"""No record of ours is larger: half of what a Kafka broker takes by default."""

TARGET_BYTES = 128 << 10
"""A record is cut behind the item that brings it here. The largest item with its dimensions has 350 KB."""

_Group = TypeVar("_Group")


class Total:
    """What several chunks hold together."""

    def __init__(self) -> None:
        self.bytes = 0


class Chunks(Generic[_Group]):
    """Collects groups in log order and hands them out as encoded records, in that order.

    `total`: counts what these and others hold.
    """

    def __init__(self, total: Total | None = None) -> None:
        self._total = total or Total()
        self._records: list[bytes] = []
        self._dimensions: dict[Dimensions, int] = {}
        self._table: list[bytes] = []
        self._groups: list[bytes] = []
        self._size = 0  # of the record that is being filled, but for a few bytes
        self.size = 0
        """About how many bytes the records will have."""

    @abstractmethod
    def add(self, group: _Group) -> None:
        """Behind all that was added before. What is too large for one record goes on in the next."""

    @abstractmethod
    def _record(self) -> bytes:
        """Of all that was collected."""

    def take(self) -> list[bytes]:
        """Everything added since the last call. Nothing added: no records."""
        if self._size:
            self._cut()
        records, self._records = self._records, []
        self._total.bytes -= self.size
        self.size = 0
        return records

    @property
    def _is_full(self) -> bool:
        return self._size >= TARGET_BYTES

    def _cut(self) -> None:
        self._records.append(self._record())
        self._dimensions, self._table, self._groups, self._size = {}, [], [], 0

    def _count(self, packed: bytes) -> bytes:
        self._size += len(packed)
        self.size += len(packed)
        self._total.bytes += len(packed)
        return packed

    def _item(self, item: SpanFacts | SessionEnd) -> bytes:
        packed = self._count(pack(pack_item(item, self._dimensions)))
        if len(self._dimensions) > len(self._table):
            assert isinstance(item, SpanFacts)
            self._table.append(self._count(pack(pack_dimensions(item.dimensions))))
        return packed


class SpanChunks(Chunks[SpanGroup]):
    """For a partition of `session_spans`."""

    def add(self, group: SpanGroup) -> None:
        project, session_id = group.key
        head = [pack(project), pack(session_id), pack(group.record_time)]
        items: list[bytes] = []
        for item in group.items:
            if not items:
                self._count(b"".join(head))
            items.append(self._item(item))
            if self._is_full:
                self._groups.append(array_of([*head, array_of(items)]))
                self._cut()
                items = []
        if items:
            self._groups.append(array_of([*head, array_of(items)]))

    def _record(self) -> bytes:
        return session_spans.assemble(self._table, self._groups)


class TraceChunks(Chunks[TraceGroup]):
    """For a partition of `trace_spans`."""

    def __init__(self, total: Total | None = None) -> None:
        super().__init__(total)
        self._bindings: list[bytes] = []

    def add(self, group: TraceGroup) -> None:
        if isinstance(group, BindingGroup):
            self._bind(group)
        else:
            self._wait(group)

    def _bind(self, group: BindingGroup) -> None:
        project, session_id = group.key
        head = [pack(project), pack(session_id), pack(group.record_time)]
        traces: list[bytes] = []
        for trace_id in group.traces:
            if not traces:
                self._count(b"".join(head))
            traces.append(self._count(trace_id))
            if self._is_full:
                self._bindings.append(array_of([*head, pack(b"".join(traces))]))
                self._cut()
                traces = []
        if traces:
            self._bindings.append(array_of([*head, pack(b"".join(traces))]))

    def _wait(self, group: WaitingGroup) -> None:
        head = [pack(group.project), pack(group.record_time)]
        items: list[bytes] = []
        previous: dict[int, str] = {}
        for span in group.spans:
            if not items:
                self._count(b"".join(head))
            if span.previous_id:
                previous[len(items)] = span.previous_id
                self._count(pack(span.previous_id))
            items.append(self._item(span.facts))
            if self._is_full:
                self._groups.append(array_of([*head, array_of(items), pack(previous)]))
                self._cut()
                items, previous = [], {}
        if items:
            self._groups.append(array_of([*head, array_of(items), pack(previous)]))

    def _cut(self) -> None:
        super()._cut()
        self._bindings = []

    def _record(self) -> bytes:
        return trace_spans.assemble(self._bindings, self._table, self._groups)
