"""Rollups of very many sessions, as `window` publishes them: those of a thousand, copied under other names."""

import time
from collections.abc import Iterable, Iterator
from itertools import cycle

import orjson

from services.sessionizer.stage import Output
from tests.bench import flow
from tests.bench.lane import Lane
from tests.bench.load import Requests, session_id, trace_id
from tests.support.otlp import T0

_SESSIONS = 1_000
_SPAN_BYTES, _TEXT = 500, 100
_TURNS = 2
_WINDOW, _ID_LENGTH = b'"window_id":"', 16
_ODD = 0x9E3779B97F4A7C15  # ids of windows look like hashes

Record = tuple[bytes | None, bytes]
"""Key and value."""


def made_rollups(number: int) -> Iterator[Record]:
    """So many rollups with their turns, each of another session of ten spans in two turns."""
    published = _published()
    names = [orjson.loads(value)["session_id"] for _, value in published]
    for copy, ((key, value), name) in zip(range(number), cycle(zip(published, names, strict=True)), strict=False):
        yield _renamed(key, value, int(name.rpartition("-")[2]), copy)


def _published() -> list[tuple[bytes, bytes]]:
    """The rollup of each session that has its turns."""
    largest: dict[bytes, bytes] = {}

    def note(outputs: Iterable[Output]) -> None:
        for output in outputs:
            key = output.key or b""
            largest[key] = max(largest.get(key, b""), output.value, key=len)

    now = time.time_ns()  # noqa: TID251 - ClickHouse deletes what is old
    lane = Lane(note, now)
    for value in flow.encoded(flow.filling(_SESSIONS), Requests(_SPAN_BYTES, text=_TEXT), now - T0 - flow.GAP):
        lane.take(value)
    lane.flush()
    return list(largest.items())


def _renamed(key: bytes, value: bytes, old: int, new: int) -> Record:
    """The same rollup of another session: its name, its traces and its window differ."""
    name, renamed = session_id(old).encode(), session_id(new).encode()
    value = value.replace(name, renamed)
    for turn in range(_TURNS):
        value = value.replace(trace_id(old, turn).hex().encode(), trace_id(new, turn).hex().encode())
    before, found, rest = value.partition(_WINDOW)
    assert found, "a rollup names its window"
    window = (int(rest[:_ID_LENGTH], 16) + new * _ODD) % 2 ** (4 * _ID_LENGTH)
    return key.replace(name, renamed), b"%b%b%016x%b" % (before, found, window, rest[_ID_LENGTH:])
