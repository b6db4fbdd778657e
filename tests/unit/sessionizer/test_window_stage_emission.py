"""When rollups are published, and what the live view is told."""

from dataclasses import replace

import orjson
import pytest

from services.sessionizer.engine.policy import Policy
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.sessionizer.window_stage import window_stage
from services.shared.model.session_key import SessionKey
from services.shared.records import rollups
from services.shared.records.session_spans import SpanGroup, SpansRecord, UnreadableRecordError, encode_spans
from services.shared.telemetry import METRICS
from tests.support.json_schema import faults
from tests.support.session_run import GAP, KEY, POLICY, SessionRun, end_of, span
from tests.support.spans import SECOND, T0
from tests.unit.shared.test_rollups import SCHEMA

INTERVAL = POLICY.snapshot_interval


def test_a_window_is_published_when_it_opens_with_its_turns() -> None:
    run = SessionRun()
    version = run.add(span(1, 0), span(2, 1))
    published = run.flush()
    assert [(row["state"], row["version"]) for row in published.windows] == [("open", version)]
    assert [(int(row["trace_id"], 16), row["version"]) for row in published.turns] == [(1, version), (2, version)]


def test_turns_are_in_the_record_of_the_window_that_counts_them() -> None:
    run = SessionRun()
    run.add(span(1, 0), span(2, 1))
    [output] = run.stage_run.prepare().outputs
    record = rollups.decode(output.value)
    assert (record["type"], record["turn_count"], len(record["turns"])) == ("window", 2, 2)


def test_turns_that_are_too_many_for_that_record_are_written_before_it() -> None:
    run = SessionRun(Policy())
    run.add(*(replace(span(number, 0), input="\x01" * 1000) for number in range(1, 101)))
    records = [rollups.decode(output.value) for output in run.stage_run.prepare().outputs]
    assert [record["type"] for record in records] == ["turns", "turns", "window"]
    assert "turns" not in records[-1]
    assert sum(len(record["turns"]) for record in records[:-1]) == records[-1]["turn_count"] == 100


def test_without_a_live_view_the_same_is_published_and_nothing_is_told() -> None:
    groups = [SpanGroup(KEY, T0, (span(trace, trace * GAP),)) for trace in (1, 5, 3, 4, 9)]  # the fourth joins two
    values = [encode_spans([group]) for group in groups]

    def outputs(*, is_watched: bool) -> list[Output]:
        stage = window_stage(POLICY, partition=0, rollups_topic="r", rollups_partitions=1, is_watched=is_watched)
        found: list[Output] = []
        for offset, value in enumerate(values):
            stage.fold(InputRecord(offset, T0, None, value))
            flush = stage.flush(Moment(T0, caught_up=False))
            assert bool(flush.live) is is_watched
            found += flush.outputs
        return found

    published = outputs(is_watched=True)
    assert outputs(is_watched=False) == published
    assert [rollups.decode(output.value).get("is_deleted", False) for output in published].count(True) == 1


def test_nothing_new_is_nothing_to_flush() -> None:
    run = SessionRun()
    assert run.stage_run.prepare().is_empty
    run.add(span(1, 0))
    assert not run.stage_run.prepare().is_empty
    assert run.stage_run.prepare().is_empty


def test_a_record_that_changes_no_window_still_moves_the_position() -> None:
    run = SessionRun()
    run.pass_time(0)
    flush = run.stage_run.prepare()
    assert [key for key, _ in flush.changes] == [b"meta"]
    assert not flush.outputs


@pytest.mark.parametrize(("passed", "is_published"), [(INTERVAL - 1, False), (INTERVAL, True)])
def test_a_change_of_an_open_window_waits_for_the_snapshot_interval_of_the_watermark(
    passed: int, *, is_published: bool
) -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 100 * SECOND))
    run.flush()
    run.add(span(2, 100 * SECOND))
    assert not run.flush().windows
    run.pass_time(passed)
    published = run.flush()
    assert bool(published.windows) is is_published
    assert [int(row["trace_id"], 16) for row in published.turns] == ([2] if is_published else [])


def test_a_drain_publishes_what_waits_also_what_no_record_touched_since() -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 100 * SECOND))
    run.flush()
    version = run.add(span(2, 100 * SECOND))
    run.flush()
    published = run.flush(drain=True)
    assert [row["version"] for row in published.windows] == [version]
    assert not run.flush(drain=True).windows


def test_only_turns_that_changed_are_in_a_rollup() -> None:
    run = SessionRun()
    run.add_each(span(number, 0) for number in range(1, 6))
    run.flush(drain=True)
    run.add(span(3, 1))
    assert [int(row["trace_id"], 16) for row in run.flush(drain=True).turns] == [3]


def test_a_turn_has_the_version_of_its_own_last_change() -> None:
    run = SessionRun()
    first = run.add(span(1, 0))
    second = run.add(span(2, 0))
    published = run.flush()
    assert {int(row["trace_id"], 16): row["version"] for row in published.turns} == {1: first, 2: second}
    assert published.windows[0]["version"] == second


def test_several_corrections_of_a_closed_window_are_one_rollup_a_flush() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(5 * GAP)
    run.flush()
    run.add(span(2, 0))
    version = run.add(span(3, 0))
    published = run.flush()
    assert [row["version"] for row in published.windows] == [version]
    assert len(published.turns) == 2


def test_windows_changed_by_one_record_share_its_version() -> None:
    run = SessionRun()
    version = run.add(span(1, 0), span(2, 5 * GAP))
    assert [row["version"] for row in run.windows] == [version, version]


def test_every_rollup_fits_the_schema_and_is_keyed_by_its_session() -> None:
    run = SessionRun(key=SessionKey("a:b", '"1:2\N{SNOWMAN}'))
    run.add(span(1, 0, input="in", is_error=True))
    run.add(span(2, 2 * GAP))
    run.flush()
    run.add(span(3, GAP))
    outputs = run.stage_run.prepare().outputs
    assert {output.key for output in outputs} == {run.key.encode()}
    for output in outputs:
        assert faults(orjson.loads(output.value), SCHEMA, SCHEMA) == []


@pytest.mark.parametrize(("partition", "expected"), [(0, 0), (2, 2), (3, 0), (7, 1)])
def test_rollups_go_to_the_partition_of_the_input_modulo_those_of_the_topic(partition: int, expected: int) -> None:
    stage = window_stage(Policy(), partition=partition, rollups_topic="r", rollups_partitions=3)
    stage.restored()
    stage.fold(InputRecord(0, T0, None, encode_spans([SpanGroup(KEY, T0, (span(1, 0),))])))
    flush = stage.flush(Moment(T0, caught_up=False))
    assert {(output.topic, output.partition) for output in flush.outputs} == {("r", expected)}


# The live view


def update_of(flush: Flush) -> tuple[set[str], set[str], set[str]]:
    [update] = flush.live
    return set(update.windows), set(update.turns), set(update.removed)


def test_every_change_of_an_open_window_reaches_the_live_view_at_once() -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 0))
    run.flush()
    run.add(span(2, 0))
    flush = run.stage_run.prepare()
    assert not flush.outputs
    [update] = flush.live
    [(window_id, window)] = update.windows.items()
    assert orjson.loads(window)["span_count"] == 2
    assert list(update.turns) == [f"{window_id}/{2:032x}"]
    assert (update.project, update.session_id, update.first_seen_at) == (*KEY, T0)


def test_what_did_not_change_is_not_told_again() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1))
    run.flush()
    run.add(span(1, 0, number=1))
    assert not run.stage_run.prepare().live


def test_an_absorbed_window_leaves_the_live_view() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    survivor, absorbed = (row["window_id"] for row in run.windows)
    run.add(span(3, GAP))
    flush = run.stage_run.prepare()
    windows, turns, removed = update_of(flush)
    assert removed == {absorbed}
    assert windows == {survivor, absorbed}
    assert orjson.loads(flush.live[0].windows[absorbed])["is_deleted"]
    assert turns == {f"{survivor}/{number:032x}" for number in (2, 3)}


def test_an_expired_window_leaves_the_live_view() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    window_id = run.window["window_id"]
    run.pass_time(5 * GAP)
    run.flush()
    run.pass_time(50 * GAP)
    assert update_of(run.stage_run.prepare()) == (set(), set(), {window_id})


# Counts


def test_every_count_is_of_a_declared_metric() -> None:
    run = SessionRun(replace(POLICY, max_spans=2))
    run.add(span(1, 0, number=1), span(1, 0, number=1), end_of(5 * GAP))
    run.pass_time(5 * GAP)
    run.add(span(2, 0))
    run.pass_time(50 * GAP)
    run.flush()
    counts = run.stage_run.counts
    assert counts["spanloom_windowed_spans_total", "added"] == 2
    assert counts["spanloom_windowed_spans_total", "duplicate"] == 1
    assert counts["spanloom_windowed_spans_total", "late"] == 1
    assert counts["spanloom_windowed_spans_total", "end_ignored"] == 1
    assert counts["spanloom_windows_closed_total", "idle"] == 1
    assert counts["spanloom_windows_expired_total", ""] == 1
    for metric, label in counts:
        assert len(METRICS[metric].labels) == bool(label)


def test_counts_are_handed_out_once() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.flush()
    assert not run.stage_run.prepare().counts


def test_the_backlog_grows_with_what_waits_and_is_gone_after_a_flush() -> None:
    run = SessionRun()
    assert run.stage_run.stage.backlog == 0
    run.add(span(1, 0))
    before = run.stage_run.stage.backlog
    run.add(span(2, 0))
    assert 0 < before < run.stage_run.stage.backlog
    run.flush()
    assert run.stage_run.stage.backlog == 0


def test_a_record_that_is_not_ours_stops_the_worker() -> None:
    run = SessionRun()
    with pytest.raises(UnreadableRecordError):
        run.stage_run.stage.fold(InputRecord(0, T0, None, b"\x00"))


def test_several_groups_of_one_session_in_a_record_are_one_session() -> None:
    run = SessionRun()
    groups = [SpanGroup(KEY, T0 + number * SECOND, (span(number, number),)) for number in range(3)]
    run.stage_run.fold(T0, SpansRecord(tuple(groups)))
    assert (run.window["turn_count"], run.window["first_seen_at"]) == (3, T0)
