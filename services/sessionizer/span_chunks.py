"""Groups of spans on their way to one partition of a topic of ours: few records, none too large."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from services.shared.model.span import Dimensions, SessionEnd, SpanFacts
from services.shared.records.session_spans import SpanGroup, encode_spans
from services.shared.records.trace_spans import BindingGroup, TraceGroup, WaitingGroup, WaitingSpan, encode_traces

MAX_RECORD_BYTES = 512 << 10
"""No record of ours is larger: half of what a Kafka broker takes by default."""

TARGET_BYTES = 256 << 10
"""Estimated size at which a record is cut. Estimates may be out by half and the record still fits."""

_ITEM_BYTES = 150
_GROUP_BYTES = 40

_Group = TypeVar("_Group")


class Chunks(Generic[_Group]):
    """Collects groups in log order and hands them out as encoded records, in that order."""

    def __init__(self) -> None:
        self._groups: list[tuple[_Group, int]] = []
        self.size = 0
        """About how many bytes the records will have."""

    def add(self, group: _Group) -> None:
        size = self.estimate(group)
        self.size += size
        self._groups.append((group, size))

    def take(self) -> list[bytes]:
        """Everything added since the last call. Nothing added: no records."""
        groups, self._groups, self.size = self._groups, [], 0
        records: list[bytes] = []
        chunk: list[_Group] = []
        room = TARGET_BYTES
        for group, size in groups:
            if chunk and size > room:
                records.extend(self._records(chunk))
                chunk, room = [], TARGET_BYTES
            chunk.append(group)
            room -= size
        if chunk:
            records.extend(self._records(chunk))
        return records

    def _records(self, groups: list[_Group]) -> Iterator[bytes]:
        """One record, or several where one would be too large: halves, down to single items."""
        value = self.encode(groups)
        if len(value) <= MAX_RECORD_BYTES:
            yield value
            return
        middle = len(groups) // 2
        for half in (groups[:middle], groups[middle:]) if middle else map(_alone, self.halves(groups[0])):
            yield from self._records(half)

    @abstractmethod
    def estimate(self, group: _Group) -> int:
        """About the encoded size."""

    @abstractmethod
    def encode(self, groups: Iterable[_Group]) -> bytes:
        """The value of one record."""

    @abstractmethod
    def halves(self, group: _Group) -> tuple[_Group, _Group]:
        """The group as two, of which neither is empty. What has one item always fits a record."""


class SpanChunks(Chunks[SpanGroup]):
    """For a partition of `session_spans`."""

    def estimate(self, group: SpanGroup) -> int:
        names = len(group.key.project) + len(group.key.session_id)
        return _GROUP_BYTES + names + _estimate_items(group.items)

    def encode(self, groups: Iterable[SpanGroup]) -> bytes:
        return encode_spans(groups)

    def halves(self, group: SpanGroup) -> tuple[SpanGroup, SpanGroup]:
        first, second = _halves(group.items)
        return SpanGroup(group.key, group.record_time, first), SpanGroup(group.key, group.record_time, second)


class TraceChunks(Chunks[TraceGroup]):
    """For a partition of `trace_spans`."""

    def estimate(self, group: TraceGroup) -> int:
        if isinstance(group, BindingGroup):
            names = len(group.key.project) + len(group.key.session_id)
            return _GROUP_BYTES + names + sum(map(len, group.traces))
        previous = sum(len(span.previous_id) for span in group.spans)
        return _GROUP_BYTES + len(group.project) + previous + _estimate_items(span.facts for span in group.spans)

    def encode(self, groups: Iterable[TraceGroup]) -> bytes:
        return encode_traces(groups)

    def halves(self, group: TraceGroup) -> tuple[TraceGroup, TraceGroup]:
        if isinstance(group, BindingGroup):
            one, other = _halves(group.traces)
            return BindingGroup(group.key, group.record_time, one), BindingGroup(group.key, group.record_time, other)
        return halves_of_waiting(group)


def halves_of_waiting(group: WaitingGroup) -> tuple[WaitingGroup, WaitingGroup]:
    """The group as two, of which neither is empty."""
    first, second = _halves(group.spans)
    return WaitingGroup(group.project, group.record_time, first), WaitingGroup(group.project, group.record_time, second)


_Item = TypeVar("_Item", SpanFacts | SessionEnd, WaitingSpan, bytes)


def _halves(items: tuple[_Item, ...]) -> tuple[tuple[_Item, ...], tuple[_Item, ...]]:
    assert len(items) > 1, "the decoder bounds every part of a span: one item always fits"
    middle = len(items) // 2
    return items[:middle], items[middle:]


def _alone(group: _Group) -> list[_Group]:
    return [group]


def _estimate_items(items: Iterable[SpanFacts | SessionEnd]) -> int:
    """Characters count as bytes, dimensions once for each run of equal ones."""
    size = 0
    last: Dimensions | None = None
    for item in items:
        size += _ITEM_BYTES
        if isinstance(item, SpanFacts):
            size += len(item.input) + len(item.output) + len(item.error) + 9 * len(item.ends_at)
            if item.annotations:
                size += sum(_ITEM_BYTES + len(each.explanation) + len(each.metadata) for each in item.annotations)
            if item.dimensions is not last:
                last = item.dimensions
                size += sum(len(name) + len(text) for name, text in (*last.session, *last.metadata))
                size += sum(map(len, last.tags))
    return size
