"""The bound traces of one partition: the session of each, and when it was last used.

There is one for each trace of an hour and more, so they are kept as their changelog has them: what was
bound or used since the last checkpoint is a segment, one record, which never changes and goes as a whole, when
no binding in it is in force any more: all were used again since, and are in a later one, or forgotten.

`_bindings.pyx` does the same compiled, with equal bytes: a binding takes 100 bytes there, and 300 here.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from services.sessionizer import resolve_state as state
from services.sessionizer.engine.watermark import NO_WATERMARK
from services.sessionizer.resolve_state import Binding
from services.shared.model.session_key import SessionKey
from services.shared.records.arrivals import Arrival, arrivals
from services.shared.records.trace_spans import TracesRecord, decode

SEGMENT_BYTES = 128 << 10
"""A larger segment is full."""

SLACK = 4_096
"""So many bindings that are not in force are kept before segments are written anew without them."""

_TOMBSTONE_BYTES = 40  # about, for the backlog
_BINDING_BYTES = 28

Bound = tuple[bytes, SessionKey, int]
"""A trace, its session, and when it was told."""


@dataclass(slots=True, eq=False)
class _Segment:
    key: bytes  # in the changelog
    data: bytes
    count: int
    in_force: int
    passed: int = 0  # so many of the first ones are over


class Bindings:
    """A binding is forgotten when the watermark is greater than its last use + `kept` (ns). Not thread-safe.

    What was bound or used since the last `store` is open: it may change, and has no bytes yet.
    """

    def __init__(self, kept: int, *, segment_bytes: int = SEGMENT_BYTES, slack: int = SLACK) -> None:
        self._kept, self._segment_bytes, self._slack = kept, segment_bytes, slack
        self._places: dict[bytes, tuple[_Segment | None, int]] = {}  # None: open
        self._segments: dict[bytes, _Segment] = {}  # by key, the oldest first
        self._queue: list[tuple[int, bytes]] = []  # a heap: when the first one not over was used, and its segment
        self._kept_in_segments = 0  # bindings that are not passed, in force or not
        self._number = 0  # of the next segment
        self._changes: dict[bytes, bytes | None] = {}
        self._size = 0
        self._open: list[Binding] = []
        self._names = bytearray()
        self._name, self._name_at = b"", 0  # the last one
        self._least = 0  # last use in the open segment, or earlier

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size(self) -> int:
        """About how many bytes `store` would give."""
        return self._size + len(self._open) * _BINDING_BYTES + len(self._names)

    # Recovery

    def load(self, key: bytes, data: bytes) -> None:
        """A segment from the changelog. They come in the order in which they were written, and only before `loaded`."""
        bindings, names = state.decode_segment(key, data)
        self._segments[key] = _Segment(key, state.encode_segment(bindings, names), len(bindings), 0)

    def unload(self, key: bytes) -> None:
        """A tombstone from the changelog; nothing need be there."""
        self._segments.pop(key, None)

    def loaded(self, watermark: int) -> None:
        """All segments are loaded. What is over by now is forgotten already."""
        limit = self._limit(watermark)
        for segment in self._segments.values():
            for place in range(segment.count):
                trace_id, since, _ = state.binding_at(segment.data, place)
                if since < limit:
                    segment.passed += 1
                    continue
                before = self._places.get(trace_id, (None, 0))[0]
                if before is not None:
                    before.in_force -= 1
                self._places[trace_id] = segment, place
                segment.in_force += 1
            self._kept_in_segments += segment.count - segment.passed
            number = state.segment_number(segment.key)
            if number is not None:
                self._number = max(self._number, number + 1)
        for segment in list(self._segments.values()):
            if segment.in_force:
                self._file(segment)
            else:
                self._drop(segment)

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """All segments. What is open is missing."""
        return ((segment.key, segment.data) for segment in self._segments.values())

    # Content

    def take(self, record: bytes, watermark: int, waits: Container[bytes]) -> tuple[list[Bound], list[Arrival]]:
        """Bind the traces of a record of `trace_spans` that are not bound yet, but for those that wait.

        These are handed out, in their order, and so are the spans without a session. Raises what `decode` raises.
        """
        content = decode(record)
        assert isinstance(content, TracesRecord)
        found: list[Bound] = []
        for group in content.bindings:
            time = max(watermark, group.record_time)
            name = group.key.encode()
            for trace_id in group.traces:
                if trace_id in waits:
                    found.append((trace_id, group.key, time))
                elif trace_id not in self._places:
                    self._add(trace_id, time, name)
        return found, arrivals(content.waiting)

    def session(self, trace_id: bytes) -> SessionKey | None:
        place = self._places.get(trace_id)
        return None if place is None else SessionKey.decode(self._read(*place)[1])

    def bind(self, trace_id: bytes, key: SessionKey, time: int) -> None:
        """The first binding of a trace wins: it must not be bound."""
        assert trace_id not in self._places
        self._add(trace_id, time, key.encode())

    def use(self, trace_id: bytes, time: int) -> None:
        """Spans of this trace, which is bound, took its session over."""
        segment, place = self._places[trace_id]
        binding, name = self._read(segment, place)
        if time <= binding.since:
            return
        if segment is None:
            self._open[place] = binding._replace(since=time)
        else:
            self._add(trace_id, time, name)
            self._leave(segment)

    def expire(self, watermark: int, most: int) -> int:
        """Look at `most` bindings that are over, and forget those in force. 0: there may be more; else all are gone."""
        limit = self._limit(watermark)
        if self._open and self._least < limit:
            self._seal()
        while most and self._queue and self._queue[0][0] < limit:
            segment = self._segments.get(heappop(self._queue)[1])
            if segment is not None:
                most -= self._pass(segment, limit, most)
        return most

    def _pass(self, segment: _Segment, limit: int, most: int) -> int:
        """How many were looked at."""
        begin = segment.passed
        while segment.passed < min(segment.count, begin + most):
            trace_id, since, _ = state.binding_at(segment.data, segment.passed)
            if since >= limit:
                break
            if self._places.get(trace_id) == (segment, segment.passed):
                del self._places[trace_id]
                segment.in_force -= 1
            segment.passed += 1
            self._kept_in_segments -= 1
        if segment.in_force:
            self._file(segment)
        else:
            self._drop(segment)
        return segment.passed - begin

    def _limit(self, watermark: int) -> int:
        """What was used before this is over."""
        return watermark if watermark == NO_WATERMARK else watermark - self._kept

    def _read(self, segment: _Segment | None, place: int) -> tuple[Binding, bytes]:
        if segment is None:
            binding = self._open[place]
            return binding, state.name_at(self._names, binding.name_at)
        binding = state.binding_at(segment.data, place)
        return binding, state.name_at(state.names_of(segment.data), binding.name_at)

    # Segments

    def _add(self, trace_id: bytes, since: int, name: bytes) -> None:
        """To what is open. A name that is the last one is not written again."""
        if len(self._open) * _BINDING_BYTES + len(self._names) >= self._segment_bytes:
            self._seal()
        if name != self._name or not self._names:
            self._name, self._name_at = name, len(self._names)
            self._names += state.pack_name(name)
        self._least = min(self._least, since) if self._open else since
        self._places[trace_id] = None, len(self._open)
        self._open.append(Binding(trace_id, since, self._name_at))

    def _seal(self) -> None:
        """What is open is a segment, sorted by last use. All of it is in force."""
        bindings = sorted(self._open, key=_since)
        key = state.segment_key(self._number)
        segment = _Segment(key, state.encode_segment(bindings, self._names), len(bindings), len(bindings))
        for place, binding in enumerate(bindings):
            self._places[binding.trace_id] = segment, place
        self._segments[key] = segment
        self._changes[key] = segment.data
        self._size += len(segment.data)
        self._kept_in_segments += segment.count
        self._number += 1
        self._open, self._names = [], bytearray()
        self._file(segment)

    def _file(self, segment: _Segment) -> None:
        heappush(self._queue, (state.binding_at(segment.data, segment.passed).since, segment.key))

    def _leave(self, segment: _Segment) -> None:
        """One of its bindings is in a later segment now."""
        segment.in_force -= 1
        if not segment.in_force:
            self._drop(segment)

    def _drop(self, segment: _Segment) -> None:
        self._kept_in_segments -= segment.count - segment.passed
        del self._segments[segment.key]
        if self._changes.pop(segment.key, None) is None:  # else it was never written
            self._changes[segment.key] = None
            self._size += _TOMBSTONE_BYTES

    # Checkpoints

    def store(self) -> list[tuple[bytes, bytes | None]]:
        """What changed since the last call, as changelog entries."""
        self._tidy()
        if self._open:
            self._seal()
        changes, self._changes, self._size = self._changes, {}, 0
        return list(changes.items())

    def _tidy(self) -> None:
        """Write the oldest segments anew when most bindings are not in force, about as many as were added."""
        room = len(self._open) + self._slack
        while room > 0 and self._kept_in_segments > 2 * len(self._places) + self._slack:
            segment = next(iter(self._segments.values()))
            room -= segment.count
            for place in range(segment.passed, segment.count):
                binding, name = self._read(segment, place)
                if self._places.get(binding.trace_id) == (segment, place):
                    self._add(binding.trace_id, binding.since, name)
            self._drop(segment)


def _since(binding: Binding) -> int:
    return binding.since
