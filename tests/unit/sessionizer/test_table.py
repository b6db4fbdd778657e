"""States of a partition: small records whatever the session, little kept decoded, and a format that stays readable."""

from pathlib import Path
from typing import Any

import msgpack
import pytest

from services.sessionizer import state, table, window_stage
from services.sessionizer.engine.policy import Policy
from services.sessionizer.stage import Flush, Moment
from services.sessionizer.window_stage import Windows
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.support.session_run import SessionRun
from tests.support.spans import SECOND, T0, call, facts
from tests.support.stage_run import StageRun

DATA = Path(__file__).parent / "data"
"""The states of `scenario` by format: lists of (key, value). Made once; a new format gets a file of its own.

Without the filter of the sealed window's traces: four bytes a trace and no format.
"""

SINCE_FORMAT_2 = {
    *("user_ids", "environment", "service_names", "agent_names", "conversation_ids"),
    *("tags", "session_attributes", "metadata"),
}
"""Of turns. What a state of format 1 was told of before is not known."""
SINCE_FORMAT_3 = {"prompt_cost_by_model", "completion_cost_by_model"}
"""Of windows."""

KEY = SessionKey("shop", "long")
SMALL = 64_000
_LONG_POLICY = Policy(max_spans=1_000_000, max_duration=10**18)


def table_of(stage_run: StageRun) -> table.SessionTable:
    windows = stage_run.stage.states
    assert isinstance(windows, Windows)
    return windows._table


def sizes(flush: Flush) -> list[int]:
    return [len(key) + len(value or b"") for key, value in flush.changes]


def long_session(stage_run: StageRun, spans: list[SpanFacts]) -> list[Flush]:
    """Every 5,000 spans a flush, after records of 500."""
    flushes = []
    for at in range(0, len(spans), 500):
        stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, tuple(spans[at : at + 500])),)))
        if at % 5_000 == 4_500:
            flushes.append(stage_run.prepare())
            stage_run.commit(flushes[-1])
    return flushes


def check_long(stage_run: StageRun, spans: list[SpanFacts]) -> None:
    flushes = long_session(stage_run, spans)
    assert max(size for flush in flushes for size in sizes(flush)) < SMALL
    assert max(len(flush.changes) for flush in flushes) < 2_000
    stage_run.crash(compacted=True)
    stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, (spans[0], spans[77], spans[-1])),)))  # copies, all of them
    stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, (facts(5, 10**9, T0, T0),)),)))
    last = stage_run.prepare(drain=True)
    assert sum(sizes(last)) < SMALL
    assert len(last.changes) < 10
    stage_run.commit(last)
    [row] = stage_run.tables.living_windows().values()
    assert row["span_count"] == len(spans) + 1
    assert stage_run.tables.windows[row["window_id"]]["duplicate_span_count"] == 3


def test_a_session_of_50000_spans_in_one_trace_has_small_records_and_one_more_span_costs_little() -> None:
    calls = [None, call("gpt", 1, 1), call("gpt", 2, 1)]
    spans = [
        facts(5, number, T0 + number, T0 + number, parent=number // 7, call=calls[number % 3])
        for number in range(1, 50_001)
    ]
    check_long(StageRun(_LONG_POLICY), spans)


def test_a_session_of_50000_traces_of_one_span_has_small_records_and_one_more_span_costs_little() -> None:
    spans = [facts(number, 1, T0 + number * SECOND, T0 + number * SECOND) for number in range(1, 50_001)]
    check_long(StageRun(_LONG_POLICY), spans)


def test_all_calls_below_one_parent_have_small_records() -> None:
    spans = [facts(5, 1, T0, T0, call=call("gpt", 1, 1))]
    spans += [facts(5, number, T0, T0, parent=1, call=call("gpt", number, 1)) for number in range(2, 10_001)]
    check_long(StageRun(_LONG_POLICY), spans)


def test_a_session_that_100000_records_touch_is_in_the_wheel_once() -> None:
    run = SessionRun(Policy(max_spans=10**9, max_duration=10**18))
    for number in range(100_000 // 20):
        at = number * SECOND
        for each in range(10):
            run.add(facts(number // 100 + 1, number * 10 + each, T0 + at, T0 + at))
            run.pass_time(at - 10 * SECOND + each)
        if number % 50 == 0:
            run.flush()
            assert len(table_of(run.stage_run).windows._wheel) == 1
        assert len(table_of(run.stage_run).windows._wheel) <= 1


def test_sessions_stay_decoded_only_up_to_a_limit_and_with_few_turns() -> None:
    stage_run = StageRun(Policy())
    for number in range(table.KEPT_SESSIONS + 50):
        key = SessionKey("shop", f"s{number}")
        turns = table.KEPT_TURNS + 1 if number % 2 else 1
        spans = tuple(facts(trace, 1, T0, T0) for trace in range(1, turns + 1))
        stage_run.fold(T0, SpansRecord((SpanGroup(key, T0, spans),)))
        if number % 100 == 99:
            stage_run.flush()
    stage_run.flush()
    kept = table_of(stage_run)._kept
    assert len(kept) == table.KEPT_SESSIONS
    for session in kept.values():
        for window in session.windows:
            assert sum(map(len, window.turns.pages.values())) <= table.KEPT_TURNS


def test_a_flush_in_slices_is_the_same_flush() -> None:
    def filled() -> StageRun:
        stage_run = StageRun(Policy())
        for number in range(2 * table.STORED_SESSIONS + 1):
            span = facts(number + 1, 1, T0, T0)
            stage_run.fold(T0, SpansRecord((SpanGroup(SessionKey("shop", f"s{number}"), T0, (span,)),)))
        return stage_run

    moment = Moment(T0, caught_up=False, drain=True)
    sliced, whole = filled().stage, filled().stage
    assert [sliced.prepare(moment) for _ in range(3)] == [False, False, True]
    first, second = sliced.flush(moment), whole.flush(moment)
    assert (first.outputs, first.changes) == (second.outputs, second.changes)
    heads = [key for key, _ in first.changes if key != b"meta"]
    assert len(first.outputs) == len(heads) == 2 * table.STORED_SESSIONS + 1
    assert sliced.flush(moment).outputs == []


def test_a_session_is_worked_on_in_slices_with_the_same_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    def filled() -> StageRun:
        stage_run = StageRun(Policy(max_spans=700))
        for first in range(0, 1_500, 100):
            spans = tuple(facts(number // 7 + 1, number + 1, T0, T0 + number) for number in range(first, first + 100))
            stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, spans), SpanGroup(KEY, T0 + 1, spans[::-5]))))
            stage_run.fold(T0, WatermarkRecord("spans/0", T0 + first, 1))
        return stage_run

    moment = Moment(T0, caught_up=False, drain=True)
    sliced, whole = filled().stage, filled().stage
    monkeypatch.setattr(window_stage, "WORKED_SPANS", 500)
    assert [sliced.prepare(moment) for _ in range(4)] == [False, False, False, True]  # 1,800 spans, the copies too
    monkeypatch.setattr(window_stage, "WORKED_SPANS", 10**6)
    assert whole.prepare(moment)
    first, second = sliced.flush(moment), whole.flush(moment)
    assert (first.outputs, first.changes, first.counts) == (second.outputs, second.changes, second.counts)
    assert first.counts["spanloom_windowed_spans_total", "added"] == 1_500
    assert first.counts["spanloom_windowed_spans_total", "duplicate"] == 300


def test_windows_that_are_closed_and_published_expire_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    stage_run = StageRun(Policy(gap=60 * SECOND), is_watched=False)
    for session in ("one", "two"):
        stage_run.fold(T0, SpansRecord((SpanGroup(SessionKey("shop", session), T0, (facts(1, 1, T0, T0),)),)))
    stage_run.fold(T0, WatermarkRecord("spans/0", T0 + 61 * SECOND, 1))
    stage_run.flush()
    stage_run.crash(compacted=True)

    def decoded(*_: object) -> None:
        raise AssertionError("a window was decoded")

    monkeypatch.setattr(state, "decode_head", decoded)
    stage_run.fold(T0, WatermarkRecord("spans/0", T0 + 100_000 * SECOND, 1))
    assert stage_run.stage.gauges["spanloom_held_windows"] == 0
    flush = stage_run.prepare()
    assert flush.outputs == []
    assert [value for key, value in flush.changes if key != b"meta"] == [None, None]
    assert flush.counts["spanloom_windows_expired_total", ""] == 2


# The format


def scenario() -> StageRun:
    """A partition with everything in it that a state may hold."""
    stage_run = StageRun(Policy(gap=60 * SECOND, max_spans=160))

    def add(session: str, *spans: SpanFacts) -> None:
        stage_run.fold(T0, SpansRecord((SpanGroup(SessionKey("shop", session), T0, spans),)))

    said = Dimensions("ann", "prod", "bot", "router", ("a",), (("session.type", "chat"),), (("k", "1"),))
    names = [Dimensions(f"{number:0255}", tags=("t",)) for number in range(100)]
    expensive = call("gpt", 10, 5, total_cost=10**21, prompt_cost=1)
    add(
        "plain",
        facts(1, 1, T0, T0 + 5, dimensions=said, input="in", output="out", call=expensive),
        facts(1, 2, T0, T0 + 5, parent=1, call=expensive, is_error=True, error="broke", time_to_first_token=3),
        facts(2, 3, T0 + 70 * SECOND, T0 + 70 * SECOND, is_tool_call=True),
    )
    add("ended", facts(1, 1, T0, T0), facts(1, 2, T0, T0 + 9, name="session.end"))
    add("long turn", *(facts(1, number, T0, T0, parent=1, call=call("m", number, 1)) for number in range(1, 151)))
    add("sealed", *(facts(number, 1, T0 + number, T0 + number) for number in range(1, 201)))
    add("names", *(facts(1, number, T0, T0, dimensions=said) for number, said in enumerate(names, start=1)))
    stage_run.fold(T0 + SECOND, WatermarkRecord("otlp_spans/0", T0 + 65 * SECOND, 2))
    stage_run.fold(T0 + SECOND, WatermarkRecord("otlp_spans/1", T0 + 66 * SECOND, 2))
    stage_run.flush()
    return stage_run


def published(flush: Flush, form: int) -> list[dict[str, Any]]:
    """What is published, as far as a state of that format could know it."""
    records = [complete(rollups.decode(output.value)) for output in flush.outputs]
    for record in records:
        for name in SINCE_FORMAT_3 if form < 3 and record["type"] == "window" else ():
            del record[name]
        for turn in record.get("turns", []):
            for name in SINCE_FORMAT_2 if form < 2 else ():
                del turn[name]
    return records


@pytest.mark.parametrize("form", range(1, state.FORMAT + 1))
def test_states_that_every_format_wrote_are_read_and_go_on_as_states_of_today(form: int) -> None:
    written = [(key, value) for key, value in msgpack.unpackb((DATA / f"state-{form}.bin").read_bytes())]
    assert {value[0] for key, value in written if key != b"meta"} == {form}
    today, restored = scenario(), scenario()
    restored.changelog = list(written)
    restored.crash()
    for stage_run in (today, restored):
        for session in ("plain", "ended", "long turn", "sealed", "names"):
            spans = (facts(1, 1, T0, T0), facts(1, 5, T0, T0), facts(900, 901, T0, T0 + 1, call=call("gpt", 1, 1)))
            stage_run.fold(T0, SpansRecord((SpanGroup(SessionKey("shop", session), T0, spans),)))
    expected, found = today.prepare(drain=True), restored.prepare(drain=True)
    assert published(found, form) == published(expected, form) != []
    assert found.counts == expected.counts
