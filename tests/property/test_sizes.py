"""Large sessions: no record is large, and what one more span costs does not grow with its session."""

from random import Random

import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord
from tests.support.reference import differences, reference_windows, turn_row, window_row
from tests.support.spans import SECOND, T0, call, facts
from tests.support.stage_run import MAX_RECORD_BYTES, StageRun
from tests.support.totals import QUANTILES

KEY = SessionKey("shop", "long")
PREVIEW = "\N{WAVING HAND SIGN}" * 1024  # four bytes each


def turn(number: int, spans: int = 3) -> list[SpanFacts]:
    start = T0 + number * SECOND
    dimensions = Dimensions("ann", "prod", "bot", "", ("a",), (("session.type", "chat"),), (("k", f"{number % 3}"),))
    root = facts(
        number,
        1,
        start,
        start + SECOND // 2 + number,
        input=PREVIEW,
        output=PREVIEW,
        dimensions=dimensions,
        name="turn",
    )
    calls = [
        facts(number, 2 + each, start + each, start + each, parent=1, call=call("gpt", 10 + each, 5, total_cost=3))
        for each in range(spans - 1)
    ]
    return [root, *calls]


def fold(stage_run: StageRun, items: list[SpanFacts], *, per_record: int = 50) -> list[SpanGroup]:
    groups = [SpanGroup(KEY, T0, tuple(items[at : at + per_record])) for at in range(0, len(items), per_record)]
    for group in groups:
        stage_run.fold(T0, SpansRecord((group,)))
    return groups


def test_a_session_of_3000_turns_is_published_and_restored_whole_in_small_records() -> None:
    policy = Policy()
    stage_run = StageRun(policy)
    groups = []
    for first in range(1, 3001, 600):
        groups += fold(stage_run, [span for number in range(first, first + 600) for span in turn(number)])
        stage_run.flush(drain=True)
        stage_run.crash(compacted=True)
    groups += fold(stage_run, [facts(5, 9, T0 + 5 * SECOND, T0 + 6 * SECOND)])
    last = stage_run.flush(drain=True)
    assert (len(last.windows), len(last.turns)) == (1, 1)
    [reference] = reference_windows(groups, policy)
    [window] = stage_run.tables.living_windows().values()
    open_and_alone = ("window_id", "version", "duplicate_span_count", "state", "close_reason", "active_ns")
    assert differences(window_row(reference.window), window, ignore=open_and_alone) == []
    # 3,000 disjoint turns: which gaps are the smallest beyond the limit depends on what has arrived.
    turns = stage_run.tables.living_turns()
    assert len(turns) == 3000
    exact = sum(row["ended_at"] - row["started_at"] for row in turns.values())
    assert exact <= window["active_ns"] <= window["window_end"] - window["window_start"]
    for (_, trace_id), row in turns.items():
        assert differences(turn_row(reference.turns[trace_id]), row, ignore=open_and_alone) == []


def test_one_more_span_costs_the_changelog_little_however_long_its_session_is() -> None:
    stage_run = StageRun(Policy())
    fold(stage_run, [span for number in range(1, 2001) for span in turn(number)])
    stage_run.flush()
    fold(stage_run, [facts(1000, 99, T0 + 1000 * SECOND, T0 + 1001 * SECOND)])
    flush = stage_run.prepare()
    assert 0 < sum(len(key) + len(value or b"") for key, value in flush.changes) < 64_000


def test_one_turn_of_20000_spans_is_kept_in_small_records() -> None:
    policy = Policy()
    stage_run = StageRun(policy)
    groups = fold(stage_run, turn(1, 20_000), per_record=500)
    stage_run.flush()
    groups += fold(stage_run, turn(1, 20_000)[::100], per_record=500)
    groups += fold(stage_run, [facts(1, 60_000, T0, T0, parent=3, call=call("gpt", 11, 5))])
    stage_run.crash()
    stage_run.flush(drain=True)
    [window] = stage_run.tables.living_windows().values()
    [reference] = reference_windows(groups, policy)
    ignore = ("window_id", "version", "duplicate_span_count", "state", "close_reason")
    assert differences(window_row(reference.window), window, ignore=ignore) == []
    for number in range(5):
        fold(stage_run, [facts(1, 60_001 + number, T0, T0, parent=1, call=call("gpt", 9, number))])
        flush = stage_run.prepare()
        assert 0 < sum(len(key) + len(value or b"") for key, value in flush.changes) < 64_000
        stage_run.commit(flush)


def many_names(length: int) -> list[SpanFacts]:
    """2,000 turns, each with a name of its own for everything that can be named."""

    def name(kind: str, number: int) -> str:
        return f"{kind}{number}".ljust(length, "x")

    def dimensions(number: int) -> Dimensions:
        return Dimensions(
            name("user", number),
            name("environment", number),
            name("service", number),
            name("agent", number),
            (name("tag", number), name("other", number)),
            ((name("session.", number), name("", number)),),
            ((name("key", number), name("", number)),),
        )

    return [
        facts(
            number,
            1,
            T0 + number,
            T0 + number + 1,
            dimensions=dimensions(number),
            call=call(name("m", number), 1, 1, total_cost=1),
        )
        for number in range(1, 2001)
    ]


@pytest.mark.parametrize("length", [10, 1024])
def test_no_record_is_large_however_many_names_a_session_has(length: int) -> None:
    spans = many_names(length)
    stage_run = StageRun(Policy())
    fold(stage_run, spans, per_record=20)
    flush = stage_run.prepare(drain=True)
    assert max(len(output.value) for output in flush.outputs) < MAX_RECORD_BYTES
    stage_run.commit(flush)
    [window] = stage_run.tables.living_windows().values()
    assert (window["turn_count"], window["span_count"], window["llm_call_count"]) == (2000, 2000, 2000)
    assert (window["prompt_tokens"], window["total_cost"]) == (2000, "0.000000002000")
    stage_run.crash(compacted=True)
    fold(stage_run, spans[:1])
    assert stage_run.flush(drain=True).windows == []


def test_which_names_are_kept_depends_neither_on_arrival_nor_on_flushes_and_crashes() -> None:
    spans = many_names(100)
    shuffled = Random(7).sample(spans, len(spans))
    one, other = StageRun(Policy()), StageRun(Policy())
    fold(one, spans, per_record=20)
    one.flush(drain=True)
    for at in range(0, len(shuffled), 400):
        fold(other, shuffled[at : at + 400], per_record=7)
        other.flush()
        other.crash(compacted=True)
    other.flush(drain=True)
    [first] = one.tables.living_windows().values()
    [second] = other.tables.living_windows().values()
    order = ("window_id", "version", "opened_at", "duplicate_span_count", *QUANTILES)
    assert differences(first, second, ignore=order) == []
    assert 10 < len(first["user_ids"]) < len(spans)
