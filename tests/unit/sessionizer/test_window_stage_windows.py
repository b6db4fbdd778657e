"""Which window a span belongs to: gaps, merges, retractions, turns across gaps."""

from itertools import permutations

import pytest

from services.shared.model.session_key import SessionKey
from tests.support.session_run import GAP, KEY, POLICY, SessionRun, span
from tests.support.spans import SECOND


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(GAP - 1, [(0, 5 + GAP - 1)]), (GAP, [(0, 5 + GAP)]), (GAP + 1, [(0, 5), (5 + GAP + 1, 5 + GAP + 1)])],
)
def test_a_span_exactly_one_gap_later_extends_the_window(silence: int, expected: list[tuple[int, int]]) -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(span(2, 5 + silence))
    assert run.bounds == expected


@pytest.mark.parametrize(
    ("silence", "expected"),
    [(GAP - 1, [(-GAP, 5)]), (GAP, [(-GAP - 1, 5)]), (GAP + 1, [(-GAP - 2, -GAP - 1), (0, 5)])],
)
def test_a_span_exactly_one_gap_earlier_extends_the_window_backward(
    silence: int, expected: list[tuple[int, int]]
) -> None:
    run = SessionRun()
    run.add(span(1, 0, 5))
    run.add(span(2, -silence - 1, -silence))
    assert run.bounds == expected


def test_a_span_inside_the_window_leaves_its_bounds() -> None:
    run = SessionRun()
    run.add(span(1, 0, 50))
    run.add(span(2, 20, 30))
    assert run.bounds == [(0, 50)]
    assert run.window["turn_count"] == 2


def test_a_span_around_the_window_extends_it_both_ways() -> None:
    run = SessionRun()
    run.add(span(1, 20, 30))
    run.add(span(2, 0, 50))
    assert run.bounds == [(0, 50)]


def test_the_distance_is_measured_between_intervals_not_between_starts() -> None:
    run = SessionRun()
    run.add(span(1, 0, 10 * GAP))
    run.add(span(2, 11 * GAP))
    assert run.bounds == [(0, 11 * GAP)]


def test_a_trace_is_never_split_whatever_the_silence_inside_it() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(1, 5 * GAP))
    assert run.bounds == [(0, 5 * GAP)]
    assert run.window["turn_count"] == 1


def test_a_trace_across_a_gap_draws_in_what_lies_in_its_silence() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 3 * GAP))
    assert len(run.windows) == 2
    run.add(span(1, 6 * GAP))
    assert run.bounds == [(0, 6 * GAP)]
    assert run.turns(run.window) == [1, 2]


def test_a_span_between_two_windows_merges_them_into_the_older() -> None:
    run = SessionRun()
    run.add(span(2, 2 * GAP))  # opened first, though it starts later
    run.add(span(1, 0))
    first, second = run.windows
    older = second["window_id"]
    run.add(span(3, GAP))
    merged = run.window
    assert merged["window_id"] == older
    assert merged["opened_at"] == second["opened_at"]
    assert merged["first_seen_at"] == second["first_seen_at"]
    assert merged["window_start"] == first["window_start"]
    assert run.turns(merged) == [1, 2, 3]


def test_one_span_merges_as_many_windows_as_it_reaches() -> None:
    run = SessionRun()
    for number in range(4):
        run.add(span(number + 1, 2 * GAP * number))
    assert len(run.windows) == 4
    run.add(span(9, GAP, 5 * GAP))
    assert run.bounds == [(0, 6 * GAP)]
    assert run.window["span_count"] == 5


def test_one_that_is_one_ns_too_far_is_not_merged() -> None:
    run = SessionRun()
    for number, start in enumerate((0, 2 * GAP, 4 * GAP + 1), start=1):
        run.add(span(number, start))
    run.add(span(9, GAP, 3 * GAP))
    assert run.bounds == [(0, 3 * GAP), (4 * GAP + 1, 4 * GAP + 1)]


def test_an_absorbed_window_that_was_published_is_retracted_with_its_turns_at_the_version_of_the_merge() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    absorbed = run.windows[1]
    version = run.add(span(3, GAP))
    published = run.flush()
    [retraction] = [row for row in published.windows if row["is_deleted"]]
    assert (retraction["window_id"], retraction["version"]) == (absorbed["window_id"], version)
    assert retraction["opened_at"] == absorbed["opened_at"]
    [deleted] = [row for row in published.turns if row["is_deleted"]]
    assert (deleted["window_id"], deleted["version"]) == (absorbed["window_id"], version)
    assert int(deleted["trace_id"], 16) == 2
    [survivor] = [row for row in published.windows if not row["is_deleted"]]
    assert survivor["version"] == version
    gained = {int(row["trace_id"], 16) for row in published.turns if row["window_id"] == survivor["window_id"]}
    assert gained == {2, 3}


def test_an_absorbed_window_that_was_never_published_leaves_no_retraction() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    run.add(span(3, GAP))
    published = run.flush()
    assert [row["is_deleted"] for row in published.windows] == [False]
    assert [row["is_deleted"] for row in published.turns] == [False] * 3


def test_a_window_opened_and_absorbed_in_one_record_leaves_no_retraction() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.flush()
    run.add(span(2, 2 * GAP), span(3, GAP))
    assert [row["is_deleted"] for row in run.flush(drain=True).windows] == [False]


def test_of_windows_opened_in_one_record_the_first_position_is_the_older() -> None:
    run = SessionRun()
    run.add(span(2, 2 * GAP), span(1, 0), span(3, GAP))
    assert run.window["opened_at"] - run.window["window_start"] == 2 * GAP


def test_a_merge_is_published_at_the_next_flush_whatever_the_snapshot_interval() -> None:
    run = SessionRun()
    run.pass_time(0)
    run.add(span(1, 10))
    run.add(span(2, 10 + 2 * GAP))
    run.flush()
    run.add(span(3, 10 + GAP))
    assert len(run.flush().windows) == 2


def test_any_order_of_arrival_gives_the_same_windows() -> None:
    spans = [span(1, 0, 5), span(2, GAP), span(3, 3 * GAP), span(1, 9), span(4, 4 * GAP + 1, 5 * GAP), span(5, 7 * GAP)]
    found = set()
    for order in permutations(spans):
        run = SessionRun()
        run.add_each(order)
        found.add(tuple(run.bounds))
    assert found == {((0, GAP), (3 * GAP, 3 * GAP), (4 * GAP + 1, 5 * GAP), (7 * GAP, 7 * GAP))}


def test_a_project_with_a_gap_of_its_own_is_cut_by_it() -> None:
    policy = type(POLICY)(gap=GAP, gap_by_project={"voice": 3 * SECOND}, max_duration=POLICY.max_duration)
    run = SessionRun(policy, SessionKey("voice", "s1"))
    run.add(span(1, 0))
    run.add(span(2, 3 * SECOND))
    run.add(span(3, 6 * SECOND + 1))
    assert run.bounds == [(0, 3 * SECOND), (6 * SECOND + 1, 6 * SECOND + 1)]
    assert {row["gap_ns"] for row in run.windows} == {3 * SECOND}


def test_one_session_id_of_two_projects_is_two_sessions() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1))
    run.add(span(1, 0, number=1), key=SessionKey("other", KEY.session_id))
    assert sorted(row["project"] for row in run.windows) == ["other", "shop"]
    assert {row["span_count"] for row in run.windows} == {1}


def test_a_trace_in_two_sessions_is_a_turn_of_each() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(1, 1), key=SessionKey("shop", "s2"))
    assert [row["turn_count"] for row in run.windows] == [1, 1]


def test_a_window_keeps_its_id_and_opening_whatever_is_added() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    before = run.window
    run.add_each([span(2, -GAP), span(3, GAP), span(1, 2 * GAP)])
    after = run.window
    for name in ("window_id", "opened_at", "first_seen_at", "is_late"):
        assert after[name] == before[name]
    assert after["version"] > before["version"]


def test_the_same_log_gives_the_same_ids_and_versions() -> None:
    spans = [span(1, 0), span(2, GAP), span(3, 5 * GAP)]
    runs = [SessionRun(), SessionRun()]
    for run in runs:
        run.add_each(spans)
    assert runs[0].windows == runs[1].windows


def test_windows_opened_at_other_places_of_the_log_have_other_ids() -> None:
    first, second = SessionRun(), SessionRun()
    one = span(1, 0, number=1)
    first.add(one)
    second.pass_time(-GAP)
    second.add(one)
    assert first.window["window_id"] != second.window["window_id"]
