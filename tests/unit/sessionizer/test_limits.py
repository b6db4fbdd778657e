"""What one session key can do to its partition: little, whatever is sent under it; and nothing to other sessions."""

from collections.abc import Callable
from itertools import count, islice

import pytest

from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_WINDOWS
from services.sessionizer.table import KEPT_SESSIONS, SessionTable
from services.sessionizer.window_stage import Windows
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.support.spans import SECOND, T0, call, facts
from tests.support.stage_run import Row, StageRun

HOT = SessionKey("shop", "one id for everything")
HOUR = 3600 * SECOND
SMALL = Policy(max_spans=300, snapshot_interval=SECOND)


def table_of(stage_run: StageRun) -> SessionTable:
    windows = stage_run.stage.states
    assert isinstance(windows, Windows)
    return windows._table


def add(stage_run: StageRun, *spans: SpanFacts, key: SessionKey = HOT) -> None:
    stage_run.fold(T0, SpansRecord((SpanGroup(key, T0, spans),)))


def pass_time(stage_run: StageRun, to: int) -> None:
    stage_run.fold(T0, WatermarkRecord("otlp_spans/0", to, 1))


def one_trace(number: int) -> SpanFacts:
    return facts(1, number + 1, T0 + number, T0 + number, parent=number // 3, call=call("gpt", 1, 1))


def turns_of_five(number: int) -> SpanFacts:
    return facts(number // 5 + 1, number + 1, T0 + number, T0 + number, parent=number % 5)


def traces_of_one_span(number: int) -> SpanFacts:
    return facts(number + 1, number + 1, T0 + number, T0 + number)


def longer_than_a_day(number: int) -> SpanFacts:
    return facts(number + 1, 1, T0 - 300 * HOUR, T0 + number)


def hours_apart(number: int) -> SpanFacts:
    return facts(number + 1, 1, at := T0 - (number * 7919 % 10_007) * HOUR, at)


EVERYTHING: list[Callable[[int], SpanFacts]] = [
    one_trace,
    turns_of_five,
    traces_of_one_span,
    longer_than_a_day,
    hours_apart,
]


def is_hot(row: Row) -> bool:
    return str(row["session_id"]).startswith(HOT.session_id)


def rows_of_others(stage_run: StageRun) -> tuple[list[Row], list[Row]]:
    windows = [row for row in stage_run.tables.windows.values() if not is_hot(row)]
    turns = [row for row in stage_run.tables.turns.values() if not is_hot(row)]
    return windows, turns


def states_of_others(stage_run: StageRun) -> list[tuple[bytes, bytes | None]]:
    """What was written of them to the changelog, in order."""
    name = HOT.encode()
    return [(key, value) for key, value in stage_run.changelog if name not in key and key != b"meta"]


def one_id(number: int) -> SessionKey:
    del number
    return HOT


def always_another_id(number: int) -> SessionKey:
    return SessionKey("shop", f"{HOT.session_id} {number}")


def ordinary_sessions(
    poison: Callable[[int], SpanFacts] | None, key_of: Callable[[int], SessionKey] = one_id
) -> StageRun:
    """Sixty sessions that grow record by record; in the same records 50 spans of the hot key, if any."""
    stage_run, numbers = StageRun(SMALL), count()
    for record in range(30):
        groups = [
            SpanGroup(
                SessionKey("shop", f"s{session}"),
                T0,
                (facts(session + 1, record + 1, at := T0 + record * 10 * SECOND, at, parent=record),),
            )
            for session in range(record % 3, 60, 3)
        ]
        if poison is not None:
            grouped: dict[SessionKey, list[SpanFacts]] = {}
            for number in islice(numbers, 50):
                grouped.setdefault(key_of(number), []).append(poison(number))
            groups += [SpanGroup(key, T0, tuple(spans)) for key, spans in grouped.items()]
        stage_run.fold(T0, SpansRecord(tuple(groups)))
        pass_time(stage_run, T0 + record * 10 * SECOND)
        if record % 7 == 6:
            stage_run.flush()
        if record == 20:
            stage_run.crash()
    pass_time(stage_run, T0 + 10 * HOUR)
    stage_run.flush()
    return stage_run


@pytest.mark.parametrize("poison", EVERYTHING)
def test_a_hot_key_changes_nothing_of_other_sessions(poison: Callable[[int], SpanFacts]) -> None:
    alone, beside = ordinary_sessions(None), ordinary_sessions(poison)
    assert rows_of_others(beside) == rows_of_others(alone)
    assert states_of_others(beside) == states_of_others(alone) != []
    assert len(rows_of_others(alone)[0]) == 60
    hot = [row for row in beside.tables.living_windows().values() if is_hot(row)]
    assert sum(row["span_count"] for row in hot) == 1_500


def test_a_flood_of_new_session_ids_changes_nothing_of_other_sessions() -> None:
    alone, beside = ordinary_sessions(None), ordinary_sessions(traces_of_one_span, always_another_id)
    assert rows_of_others(beside) == rows_of_others(alone)
    assert states_of_others(beside) == states_of_others(alone) != []
    new = [row for row in beside.tables.living_windows().values() if is_hot(row)]
    assert [row["span_count"] for row in new] == [1] * 1_500


@pytest.mark.parametrize("poison", [one_trace, turns_of_five, traces_of_one_span])
def test_sealed_windows_are_not_decoded_for_every_record(poison: Callable[[int], SpanFacts]) -> None:
    stage_run, decoded = StageRun(Policy(max_spans=2_000)), []
    for first in range(0, 10_000, 500):
        add(stage_run, *map(poison, range(first, first + 500)))
        stage_run.flush()
        decoded.append(table_of(stage_run).decoded)
    assert max(decoded[-4:]) < 1.5 * max(decoded[:4])
    assert stage_run.stage.gauges["spanloom_held_windows"] == 5


def test_copies_are_recognised_in_large_sealed_windows_after_a_restart() -> None:
    stage_run = StageRun(Policy(max_spans=2_500))
    spans = [traces_of_one_span(number) for number in range(6_000)]
    for first in range(0, len(spans), 1_000):
        add(stage_run, *spans[first : first + 1_000])
        if first % 3_000 == 0:
            stage_run.flush()
    stage_run.flush()
    stage_run.crash(compacted=True)
    add(stage_run, *spans)
    add(stage_run, facts(5, 777_777, T0, T0))  # new, in a trace that a sealed window holds
    stage_run.flush(drain=True)
    assert stage_run.counts["spanloom_windowed_spans_total", "duplicate"] == 6_000
    assert stage_run.counts["spanloom_windowed_spans_total", "added"] == 6_001


def test_a_copy_in_the_record_that_seals_the_window_is_recognised() -> None:
    stage_run = StageRun(Policy(max_spans=100))
    spans = [traces_of_one_span(number) for number in range(250)]
    add(stage_run, *(each for span in spans for each in (span, spans[0], span)))
    assert stage_run.prepare().counts["spanloom_windowed_spans_total", "added"] == 250


@pytest.mark.parametrize("poison", [longer_than_a_day, hours_apart])
def test_a_session_key_holds_a_bounded_number_of_windows_and_no_span_is_lost(
    poison: Callable[[int], SpanFacts],
) -> None:
    stage_run = StageRun(Policy())
    pass_time(stage_run, T0)
    for first in range(0, 600, 200):
        add(stage_run, *map(poison, range(first, first + 200)))
        stage_run.flush()
        assert stage_run.stage.gauges["spanloom_held_windows"] <= MAX_WINDOWS
    rows = stage_run.tables.living_windows().values()
    assert len(rows) == sum(row["span_count"] for row in rows) == 600
    assert stage_run.counts["spanloom_windows_given_up_total", ""] == 600 - MAX_WINDOWS
    assert stage_run.counts["spanloom_windowed_spans_total", "identity_evicted"] == 600 - MAX_WINDOWS
    assert len([key for key, _ in stage_run.stage.snapshot() if HOT.encode() in key]) == MAX_WINDOWS


def test_windows_that_were_open_when_there_were_too_many_go_as_soon_as_they_are_closed() -> None:
    stage_run = StageRun(Policy())
    add(stage_run, *map(hours_apart, range(150)))  # nobody knows what time it is, so all are open
    stage_run.flush()
    assert stage_run.stage.gauges["spanloom_held_windows"] == 150
    pass_time(stage_run, T0)
    add(stage_run, hours_apart(150))
    stage_run.flush()
    assert stage_run.stage.gauges["spanloom_held_windows"] == MAX_WINDOWS


def test_windows_that_are_given_up_make_the_checkpoint_come_early() -> None:
    stage_run = StageRun(Policy())
    pass_time(stage_run, T0)
    add(stage_run, *map(longer_than_a_day, range(1_000)))
    backlog = stage_run.stage.backlog
    assert sum(len(output.value) for output in stage_run.prepare().outputs) < backlog


def test_sealed_windows_are_given_up_before_windows_that_late_spans_can_still_change() -> None:
    stage_run = StageRun(Policy())
    pass_time(stage_run, T0)
    add(stage_run, facts(1, 1, T0 - 400 * HOUR, T0 - 400 * HOUR))
    add(stage_run, *map(longer_than_a_day, range(1, 300)))
    add(stage_run, facts(1, 2, T0 - 400 * HOUR, T0 - 400 * HOUR + 1))
    stage_run.flush()
    rows = stage_run.tables.living_windows().values()
    assert [row["span_count"] for row in rows if row["window_start"] == T0 - 400 * HOUR] == [2]


def test_sealed_windows_give_their_identities_up_without_being_decoded() -> None:
    stage_run = StageRun(Policy(max_spans=5_000), max_identities=9_000)
    for first in range(0, 9_000, 500):
        add(stage_run, *map(turns_of_five, range(first, first + 500)))
        stage_run.flush()
    add(stage_run, turns_of_five(9_001))
    flush = stage_run.prepare()
    assert table_of(stage_run).decoded < 20_000
    assert flush.counts["spanloom_windowed_spans_total", "identity_evicted"] == 5_000
    assert sum(len(value or b"") for _, value in flush.changes) < 40_000


def test_a_flood_of_new_session_ids_keeps_few_decoded_and_leaves_nothing_behind() -> None:
    stage_run = StageRun(SMALL)
    for first in range(0, 1_000, 100):
        groups = (
            SpanGroup(SessionKey("shop", f"s{number}"), T0, (facts(number + 1, 1, T0, T0),))
            for number in range(first, first + 100)
        )
        stage_run.fold(T0, SpansRecord(tuple(groups)))
        stage_run.flush()
        assert len(table_of(stage_run)._kept) <= KEPT_SESSIONS
    states = dict(stage_run.stage.snapshot())
    assert sum(len(key) + len(value) for key, value in states.items()) < 1_000 * 500
    pass_time(stage_run, T0 + HOUR)
    pass_time(stage_run, T0 + 3 * HOUR)
    stage_run.flush()
    assert dict(stage_run.stage.snapshot()).keys() == {b"meta"}
    assert stage_run.counts["spanloom_windows_expired_total", ""] == 1_000
