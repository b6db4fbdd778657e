"""What keeps a window from growing: explicit ends of three kinds, and seals."""

from dataclasses import replace

import pytest

from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from tests.support.session_run import GAP, POLICY, SessionRun, end_of, span
from tests.support.spans import T0

SMALL = replace(POLICY, max_spans=3)
SHORT = replace(POLICY, max_duration=100)


def by_span(at: int) -> SpanFacts | SessionEnd:
    return span(1, at - 2, at, name="session.end")


def by_event(at: int) -> SpanFacts | SessionEnd:
    return span(1, at - 2, at + 2, ends_at=(T0 + at,))


@pytest.mark.parametrize("carrier", [by_span(10), by_event(10), end_of(10)], ids=["span", "event", "previous_id"])
def test_an_explicit_end_closes_the_window_at_once(carrier: SpanFacts | SessionEnd) -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    version = run.add(carrier)
    window = run.window
    assert (window["state"], window["close_reason"], window["version"]) == ("closed", "explicit", version)


def test_the_span_that_ends_a_session_counts_like_any_other() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(span(2, 8, 10, name="session.end"))
    window = run.window
    assert (window["span_count"], window["turn_count"], window["window_end"]) == (2, 2, T0 + 10)


def test_an_ended_window_stays_closed_whatever_comes() -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 0, 5))
    run.add(end_of(5))
    run.add(span(1, 20 * GAP))
    window = run.window
    assert (window["state"], window["close_reason"], window["window_end"]) == ("closed", "explicit", T0 + 20 * GAP)


def test_a_new_turn_that_starts_after_the_end_opens_a_window() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(5))
    run.add(span(2, 6, 7))
    assert run.bounds == [(0, 5), (6, 7)]
    assert [row["state"] for row in run.windows] == ["closed", "open"]


@pytest.mark.parametrize(("start", "windows"), [(9, 1), (10, 1), (11, 2)])
def test_a_new_turn_that_starts_at_or_before_the_end_joins_the_ended_window(start: int, windows: int) -> None:
    run = SessionRun()
    run.add(span(1, 0, 8))
    run.add(end_of(10))
    run.add(span(2, start, start + 5))
    assert len(run.windows) == windows


@pytest.mark.parametrize(("distance", "windows"), [(GAP - 1, 1), (GAP, 1), (GAP + 1, 2)])
def test_a_new_turn_joins_an_ended_window_only_within_the_gap(distance: int, windows: int) -> None:
    run = SessionRun()
    run.add(span(1, 0, 8))
    run.add(end_of(8))
    run.add(span(2, -distance - 4, -distance))
    assert len(run.windows) == windows


def test_of_two_ended_windows_that_fit_the_oldest_takes_the_turn() -> None:
    run = SessionRun()
    run.add(span(1, 20, 25))
    run.add(end_of(25, number=1))
    run.add(span(2, 26, 30))
    run.add(end_of(30, number=2))
    oldest = run.windows[0]
    run.add(span(3, 0, 10))
    assert run.windows[0]["window_id"] == oldest["window_id"]
    assert run.turns(run.windows[0]) == [1, 3]


def test_ended_windows_never_merge() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(5, number=1))
    run.add(span(2, 6, 9))
    run.add(span(1, 0, 50))  # the ended one grows over the other
    run.add(span(3, 7, 60))
    assert run.bounds == [(0, 50), (6, 60)]


def test_an_end_applies_to_the_latest_plain_window_that_it_falls_into() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    run.add(span(3, 4 * GAP))
    run.add(end_of(2 * GAP))
    assert [row["close_reason"] for row in run.windows] == ["", "explicit", ""]


@pytest.mark.parametrize(("at", "is_ended"), [(-1, False), (0, True), (5, True), (5 + GAP, True), (6 + GAP, False)])
def test_an_end_reaches_back_one_gap_and_not_forward(at: int, is_ended: bool) -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(at))
    assert run.window["close_reason"] == ("explicit" if is_ended else "")
    assert run.outcome("end_ignored") == (0 if is_ended else 1)


def test_an_end_is_raised_to_the_latest_turn_start() -> None:
    run = SessionRun()
    run.add(span(1, 0, 50))
    run.add(span(2, 20, 30))
    run.add(end_of(10))
    run.add(span(3, 20, 21))  # starts at the raised end
    run.add(span(4, 21, 22))
    assert [run.turns(row) for row in run.windows] == [[1, 2, 3], [4]]


def test_an_end_is_raised_to_the_latest_start_of_turns_as_they_are_then() -> None:
    run = SessionRun()
    run.add(span(1, 0, 50))
    run.add(span(2, 40, 45))
    run.add(span(2, 10, 12))  # now the turn starts at 10
    run.add(end_of(5))
    run.add(span(3, 11, 12))
    assert [run.turns(row) for row in run.windows] == [[1, 2], [3]]


def test_an_end_with_no_window_is_ignored_and_counted() -> None:
    run = SessionRun()
    run.add(end_of(10))
    assert run.windows == []
    assert run.outcome("end_ignored") == 1


def test_ending_an_ended_window_changes_nothing() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(5, number=1))
    before = run.window
    run.add(end_of(8, number=2))
    assert run.window == before
    assert run.outcome("end_ignored") == 1


def test_a_copy_of_the_span_that_ended_a_window_ends_no_other() -> None:
    run = SessionRun()
    ending = span(1, 0, 5, number=7, name="session.end")
    run.add(ending)
    run.add(span(2, 6, 7))
    run.add(ending)
    assert [row["close_reason"] for row in run.windows] == ["explicit", ""]
    assert run.outcome("duplicate") == 1


def test_a_copy_of_a_previous_id_ends_no_other_window() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(6))
    run.add(span(2, 7, 8))
    run.add(end_of(9))  # the same carrier: a copy that differs
    assert [row["close_reason"] for row in run.windows] == ["explicit", ""]


def test_an_end_written_for_one_session_does_not_touch_another() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(end_of(5), key=SessionKey("shop", "other"))
    assert run.window["close_reason"] == ""


def test_ends_of_one_span_are_applied_after_it_was_added() -> None:
    run = SessionRun()
    run.add(span(1, 0, 50, ends_at=(T0 + 10,)))
    assert (run.window["close_reason"], run.window["span_count"]) == ("explicit", 1)


def test_the_span_that_reaches_the_maximum_seals_its_window() -> None:
    run = SessionRun(SMALL)
    version = [run.add(span(number, number)) for number in (1, 2, 3)][-1]
    window = run.window
    assert (window["state"], window["close_reason"], window["version"]) == ("closed", "max_spans", version)
    assert window["span_count"] == 3


def test_after_a_seal_spans_of_its_turns_go_to_another_window() -> None:
    run = SessionRun(SMALL)
    run.add_each(span(1, at) for at in (0, 1, 2, 3))
    sealed, other = sorted(run.windows, key=lambda row: row["opened_at"])
    assert [sealed["span_count"], other["span_count"]] == [3, 1]
    assert run.turns(sealed) == run.turns(other) == [1]


def test_windows_of_a_session_may_overlap_after_a_seal() -> None:
    run = SessionRun(SMALL)
    run.add_each(span(number, 0, 100) for number in (1, 2, 3))
    run.add(span(4, 50))
    assert run.bounds == [(0, 100), (50, 50)]


@pytest.mark.parametrize(("end", "reason"), [(99, ""), (100, "max_duration"), (101, "max_duration")])
def test_a_window_is_sealed_at_the_maximum_duration(end: int, reason: str) -> None:
    run = SessionRun(SHORT)
    run.add(span(1, 0))
    run.add(span(2, end))
    assert run.window["close_reason"] == reason


def test_growing_backward_seals_too() -> None:
    run = SessionRun(SHORT)
    run.add(span(1, 100))
    run.add(span(2, 0))
    assert run.window["close_reason"] == "max_duration"


def test_a_merge_may_seal() -> None:
    run = SessionRun(replace(POLICY, max_spans=5))
    run.add_each([span(1, 0), span(2, 0), span(3, 2 * GAP), span(4, 2 * GAP)])
    assert len(run.windows) == 2
    run.add(span(5, GAP))
    assert (run.window["close_reason"], run.window["span_count"]) == ("max_spans", 5)


def test_both_maxima_at_once_are_told_as_max_spans() -> None:
    run = SessionRun(replace(POLICY, max_spans=2, max_duration=10))
    run.add(span(1, 0))
    run.add(span(2, 50))
    assert run.window["close_reason"] == "max_spans"


def test_an_ended_window_that_reaches_a_maximum_is_told_as_that() -> None:
    run = SessionRun(SMALL)
    run.add(span(1, 0))
    run.add(end_of(10))
    run.add(span(1, 5))
    assert run.window["close_reason"] == "explicit"
    run.add(span(2, 5))
    assert run.window["close_reason"] == "max_spans"
    run.add(span(1, 6))
    assert len(run.windows) == 2


def test_a_sealed_window_is_no_window_to_end() -> None:
    run = SessionRun(SMALL)
    run.add_each(span(number, number) for number in (1, 2, 3))
    run.add(end_of(3))
    assert run.window["close_reason"] == "max_spans"
    assert run.outcome("end_ignored") == 1


def test_a_span_may_seal_its_window_and_then_end_none() -> None:
    run = SessionRun(SMALL)
    run.add_each([span(1, 1), span(1, 2), span(1, 3, name="session.end")])
    assert run.window["close_reason"] == "max_spans"
    assert run.outcome("end_ignored") == 1


def test_sealing_happens_within_a_record() -> None:
    run = SessionRun(SMALL)
    run.add(*(span(number, number) for number in range(1, 8)))
    assert [row["span_count"] for row in run.windows] == [3, 3, 1]
    assert len({row["window_id"] for row in run.windows}) == 3
