"""The pure parts of the harness: figures from what was measured, tables, results as JSON, when time passed."""

from dataclasses import replace

import pytest

from tests.bench.figures import Figure, Look, Sample, figures, percentile, table
from tests.bench.passing import Passing, Promise
from tests.bench.results import CaseResult, PartResult, Results

SAMPLE = Sample(
    spans=250_000,
    first=Look(at=10.0, cpu_seconds=1.5, spans=(60_000, 40_000)),
    last=Look(at=14.0, cpu_seconds=3.5, spans=(250_000, 250_000)),
    peak_memory=250_000_000,
    topic_bytes={"otlp_spans": 500_000_000, "session_spans": 8_000_000},
    yardstick=1.25e-6,
)


def test_cpu_is_that_of_the_spans_after_the_warm_up_and_told_as_a_multiple_of_the_parse_too() -> None:
    values = {figure.name: (figure.value, figure.unit) for figure in figures(SAMPLE)}
    assert values == {
        "worker CPU": (10.0, "CPU-s per million spans"),
        "worker CPU / parse": (8.0, "times"),
        "parse only": (1.25, "CPU-s per million spans"),
        "throughput": (50_000.0, "spans/s"),
        "peak memory": (250.0, "MB"),
        "otlp_spans": (2_000.0, "bytes/span"),
        "session_spans": (32.0, "bytes/span"),
    }


@pytest.mark.parametrize("nothing", [{"last": SAMPLE.first}, {"yardstick": 0.0}])
def test_a_sample_of_nothing_has_no_figures(nothing: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no spans, no time or no yardstick"):
        figures(replace(SAMPLE, **nothing))  # type: ignore[arg-type]  # mypy does not know which field it is


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (51, 3), (99, 4), (100, 4)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_a_table_has_a_row_for_each_case() -> None:
    text = table([("a", [Figure("speed", "m/s", 1234.5)]), ("case b", [Figure("speed", "m/s", 0.25)])])
    assert text.splitlines() == [
        "| case   | speed, m/s |",
        "| ------ | ---------: |",
        "| a      |      1,234 |",
        "| case b |       0.25 |",
    ]


def _part(*cases: CaseResult, name: str = "worker") -> PartResult:
    return PartResult(name, {"Python": "3"}, "tests/bench/run worker", 12.0, cases, ["another"])


def test_results_are_the_same_after_json() -> None:
    part = _part(CaseResult("a", [Figure("speed", "m/s", 2.0)]))
    (again,) = Results.from_json(Results([part]).to_json())
    assert (again.cases[0], again.left_out, again.about) == (part.cases[0], ["another"], part.about)


def test_a_part_that_is_measured_again_replaces_the_older_one() -> None:
    results = Results([_part(CaseResult("a", [Figure("speed", "m/s", 2.0)])), _part(name="other")])
    results.add(_part(CaseResult("a", [Figure("speed", "m/s", 3.0)])))
    assert [part.part for part in results] == ["worker", "other"]
    assert results.figure("worker", "a".__eq__, "speed") == Figure("speed", "m/s", 3.0)
    assert results.figure("worker", "b".__eq__, "speed") is None


def test_cases_of_different_figures_stand_in_tables_of_their_own() -> None:
    speed, size = Figure("speed", "m/s", 2.0), Figure("size", "m", 1.0)
    tables = _part(CaseResult("a", [speed]), CaseResult("b", [speed]), CaseResult("c", [size])).tables()
    assert [len(each.splitlines()) for each in tables.split("\n\n")] == [4, 3]


def test_time_has_passed_when_the_last_source_promised_it() -> None:
    log = [Promise(1, "a", 100), Promise(2, "b", 90), Promise(3, "b", 110), Promise(4, "a", 95), Promise(5, "a", 120)]
    passing = Passing(log, sources=2)
    assert [passing.moment(time) for time in (80, 89, 90, 99, 100, 109)] == [2, 2, 3, 3, 5, 5]
    with pytest.raises(ValueError, match="never passed 110"):
        passing.moment(110)


def test_no_time_passes_before_every_source_was_heard() -> None:
    with pytest.raises(ValueError, match="never passed 5"):
        Passing([Promise(1, "a", 100)], sources=2).moment(5)
