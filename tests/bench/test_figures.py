"""The pure parts of the harness: figures from a sample, and traffic that is what its case says."""

from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from tests.bench.case import LARGE_SPAN_RECORD, Case
from tests.bench.figures import Figure, Sample, figures, table
from tests.bench.load import records
from tests.support.otlp import T0

SAMPLE = Sample(
    spans=200_000,
    seconds=4.0,
    cpu_seconds=3.5,
    idle_cpu_seconds=1.5,
    peak_memory=250_000_000,
    topic_bytes={"otlp_spans": 500_000_000, "session_spans": 8_000_000},
    yardstick_cpu_seconds=0.25,
)


def test_cpu_is_without_the_idle_start_and_told_as_a_multiple_of_the_parse_too() -> None:
    values = {figure.name: (figure.value, figure.unit) for figure in figures(SAMPLE)}
    assert values == {
        "throughput": (50_000.0, "spans/s"),
        "worker CPU": (10.0, "CPU-s per million spans"),
        "worker CPU / parse": (8.0, "times"),
        "parse only": (1.25, "CPU-s per million spans"),
        "worker's start": (1.5, "CPU-s"),
        "peak memory": (250.0, "MB"),
        "otlp_spans": (2_500.0, "bytes/span"),
        "session_spans": (40.0, "bytes/span"),
    }


@pytest.mark.parametrize("nothing", [{"spans": 0}, {"seconds": 0.0}, {"yardstick_cpu_seconds": 0.0}])
def test_a_sample_of_nothing_has_no_figures(nothing: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no spans, no time or no yardstick"):
        figures(replace(SAMPLE, **nothing))  # type: ignore[arg-type]  # mypy does not know which field it is


def test_a_table_has_a_column_for_each_case() -> None:
    text = table([("a", [Figure("speed", "m/s", 1234.5)]), ("case b", [Figure("speed", "m/s", 0.25)])])
    assert text.splitlines() == [
        "| figure | unit |     a | case b |",
        "| ------ | ---- | ----- | ------ |",
        "| speed  | m/s  | 1,234 |   0.25 |",
    ]


@pytest.mark.parametrize(
    "case",
    [
        Case(1_010),
        Case(1_010, span_bytes=500, record_spans=8),
        Case(90, span_bytes=20_000, record_spans=LARGE_SPAN_RECORD),
        Case(1_010, session_spans=100),
        Case(1_010, session_spans=10_000),
    ],
    ids=lambda case: case.name,
)
def test_traffic_is_what_its_case_says(case: Case) -> None:
    batches = [_spans(value) for value in records(case, T0)]
    spans = [span for batch in batches for span in batch]
    assert len(spans) == case.spans
    assert {len(batch) for batch in batches[:-1]} <= {case.record_spans}
    assert len({(span.trace_id, span.span_id) for span in spans}) == case.spans
    assert len({span.attributes[0].value.string_value for span in spans}) == -(-case.spans // case.session_spans)
    assert sum(span.ByteSize() for span in spans) / case.spans == pytest.approx(case.span_bytes, rel=0.1)
    ends = [max(span.end_time_unix_nano for span in batch) for batch in batches]
    assert ends == sorted(ends)


def test_traffic_is_the_same_each_time() -> None:
    assert list(records(Case(1_000), T0)) == list(records(Case(1_000), T0))


def _spans(value: bytes) -> list[Span]:
    request = TracesData.FromString(value)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
