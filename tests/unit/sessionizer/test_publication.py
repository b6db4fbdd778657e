"""What others read of windows: rollups, retractions, live values."""

from decimal import Decimal

import orjson

from services.sessionizer.engine.policy import Policy
from services.sessionizer.route_stage import RouteStage
from services.sessionizer.span_outputs import SessionSpansOutput
from services.sessionizer.stage import InputRecord, Moment
from services.shared.model.live import LiveUpdate
from services.shared.model.session_key import SessionKey
from services.shared.otlp.numbers import MAX_COUNT
from services.shared.otlp.rules import Rules
from services.shared.records import rollups
from services.shared.records.rollup_fields import turn_of, window_of
from services.shared.records.session_spans import SpanGroup, SpansRecord, decode
from tests.support.otlp import request, span, to_protobuf
from tests.support.session_run import GAP, KEY, POLICY
from tests.support.spans import SECOND, T0, call, facts
from tests.support.stage_run import StageRun


def live(stage_run: StageRun) -> list[LiveUpdate]:
    flush = stage_run.prepare()
    stage_run.commit(flush)
    return list(flush.live)


def add(stage_run: StageRun, trace: int, start: int, *, seen: int = 0) -> None:
    one = facts(trace, trace, T0 + start, T0 + start)
    stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0 + seen, (one,)),)))


def test_the_live_view_orders_a_session_by_the_earliest_that_is_known_of_it() -> None:
    stage_run = StageRun(POLICY)
    add(stage_run, 1, 0, seen=5)
    assert [update.first_seen_at for update in live(stage_run)] == [T0 + 5]
    add(stage_run, 2, 9 * GAP, seen=7)
    assert [update.first_seen_at for update in live(stage_run)] == [T0 + 5]
    add(stage_run, 3, 18 * GAP, seen=3)
    assert [update.first_seen_at for update in live(stage_run)] == [T0 + 3]


def test_an_absorbed_window_reaches_the_live_view_as_its_retraction_with_its_survivor() -> None:
    stage_run = StageRun(POLICY)
    add(stage_run, 1, 0)
    [update] = live(stage_run)
    [older] = update.windows
    add(stage_run, 2, 2 * GAP)
    [update] = live(stage_run)
    [younger] = update.windows
    add(stage_run, 3, GAP)
    [update] = live(stage_run)
    assert update.removed == (younger,)
    assert update.windows.keys() == {older, younger}
    retraction = window_of(orjson.loads(update.windows[younger]))
    survivor = window_of(orjson.loads(update.windows[older]))
    assert (retraction.is_deleted, retraction.version) == (True, survivor.version)
    assert (survivor.is_deleted, survivor.turn_count) == (False, 3)
    assert {name.partition("/")[0] for name in update.turns} == {older}


def test_the_live_view_and_the_topic_have_the_same_objects() -> None:
    stage_run = StageRun(POLICY)
    add(stage_run, 1, 0)
    flush = stage_run.prepare()
    [update] = flush.live
    [output] = flush.outputs
    window = orjson.loads(output.value)
    assert window.pop("turns") == [orjson.loads(value) for value in update.turns.values()]
    assert [orjson.loads(value) for value in update.windows.values()] == [window]


def test_a_call_of_nearly_a_billion_dollars_is_summed_exactly_all_the_way() -> None:
    dollars = Decimal("999999999.999999999999")
    said = {
        "session.id": "s1",
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt",
        "llm.token_count.prompt": 10,
        "llm.cost.total": str(dollars),
    }
    spans = [span(span_id=number, start=T0, end=T0, attributes=said) for number in range(1, 8)]
    route = RouteStage(
        Rules(),
        partition=0,
        spans_topic="otlp_spans",
        sources=1,
        session_spans=SessionSpansOutput("session_spans", 1),
        trace_spans=None,
        dead_letter_topic="dead",
        dead_letter_partitions=1,
        out_of_orderness=10 * SECOND,
        idle_after=5 * SECOND,
        service_version="1",
    )
    route.fold(InputRecord(0, T0 + SECOND, None, to_protobuf(request(*spans))))
    stage_run = StageRun(Policy())
    for output in route.flush(Moment(T0, caught_up=False)).outputs:
        stage_run.fold(T0, decode(output.value))
    stage_run.flush()
    stage_run.crash()
    stage_run.fold(T0, SpansRecord((SpanGroup(SessionKey("default", "s1"), T0, (facts(9, 9, T0, T0),)),)))
    stage_run.flush(drain=True)
    [row] = stage_run.tables.living_windows().values()
    assert Decimal(row["total_cost"]) == 7 * dollars
    assert row["total_cost_by_model"] == {"gpt": str(7 * dollars)}
    assert window_of(row).usage.total_cost == 7 * (10**21 - 1)
    assert rollups.dollars(7 * (10**21 - 1)) == row["total_cost"]
    costs = [turn_of(turn).usage.total_cost for turn in stage_run.tables.living_turns().values()]
    assert sorted(costs) == [0, 7 * (10**21 - 1)]


def test_the_largest_numbers_of_tokens_add_up_exactly() -> None:
    stage_run = StageRun(Policy())
    for number in range(1, 5):
        one = facts(1, number, T0, T0, call=call("gpt", MAX_COUNT, number))
        stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, (one,)),)))
        stage_run.crash()
    stage_run.flush(drain=True)
    [row] = stage_run.tables.living_windows().values()
    assert (row["prompt_tokens"], row["prompt_tokens_by_model"]) == (4 * MAX_COUNT, {"gpt": 4 * MAX_COUNT})
