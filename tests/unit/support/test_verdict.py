"""The judge of chaos runs sees each kind of fault that it is there to see."""

from typing import Any

import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from tests.support.chaos.verdict import Verdict, judge_content, judge_replay, judge_route, judge_versions
from tests.support.otlp import HOUR, MINUTE, T0
from tests.support.reference import ReferenceWindow, reference_windows, turn_row, window_row
from tests.support.traffic import make_traffic

KEY = SessionKey("project", "session")
SPAN = (KEY, b"t" * 16, b"s" * 8)

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def expected() -> list[ReferenceWindow]:
    traffic = make_traffic(seed=1, sessions=12, spans=240, begin=T0, length=HOUR, gap=10 * MINUTE)
    return reference_windows(traffic.groups(), Policy(gap=10 * MINUTE))


@pytest.fixture
def stored(expected: list[ReferenceWindow]) -> tuple[Rows, Rows]:
    """What a sink would have stored: windows and turns with ids and versions."""
    windows, turns = [], []
    for number, reference in enumerate(expected):
        ids = {"window_id": f"{number:016x}", "version": 7, "is_deleted": 0}
        windows.append({**window_row(reference.window), **ids})
        turns += [{**turn_row(turn), **ids} for turn in reference.turns.values()]
    return windows, turns


def judged(expected: list[ReferenceWindow], windows: Rows, turns: Rows) -> Verdict:
    verdict = Verdict()
    judge_content(verdict, expected, windows, turns)
    return verdict


def test_what_is_as_the_reference_model_says_is_exact(
    expected: list[ReferenceWindow], stored: tuple[Rows, Rows]
) -> None:
    verdict = judged(expected, *stored)
    assert verdict.is_exact, verdict.text()
    assert (verdict.spans, verdict.sessions, verdict.windows) == (240, 12, len(expected))


def test_a_window_that_is_missing_is_lost(expected: list[ReferenceWindow], stored: tuple[Rows, Rows]) -> None:
    windows, turns = stored
    gone = windows.pop()
    verdict = judged(expected, windows, turns)
    assert verdict.lost == gone["span_count"]
    assert not verdict.is_exact


def test_a_span_that_is_missing_in_one_window_is_lost(
    expected: list[ReferenceWindow], stored: tuple[Rows, Rows]
) -> None:
    windows, turns = stored
    windows[3]["span_count"] -= 1
    verdict = judged(expected, windows, turns)
    assert (verdict.lost, verdict.double, verdict.wrong) == (1, 0, 1)


def test_a_span_that_counts_twice_is_double(expected: list[ReferenceWindow], stored: tuple[Rows, Rows]) -> None:
    windows, turns = stored
    windows[3]["span_count"] += 1
    verdict = judged(expected, windows, turns)
    assert (verdict.lost, verdict.double, verdict.wrong) == (0, 1, 1)


def test_a_window_that_is_there_twice_is_double(expected: list[ReferenceWindow], stored: tuple[Rows, Rows]) -> None:
    windows, turns = stored
    windows.append({**windows[0], "window_id": "f" * 16})
    verdict = judged(expected, windows, turns)
    assert verdict.double == windows[0]["span_count"]
    assert not verdict.is_exact


@pytest.mark.parametrize("field", ["total_tokens", "error_count", "window_end", "state"])
def test_a_window_with_one_other_field_is_wrong(
    expected: list[ReferenceWindow], stored: tuple[Rows, Rows], field: str
) -> None:
    windows, turns = stored
    windows[0][field] = "open" if field == "state" else windows[0][field] + 1
    verdict = judged(expected, windows, turns)
    assert (verdict.lost, verdict.double, verdict.wrong) == (0, 0, 1)


def test_a_turn_that_is_missing_or_other_is_wrong(expected: list[ReferenceWindow], stored: tuple[Rows, Rows]) -> None:
    windows, turns = stored
    assert judged(expected, windows, turns[1:]).wrong == 1
    turns[0]["span_count"] += 1
    assert judged(expected, windows, turns).wrong == 1


def test_one_version_with_two_contents_is_wrong(expected: list[ReferenceWindow], stored: tuple[Rows, Rows]) -> None:
    windows, turns = stored
    assert not judged(expected, [*windows, {**windows[0], "total_tokens": -1}], turns).is_exact


def test_a_repetition_that_only_the_route_stage_made_is_double() -> None:
    verdict = Verdict()
    judge_route(verdict, {SPAN: 2}, {SPAN: 3})
    assert (verdict.lost, verdict.double) == (0, 1)
    assert not verdict.is_exact


def test_a_span_that_was_not_routed_is_lost() -> None:
    verdict = Verdict()
    judge_route(verdict, {SPAN: 2}, {SPAN: 1})
    assert (verdict.lost, verdict.double) == (1, 0)


def rollup(version: int, **fields: object) -> dict[str, object]:
    ids = {"type": "window", "project": "p", "session_id": "s", "window_id": "w", "duplicate_span_count": 0}
    return {**ids, "version": version, **fields}


def test_versions_that_rise_are_exact_and_a_repeated_one_is_counted() -> None:
    verdict = Verdict()
    judge_versions(verdict, [rollup(1), rollup(2), rollup(2, duplicate_span_count=5)])
    assert verdict.is_exact
    assert (verdict.rollups, verdict.repeated) == (3, 1)


def test_a_version_with_two_contents_and_one_after_a_higher_are_wrong() -> None:
    verdict = Verdict()
    judge_versions(verdict, [rollup(1, span_count=1), rollup(1, span_count=2)])
    assert verdict.wrong == 1
    verdict = Verdict()
    judge_versions(verdict, [rollup(2), rollup(1)])
    assert verdict.wrong == 1


def test_a_turn_at_a_lower_version_after_a_higher_is_wrong() -> None:
    verdict = Verdict()
    turns = [[{**rollup(version), "trace_id": "t"}] for version in (5, 4)]
    judge_versions(verdict, [{"type": "turns", "turns": each} for each in turns])
    assert verdict.wrong == 1


@pytest.mark.parametrize(
    "found",
    [{}, {"w": rollup(3), "x": rollup(3)}, {"w": rollup(4)}, {"w": rollup(3, duplicate_span_count=1)}],
    ids=["missing", "one more", "another version", "another count of repetitions"],
)
def test_a_state_that_is_not_that_of_an_undisturbed_stage_is_wrong(found: dict[str, dict[str, object]]) -> None:
    verdict = Verdict()
    judge_replay(verdict, {"w": rollup(3)}, found, "state")
    assert verdict.wrong == 1
    assert not verdict.is_exact


def test_verdicts_add_up() -> None:
    one = Verdict(spans=1, lost=2, rollups=3, findings=["a"])
    one.faults["SIGKILL"] = 1
    both = one + one
    assert (both.spans, both.lost, both.rollups, both.findings, both.faults["SIGKILL"]) == (2, 4, 6, ["a", "a"], 2)
    assert both.line().startswith("NOT EXACT: 2 spans")
