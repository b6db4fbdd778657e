"""States of many open sessions in one process, without Kafka: memory, CPU a span, pauses, recovery.

Records go through `route` and `window` of one partition, as the worker gives them. The states are those of `window`.
"""

import ctypes
import gc
import time
from collections.abc import Iterator
from functools import partial

from psutil import Process

from tests.bench import flow
from tests.bench.alone import alone
from tests.bench.figures import MILLION, Figure, per_million, percentile
from tests.bench.lane import Lane
from tests.bench.load import TURN_SPANS, Requests
from tests.bench.results import Measurement

_SPAN_BYTES = 500
_TEXT = 100  # characters of input and output where nothing else is said
_TEXTS = (0, 100, 1_000)
_SESSIONS = 100_000  # of the cases of memory by length of text
_MEASURED = 50_000  # sessions that begin while CPU is measured
_WARM_UP = 500  # sessions


def cases(*, sessions: int, quick: bool) -> Iterator[Measurement]:
    """At most `sessions` open ones."""
    few = min(sessions, 10_000 if quick else _SESSIONS)
    for text in _TEXTS:
        yield f"{few:,} open sessions, texts of {text:,} characters", partial(alone, memory, few, text)
    most = min(sessions, 50_000) if quick else sessions
    yield f"{most:,} open sessions, texts of {_TEXT} characters", partial(alone, recovery, most)
    for open_sessions in sorted({size for size in (1_000, 10_000, 100_000) if size < most} | {most}):
        yield f"{open_sessions:,} open sessions", partial(alone, cost, open_sessions, 5_000 if quick else _MEASURED)


def memory(sessions: int, text: int) -> list[Figure]:
    """What open sessions of ten spans in two turns take."""
    return _filled(sessions, text)[1]


def recovery(sessions: int) -> list[Figure]:
    """The same, and how long a new owner takes to make the states anew from the changelog's entries."""
    lane, figures = _filled(sessions, _TEXT)
    entries = [(key, value) for key, value in lane.window.snapshot() if value is not None]
    del lane
    stage, started = Lane.windows(), time.perf_counter()
    stage.restore(entries)
    stage.restored()
    seconds = time.perf_counter() - started
    assert stage.gauges["spanloom_open_windows"] == sessions
    return [
        *figures,
        Figure("changelog entries", "entries/session", len(entries) / sessions),
        Figure("bytes of them", "bytes/session", sum(len(key) + len(value) for key, value in entries) / sessions),
        Figure("recovery of the stage alone", "s", seconds),
    ]


def cost(open_sessions: int, measured: int) -> list[Figure]:
    """CPU of spans and the longest pauses while so many are open, and sessions begin, go on, close and expire."""
    lane, requests = Lane(), Requests(_SPAN_BYTES, text=_TEXT)
    values = flow.encoded(flow.steady(open_sessions, open_sessions + measured), requests)
    # Each session that begins brings a turn, and all but the first ones another one of an older session.
    warm = round((2 - flow.SECOND_TURN) * open_sessions) * TURN_SPANS
    for value in values:
        if lane.take(value) >= warm:
            break
    held = lane.window.gauges["spanloom_open_windows"]
    assert 0.9 < held / open_sessions < 1.1, f"{held:.0f} windows are open, not {open_sessions}"
    lane.cpu, lane.pauses, spans = 0.0, [], lane.spans
    for value in values:
        lane.take(value)
    return [
        Figure("window CPU", "CPU-s per million spans", per_million(lane.cpu, lane.spans - spans)),
        Figure("one call, p99.9", "ms", 1000 * percentile(lane.pauses, 99.9)),
        Figure("the longest call", "ms", 1000 * max(lane.pauses)),
    ]


def _filled(sessions: int, text: int) -> tuple[Lane, list[Figure]]:
    requests = Requests(_SPAN_BYTES, text=text)
    for value in flow.encoded(flow.filling(_WARM_UP), requests):
        Lane().take(value)  # loads whatever is loaded when it is first needed
    lane = Lane()
    before = _memory()
    for value in flow.encoded(flow.filling(sessions), requests):
        lane.take(value)
    lane.flush()
    used = _memory() - before
    assert lane.window.gauges["spanloom_open_windows"] == sessions
    return lane, [
        Figure("memory", "bytes/session", used / sessions),
        Figure("memory of all", "MB", used / MILLION),
    ]


def _memory() -> int:
    """What the process holds, without what it has given back to the allocator."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Process().memory_info().rss
