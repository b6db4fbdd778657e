"""Groups of spans on their way to one partition of `session_spans`: few records, none too large."""

from collections.abc import Iterator

from services.shared.model.span import Dimensions, SessionEnd, SpanFacts
from services.shared.records.session_spans import SpanGroup, encode_spans

MAX_RECORD_BYTES = 512 << 10
"""No record of ours is larger: half of what a Kafka broker takes by default."""

TARGET_BYTES = 256 << 10
"""Estimated size at which a record is cut. Estimates may be out by half and the record still fits."""

_ITEM_BYTES = 150
_GROUP_BYTES = 40


class SpanChunks:
    """Collects groups in log order and hands them out as encoded records, in that order."""

    def __init__(self) -> None:
        self._groups: list[tuple[SpanGroup, int]] = []
        self.size = 0
        """About how many bytes the records will have."""

    def add(self, group: SpanGroup) -> None:
        size = estimate(group)
        self.size += size
        self._groups.append((group, size))

    def take(self) -> list[bytes]:
        """Everything added since the last call. Nothing added: no records."""
        groups, self._groups, self.size = self._groups, [], 0
        records: list[bytes] = []
        chunk: list[SpanGroup] = []
        room = TARGET_BYTES
        for group, size in groups:
            if chunk and size > room:
                records.extend(_encode(chunk))
                chunk, room = [], TARGET_BYTES
            chunk.append(group)
            room -= size
        if chunk:
            records.extend(_encode(chunk))
        return records


def estimate(group: SpanGroup) -> int:
    """About the encoded size: characters count as bytes, dimensions once for each run of equal ones."""
    size = _GROUP_BYTES + len(group.key.project) + len(group.key.session_id)
    last: Dimensions | None = None
    for item in group.items:
        size += _ITEM_BYTES
        if isinstance(item, SpanFacts):
            size += len(item.input) + len(item.output) + len(item.error) + 9 * len(item.ends_at)
            if item.dimensions is not last:
                last = item.dimensions
                size += sum(len(name) + len(text) for name, text in (*last.session, *last.metadata))
                size += sum(map(len, last.tags))
    return size


def _encode(groups: list[SpanGroup]) -> Iterator[bytes]:
    """One record, or several where one would be too large: halves, down to single items."""
    value = encode_spans(groups)
    if len(value) <= MAX_RECORD_BYTES:
        yield value
        return
    for half in _halves(groups):
        yield from _encode(half)


def _halves(groups: list[SpanGroup]) -> tuple[list[SpanGroup], list[SpanGroup]]:
    if len(groups) > 1:
        middle = len(groups) // 2
        return groups[:middle], groups[middle:]
    group = groups[0]
    assert len(group.items) > 1, "the decoder bounds every part of a span: one item always fits"
    middle = len(group.items) // 2
    return [_part(group, group.items[:middle])], [_part(group, group.items[middle:])]


def _part(group: SpanGroup, items: tuple[SpanFacts | SessionEnd, ...]) -> SpanGroup:
    return SpanGroup(group.key, group.record_time, items)
