"""What the window engine costs: CPU a span, changelog bytes a span, memory an open session.

    python -m tests.bench.engine [--profile]

Records of 500 spans, interleaved over 50 sessions at a time; a flush every 5,000 spans; turns of five spans.
"""

import cProfile
import sys
from collections.abc import Iterator
from time import process_time

from psutil import Process

from services.sessionizer.engine.policy import Policy
from services.sessionizer.stage import InputRecord, Moment, Stage
from services.sessionizer.window_stage import window_stage
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from services.shared.records.session_spans import (
    SpanGroup,
    WatermarkRecord,
    encode_spans,
    encode_watermark,
)
from tests.support.spans import SECOND, T0, call, facts

_SPANS = 100_000
_RECORD, _FLUSH = 500, 5_000
_TURN = 5
_MOMENT = Moment(now=0, caught_up=False)
_DIMENSIONS = Dimensions(
    "user-1234567890", "production", "support-bot", "router", ("beta", "eu"), (("session.type", "chat"),),
    (("tenant", "acme"), ("release", "2026-11-21")),
)  # fmt: skip


def span(session: int, number: int, start: int) -> SpanFacts:
    """A turn is a root, two model calls and two tool calls."""
    trace, place = number // _TURN, number % _TURN
    at = start + trace * SECOND + place * SECOND // 10
    trace_number = session * 10**9 + trace + 1
    if place == 0:
        question, answer = "Where is my order? " * 10, "It is on its way. " * 10
        return facts(
            trace_number, 1, at, at + SECOND // 2, name="turn", input=question, output=answer, dimensions=_DIMENSIONS
        )
    if place < 3:
        used = call(
            "gpt-5-mini", 1000 + number, 100 + place, total_cost=123_456_789, prompt_cost=10**8, completion_cost=1
        )
        return facts(trace_number, 1 + place, at, at + 10**8, parent=1, name="chat", call=used, dimensions=_DIMENSIONS)
    return facts(trace_number, 1 + place, at, at, parent=1, name="tool", is_tool_call=True, dimensions=_DIMENSIONS)


def records(length: int, total: int) -> Iterator[tuple[bytes, int]]:
    """Records of spans of sessions with `length` spans each, and the latest time in each."""
    at_once = min(50, total // length)
    for first in range(0, total // length, at_once):
        sessions = range(first, first + at_once)
        start = T0 + first * SECOND
        order = [(session, number) for number in range(0, length, _TURN) for session in sessions]
        whole = [(session, number + place) for session, number in order for place in range(_TURN)]
        for at in range(0, len(whole), _RECORD):
            groups: dict[int, list[SpanFacts]] = {}
            for session, number in whole[at : at + _RECORD]:
                groups.setdefault(session, []).append(span(session, number, start))
            value = encode_spans(
                SpanGroup(SessionKey("shop", f"session-{session:012}"), start, tuple(items))
                for session, items in groups.items()
            )
            yield value, max(item.end for items in groups.values() for item in items)


def new_stage() -> Stage:
    stage = window_stage(Policy(), partition=0, rollups_topic="rollups", rollups_partitions=1)
    stage.restored()
    return stage


def fold(stage: Stage, record: InputRecord) -> None:
    while not stage.fold(record):
        pass


def measure(length: int, profile: cProfile.Profile | None) -> str:
    stage, made = new_stage(), list(records(length, _SPANS))
    changed = published = changes = spans = 0
    if profile:
        profile.enable()
    started = process_time()
    for offset, (value, end) in enumerate(made):
        fold(stage, InputRecord(2 * offset, end, None, value))
        watermark = encode_watermark(WatermarkRecord("otlp_spans/0", end - 10 * SECOND, 1))
        fold(stage, InputRecord(2 * offset + 1, end, None, watermark))
        spans += _RECORD
        if spans % _FLUSH == 0:
            flush = stage.flush(_MOMENT)
            changes += len(flush.changes)
            changed += sum(len(key) + len(data or b"") for key, data in flush.changes)
            published += sum(len(output.value) for output in flush.outputs)
    took = process_time() - started
    if profile:
        profile.disable()
    return (
        f"sessions of {length:6,} spans: {took / spans * 1e6:6.1f} us of CPU a span, {changed / spans:6.0f} B"
        f" of changelog ({changes / spans:.3f} records), {published / spans:6.0f} B of rollups"
    )


def memory(sessions: int) -> str:
    stage, before = new_stage(), Process().memory_info().rss
    for offset, first in enumerate(range(0, sessions, 1000)):
        groups = [
            SpanGroup(
                SessionKey("shop", f"session-{number:012}"), T0, tuple(span(number, each, T0) for each in range(10))
            )
            for number in range(first, first + 1000)
        ]
        fold(stage, InputRecord(offset, T0, None, encode_spans(groups)))
        stage.flush(_MOMENT)
    used = Process().memory_info().rss - before
    return f"{used / sessions:,.0f} B of memory an open session of 2 turns, 10 spans ({sessions:,} of them)"


def main() -> None:
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    for length in (10, 100, 10_000):
        print(measure(length, profile), flush=True)  # noqa: T201 - a program for the terminal
    if profile:
        profile.print_stats("tottime")
    else:
        print(memory(100_000))  # noqa: T201 - a program for the terminal


if __name__ == "__main__":
    main()
