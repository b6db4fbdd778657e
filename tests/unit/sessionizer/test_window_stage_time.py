"""Closing, lateness, expiry: what the watermark does to windows."""

from dataclasses import replace
from itertools import repeat

import pytest

from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.support.session_run import GAP, KEY, LATENESS, POLICY, SessionRun, end_of, span
from tests.support.spans import SECOND, T0
from tests.support.stage_run import StageRun
from tests.support.streams import Fate

CLOSES = ("spanloom_windows_closed_total", "idle")
EXPIRES = ("spanloom_windows_expired_total", "")


@pytest.mark.parametrize(("watermark", "state"), [(4 + GAP, "open"), (5 + GAP, "open"), (6 + GAP, "closed")])
def test_a_window_closes_when_the_watermark_is_past_its_end_by_more_than_the_gap(watermark: int, state: str) -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    version = run.pass_time(watermark)
    assert run.window["state"] == state
    assert run.window["close_reason"] == ("idle" if state == "closed" else "")
    assert (run.window["version"] == version) is (state == "closed")


def test_the_version_of_a_closing_is_that_of_the_record_that_decided_it() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.pass_time(GAP)
    deciding = run.pass_time(2 * GAP)
    run.pass_time(2 * GAP + 1)
    assert run.window["version"] == deciding


def test_no_span_is_needed_to_close() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.flush()
    run.pass_time(2 * GAP)
    published = run.flush()
    assert [row["state"] for row in published.windows] == ["closed"]
    assert published.turns == []  # none changed


def test_without_a_watermark_nothing_closes() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 100 * GAP))
    assert [row["state"] for row in run.windows] == ["open", "open"]


def test_a_source_that_is_not_heard_keeps_windows_open() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.stage_run.fold(T0, WatermarkRecord("spans/0", T0 + 5 * GAP, 2))
    assert run.window["state"] == "open"
    run.stage_run.fold(T0, WatermarkRecord("spans/1", T0 + 5 * GAP, 2))
    assert run.window["state"] == "closed"


def test_a_record_of_spans_may_close_a_window_by_a_sources_timeout() -> None:
    run = SessionRun(replace(POLICY, source_timeout=10 * SECOND))
    run.add(span(1, 0))
    run.stage_run.fold(T0, WatermarkRecord("spans/0", T0 + 5 * GAP, 2))
    assert run.window["state"] == "open"
    for second in (5, 10):
        other = run.stage_run.fold(T0 + second * SECOND, WatermarkRecord("spans/0", T0 + 5 * GAP, 2))
    assert run.window["state"] == "closed"
    assert run.window["version"] & (1 << 48) - 1 == other


def test_a_late_span_that_leaves_a_window_closed_is_a_correction() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.pass_time(3 * GAP)
    run.flush()
    version = run.add(span(2, 3, 9))
    published = run.flush()
    [window] = published.windows
    assert (window["state"], window["version"], window["span_count"]) == ("closed", version, 2)
    assert [int(row["trace_id"], 16) for row in published.turns] == [2]


def test_a_span_opens_a_closed_window_again_when_the_watermark_says_so() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(GAP + 5)
    assert run.window["state"] == "closed"
    run.add(span(2, GAP))
    assert (run.window["state"], run.window["close_reason"]) == ("open", "")
    run.pass_time(2 * GAP + 1)
    assert run.window["state"] == "closed"


def test_a_window_closed_twice_is_counted_twice() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(GAP + 5)
    run.add(span(2, GAP))
    run.pass_time(2 * GAP + 1)
    run.flush()
    assert run.stage_run.counts[CLOSES] == 2


def test_a_late_merge_of_closed_windows_is_closed_too() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    run.pass_time(3 * GAP + 1)
    assert [row["state"] for row in run.windows] == ["closed", "closed"]
    run.add(span(3, GAP))
    assert run.window["state"] == "closed"


@pytest.mark.parametrize(("watermark", "expired"), [(GAP + LATENESS, 0), (GAP + LATENESS + 1, 1)])
def test_a_window_sealed_before_its_time_expires_by_its_end(watermark: int, expired: int) -> None:
    run = SessionRun(replace(POLICY, max_spans=1))
    run.pass_time(-10 * GAP)
    run.add(span(1, 0))
    run.pass_time(watermark)
    run.flush()
    assert run.stage_run.counts[EXPIRES] == expired


@pytest.mark.parametrize(("later", "expired"), [(LATENESS, 0), (LATENESS + 1, 1)])
def test_a_closed_window_expires_lateness_after_its_last_change(later: int, expired: int) -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(5 * GAP)  # closing is a change
    run.pass_time(5 * GAP + later)
    run.flush()
    assert run.stage_run.counts[EXPIRES] == expired


@pytest.mark.parametrize(("later", "expired"), [(2 * LATENESS, 0), (2 * LATENESS + 1, 1)])
def test_a_correction_prolongs_the_time_a_window_is_held(later: int, expired: int) -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(5 * GAP)
    run.pass_time(5 * GAP + LATENESS)
    run.add(span(2, 1))
    run.pass_time(5 * GAP + later)
    run.flush()
    assert run.stage_run.counts[EXPIRES] == expired


def test_a_duplicate_does_not_prolong_it() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1))
    run.pass_time(5 * GAP)
    run.pass_time(5 * GAP + LATENESS)
    run.add(span(1, 0, number=1))
    run.pass_time(5 * GAP + LATENESS + 1)
    assert run.stage_run.stage.gauges["spanloom_held_windows"] == 0


def test_an_expired_window_leaves_no_state_and_no_rollup() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.pass_time(5 * GAP)
    run.flush()
    run.pass_time(5 * GAP + LATENESS + 1)
    flush = run.stage_run.prepare()
    assert not flush.outputs
    assert [update.removed for update in flush.live] == [tuple(run.stage_run.tables.windows)]
    run.stage_run.commit(flush)
    assert [key for key, _ in run.stage_run.stage.snapshot()] == [b"meta"]


def test_a_span_after_expiry_opens_a_late_window_of_its_own() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1))
    run.pass_time(5 * GAP)
    run.pass_time(5 * GAP + LATENESS + 1)
    run.add(span(1, 0, number=1))
    old, late = sorted(run.windows, key=lambda row: row["version"])
    assert old["window_id"] != late["window_id"]
    assert (old["is_late"], late["is_late"]) == (False, True)
    assert (late["state"], late["close_reason"], late["late_span_count"]) == ("closed", "idle", 1)
    assert run.outcome("duplicate") == 0


@pytest.mark.parametrize(("watermark", "is_late"), [(GAP + LATENESS, False), (GAP + LATENESS + 1, True)])
def test_a_window_is_late_when_even_its_lateness_is_over_when_it_opens(watermark: int, *, is_late: bool) -> None:
    run = SessionRun()
    run.pass_time(watermark)
    run.add(span(1, -5, 0))
    assert run.window["is_late"] is is_late


def test_is_late_is_kept_when_the_window_grows() -> None:
    run = SessionRun()
    run.pass_time(GAP + LATENESS + 1)
    run.add(span(1, 0))
    run.add(span(1, 5 * GAP))
    assert (run.window["is_late"], run.window["state"]) == (True, "open")


@pytest.mark.parametrize(("watermark", "late"), [(5 + GAP, 0), (6 + GAP, 1)])
def test_a_span_is_late_when_the_watermark_is_past_its_end_by_more_than_the_gap(watermark: int, late: int) -> None:
    run = SessionRun()
    run.pass_time(watermark)
    run.add(span(1, 0, 5))
    assert run.window["late_span_count"] == late
    assert run.outcome("late") == late
    assert run.outcome("added") == 1


def test_late_spans_add_up_over_a_merge() -> None:
    run = SessionRun()
    run.pass_time(4 * GAP)
    run.add_each([span(1, 0), span(2, 2 * GAP), span(3, GAP)])
    assert run.window["late_span_count"] == 3


@pytest.mark.parametrize(("later", "expired"), [(0, 0), (1, 1)])
def test_without_lateness_a_window_is_held_until_time_goes_on(later: int, expired: int) -> None:
    run = SessionRun(replace(POLICY, allowed_lateness=0))
    run.add(span(1, 0))
    run.pass_time(5 * GAP)
    run.pass_time(5 * GAP + later)
    assert [row["state"] for row in run.windows] == ["closed"]  # published though it expired before a flush
    assert run.stage_run.counts[EXPIRES] == expired


@pytest.mark.parametrize(("later", "expired"), [(LATENESS, 0), (LATENESS + 1, 1)])
def test_a_window_that_closed_explicitly_expires_by_its_end_or_its_change(later: int, expired: int) -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 0, 10 * SECOND))
    run.add(end_of(10 * SECOND))
    run.pass_time(10 * SECOND + GAP + later)
    run.flush()
    assert run.stage_run.counts[EXPIRES] == expired


def test_gauges_tell_open_and_held_windows_and_the_watermark() -> None:
    run = SessionRun()
    assert run.stage_run.stage.gauges == {"spanloom_open_windows": 0, "spanloom_held_windows": 0}
    run.add_each([span(1, 0), span(2, 5 * GAP)])
    run.pass_time(2 * GAP)
    run.flush()
    assert run.stage_run.stage.gauges == {
        "spanloom_open_windows": 1,
        "spanloom_held_windows": 2,
        "spanloom_watermark_seconds": (T0 + 2 * GAP) / SECOND,
    }


def test_a_window_is_cut_by_the_policy_in_force_when_it_last_changed() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.stage_run.restart(replace(POLICY, gap=10 * GAP, allowed_lateness=5))
    run.pass_time(GAP + 1)
    window = run.window
    assert (window["state"], window["gap_ns"], window["allowed_lateness_ns"]) == ("closed", GAP, LATENESS)
    run.add(span(2, 1))
    window = run.window
    assert (window["state"], window["gap_ns"], window["allowed_lateness_ns"]) == ("open", 10 * GAP, 5)


def test_a_window_that_is_due_with_a_record_of_its_own_session_gets_one_content_of_that_version() -> None:
    policy = replace(POLICY, source_timeout=10 * SECOND)
    stage_run = StageRun(policy, swept_windows=1, between_slices=repeat(Fate.FLUSH), is_watched=False)
    others = [SessionKey("shop", f"other {number}") for number in range(5)]
    stage_run.fold(T0, SpansRecord(tuple(SpanGroup(key, T0, (span(1, 0),)) for key in others)))
    stage_run.fold(T0, WatermarkRecord("spans/0", T0 - 10 * GAP, 2))
    stage_run.flush()
    stage_run.fold(T0, SpansRecord((SpanGroup(KEY, T0, (span(1, 0),)),)))
    stage_run.fold(T0 + 5 * SECOND, WatermarkRecord("spans/1", T0 + GAP + 1, 2))
    last = SpansRecord((SpanGroup(KEY, T0, (span(2, 1),)),))  # with it the other source is given up: all are due
    version = stage_run.epoch << 48 | stage_run.fold(T0 + 11 * SECOND, last)
    stage_run.flush(drain=True)  # the tables have refused a second content of a version so far
    rows = {row["session_id"]: row for row in stage_run.tables.living_windows().values()}
    assert {row["version"] for row in rows.values()} == {version}
    assert [rows[key.session_id]["state"] for key in others] == ["closed"] * 5
    assert (rows[KEY.session_id]["state"], rows[KEY.session_id]["span_count"]) == ("open", 2)
