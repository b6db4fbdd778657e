"""What the pages say is what the committed results have; goals and sums are what they claim to be."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench import latency, restart, sinks, state, worker
from tests.bench.case import REFERENCE
from tests.bench.figures import Figure
from tests.bench.goals import GOALS, goals_table, main_figures
from tests.bench.options import MOST, RATE, SESSIONS
from tests.bench.page import PAGES, results
from tests.bench.parts import PARTS
from tests.bench.results import CaseResult, PartResult, Results
from tests.bench.sizing import Constants, NotMeasuredError, Traffic, constants, plan, plan_table

KNOWN = Constants(
    worker_cpu=4e-6,
    worker_cpu_byte=1e-9,
    sink_cpu=8e-6,
    sink_cpu_byte=1e-9,
    rollup_cpu=3e-5,
    worker_bytes=1e8,
    held_bytes=1_000.0,
    changelog_bytes=500.0,
    session_spans_bytes=50.0,
    rollups_bytes=100.0,
    recovery_seconds=1e-5,
    stored_span=0.25,
    stored_window=200.0,
    stored_turn=100.0,
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_made_from_the_committed_results(path: Path) -> None:
    assert path.read_text() == PAGES[path](results())


def test_results_are_of_parts_that_exist() -> None:
    assert {part.part for part in results()} <= PARTS.keys()


def _measured(part: str, case: str, figure: str, value: float) -> PartResult:
    return PartResult(part, {}, "", 1.0, [CaseResult(case, [Figure(figure, "", value)])])


@pytest.mark.parametrize(("value", "reached"), [(3.9, "yes, and better"), (6.0, "yes"), (6.1, "no")])
def test_a_goal_tells_whether_it_is_reached(value: float, reached: str) -> None:
    table = goals_table(Results([_measured("worker", REFERENCE.name, "worker CPU", value)]))
    assert [row.split(" | ")[-1].rstrip(" |") for row in table.splitlines() if "500 a record" in row] == [reached]


def test_the_worst_of_several_cases_decides() -> None:
    cases = [
        CaseResult(name, [Figure("watermark passes to row, p99", "s", value)]) for name, value in (("a", 1), ("b", 3))
    ]
    (row,) = main_figures(Results([PartResult("latency", {}, "", 1.0, cases)])).splitlines()[2:]
    assert row == "| watermark passes to row visible, p99 | 3 s |"


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert goals_table(Results()).count("not measured") == len(GOALS)
    with pytest.raises(NotMeasuredError, match="restart: no 'memory'"):
        constants(Results())


def test_processes_and_disk_follow_from_traffic_and_constants() -> None:
    traffic = Traffic(
        spans=100_000, average=0.5, span_bytes=1_500, session_spans=10, session_turns=2, load=0.5, replicas=3
    )
    needs = {figure.name: figure.value for figure in plan(traffic, KNOWN)}
    assert needs["worker CPU"] == pytest.approx(0.5)
    assert needs["workers"] == 1
    assert needs["sink CPU"] == pytest.approx(0.9 + 0.9)
    assert (needs["sinks"], needs["partitions of each topic"]) == (4, 8)
    assert needs["open sessions"] == 10_000 * 2_100
    spans_a_day = 100_000 * 0.5 * 86_400
    assert needs["disk of ClickHouse for spans"] == pytest.approx(spans_a_day * 1_500 * 0.25 * 30 / 1e9)
    assert needs["disk of ClickHouse for sessions"] == pytest.approx(spans_a_day / 10 * 400 * 400 / 1e9)


@pytest.mark.parametrize("name", [field.name for field in fields(Constants)])
def test_every_constant_counts(name: str) -> None:
    larger = replace(KNOWN, **{name: 1_000 * getattr(KNOWN, name)})
    traffic = Traffic()
    assert plan_table(traffic, larger) != plan_table(traffic, KNOWN)


def _of_a_full_run() -> Results:
    """With the names that the parts give their cases, and any figure that one of them might have."""
    nowhere: Any = None
    names = {
        "worker": [name for name, _ in worker.cases(nowhere, quick=False, most=MOST)],
        "sinks": [name for name, _ in sinks.cases(nowhere, quick=False, most=MOST)],
        "state": [name for name, _ in state.cases(sessions=SESSIONS, quick=False)],
        "latency": [name for name, _ in latency.cases(nowhere, rate=RATE, quick=False)],
        "restart": restart.names(SESSIONS),
        "api": [f"{SESSIONS:,} sessions are made"],
        "scaling": ["1 worker", "4 workers"],
    }
    found = [Figure(name, "any", 1e6) for name in _FIGURES]
    return Results(
        PartResult(part, {}, "", 1.0, [CaseResult(case, found) for case in of]) for part, of in names.items()
    )


_FIGURES = (
    *(
        "worker CPU",
        "span sink CPU",
        "rollup sink CPU",
        "window CPU",
        "memory",
        "memory of all",
        "memory of the worker",
    ),
    *("bytes of them", "session_spans", "session_rollups", "of it recovery", "in ClickHouse", "windows in ClickHouse"),
    *("turns in ClickHouse", "throughput", "watermark passes to row, p99", "no pause over"),
)


def test_goals_and_sizing_find_what_they_need_in_the_results_of_a_full_run() -> None:
    found = _of_a_full_run()
    assert "not measured" not in goals_table(found)
    assert constants(found).worker_cpu == 1.0
