"""What Spanloom wants to reach, and what of it the results show. PURE."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.case import REFERENCE, Case
from tests.bench.figures import Figure, number
from tests.bench.results import Results

_MILLION_OPEN = "1,000,000 open sessions"


@dataclass(frozen=True, slots=True)
class Goal:
    """`limit` is what the value may not exceed, or must reach with `at_least`. `stretch` would be better still."""

    text: str
    unit: str
    limit: float
    value: Callable[[Results], float | None]
    stretch: float | None = None
    at_least: bool = False


_Value = Callable[[Results], float | None]


def _of(part: str, case: str, figure: str) -> _Value:
    """One figure of the first case whose name begins so."""

    def value(results: Results) -> float | None:
        return _value(results.figure(part, lambda name: name.startswith(case), figure))

    return value


def _worst(part: str, figure: str, case: str = "") -> _Value:
    """The largest value of a figure among the cases whose names hold `case`."""

    def value(results: Results) -> float | None:
        found = [
            one.value
            for each in results
            if each.part == part
            for of_case in each.cases
            if case in of_case.case and (one := of_case.figure(figure)) is not None
        ]
        return max(found, default=None)

    return value


def _ratio(of: Callable[[Results], float | None], to: Callable[[Results], float | None]) -> _Value:
    def value(results: Results) -> float | None:
        above, below = of(results), to(results)
        return None if above is None or not below else above / below

    return value


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


_CPU = "CPU-s per million spans"
_SMALL = Case(0, record_spans=8).name

GOALS: Sequence[Goal] = (
    Goal("worker, 2.6 KB a span, 500 a record", _CPU, 6, _of("worker", REFERENCE.name, "worker CPU"), stretch=4),
    Goal("worker, 2.6 KB a span, 8 a record", _CPU, 16, _of("worker", _SMALL, "worker CPU")),
    Goal(
        "span sink, 2.6 KB a span, all stored",
        _CPU,
        15,
        _of("sinks", f"spans of {REFERENCE.name}", "span sink CPU"),
        stretch=8,
    ),
    Goal("rollup sink", "rollups/s", 1_000_000 / 60, _of("sinks", "1,000,000 rollups", "throughput"), at_least=True),
    Goal("watermark passes to row visible, p99", "s", 2, _worst("latency", "watermark passes to row, p99")),
    Goal("a million open sessions, texts of 100 characters", "MB", 1_500, _of("state", _MILLION_OPEN, "memory of all")),
    Goal(
        "CPU a span, a million open sessions to a thousand",
        "times",
        1.3,
        _ratio(_of("state", _MILLION_OPEN, "window CPU"), _of("state", "1,000 open sessions", "window CPU")),
    ),
    Goal(
        "recovery of a million sessions", "s", 10, _of("restart", "1,000,000 sessions after a kill", "of it recovery")
    ),
    Goal("no pause of the worker over", "ms", 250, _worst("restart", "no pause over")),
    Goal(
        "CPU a span, four workers to one",
        "times",
        1.1,
        _ratio(_of("scaling", "4 workers", "worker CPU"), _of("scaling", "1 worker", "worker CPU")),
    ),
)


def main_figures(results: Results) -> str:
    """What was measured of the goals, as Markdown."""
    found = [(goal, value) for goal in GOALS if (value := goal.value(results)) is not None]
    rows = [f"| {goal.text} | {number(value)} {goal.unit} |" for goal, value in found]
    return "\n".join(["| what | measured |", "| --- | ---: |", *rows])


def goals_table(results: Results) -> str:
    """What is wanted, what was measured, and whether that is enough, as Markdown."""
    rows = ["| what | unit | goal | measured | reached |", "| --- | --- | ---: | ---: | --- |"]
    for goal in GOALS:
        value = goal.value(results)
        bound = f"{'≥' if goal.at_least else '≤'} {number(goal.limit)}"
        better = "" if goal.stretch is None else f" (better: {number(goal.stretch)})"
        measured = "not measured" if value is None else number(value)
        rows.append(f"| {goal.text} | {goal.unit} | {bound}{better} | {measured} | {_reached(goal, value)} |")
    return "\n".join(rows)


def _reached(goal: Goal, value: float | None) -> str:
    if value is None:
        return ""
    if goal.stretch is not None and value <= goal.stretch:
        return "yes, and better"
    return "yes" if (value >= goal.limit if goal.at_least else value <= goal.limit) else "no"
