"""What `route` tells `resolve`, and what it says of time there."""

from services.sessionizer.route_stage import RouteStage
from services.sessionizer.span_outputs import SessionSpansOutput, TraceSpansOutput
from services.sessionizer.stage import Flush
from services.shared.otlp.rules import Resolve, Rules
from services.shared.records import trace_spans
from services.shared.records.session_spans import WatermarkRecord
from services.shared.records.span_chunks import MAX_RECORD_BYTES
from services.shared.records.trace_spans import TracesRecord, trace_partition
from tests.support.otlp import SECOND, T0, request, span, to_protobuf
from tests.unit.sessionizer.test_route_stage import PARTITIONS, RECORD_TIME, flush, record_of, watermarks

TRACE_PARTITIONS = 3


def make_stage(resolve: Resolve) -> RouteStage:
    return RouteStage(
        Rules(resolve=resolve),
        partition=5,
        spans_topic="otlp_spans",
        sources=6,
        session_spans=SessionSpansOutput("session_spans", PARTITIONS),
        trace_spans=TraceSpansOutput("trace_spans", TRACE_PARTITIONS),
        dead_letter_topic="otlp_spans.dead-letter",
        dead_letter_partitions=3,
        out_of_orderness=10 * SECOND,
        idle_after=5 * SECOND,
        service_version="1.2.3",
    )


def trace_records(outputs: Flush) -> list[tuple[int, TracesRecord | WatermarkRecord]]:
    return [
        (output.partition, trace_spans.decode(output.value))
        for output in outputs.outputs
        if output.topic == "trace_spans"
    ]


def test_spans_that_wait_and_traces_that_are_bound_go_to_the_partition_of_their_trace() -> None:
    stage = make_stage(Resolve.ALWAYS)
    waiting = [span(span_id=2, trace_id=trace) for trace in range(1, 40)]
    said = {"openinference.span.kind": "EVALUATOR", "annotations.0.annotation.name": "q"}
    said["annotations.0.annotation.label"] = "good"
    waiting += [span(trace_id=100, span_id=trace, attributes=said, links=[(trace, 1)]) for trace in range(200, 220)]
    naming = [span(span_id=1, trace_id=trace, attributes={"session.id": f"s{trace % 5}"}) for trace in range(40, 80)]
    stage.fold(record_of(to_protobuf(request(*waiting, *naming))))
    assert stage.backlog > 5_000

    records = [(at, found) for at, found in trace_records(flush(stage)) if isinstance(found, TracesRecord)]

    assert {at for at, _ in records} == set(range(TRACE_PARTITIONS))
    held = [(at, each.facts.session_trace) for at, found in records for group in found.waiting for each in group.spans]
    bound = [(at, trace) for at, found in records for group in found.bindings for trace in group.traces]
    assert (len(held), len(bound)) == (59, 40)
    assert all(at == trace_partition(trace, TRACE_PARTITIONS) for at, trace in (*held, *bound))
    assert {group.record_time for _, found in records for group in found.waiting} == {RECORD_TIME}
    assert {group.record_time for _, found in records for group in found.bindings} == {RECORD_TIME}
    assert max(len(found.bindings) for _, found in records) <= 5, "one group for each session"


def test_the_sources_of_sessions_are_the_partitions_of_spans_and_of_traces() -> None:
    stage = make_stage(Resolve.WHEN_MISSING)
    stage.fold(record_of(to_protobuf(request(span()))))

    outputs = flush(stage)

    told = T0 + SECOND - 10 * SECOND
    assert {item for _, item in watermarks(outputs)} == {WatermarkRecord("otlp_spans/5", told, 6 + TRACE_PARTITIONS)}
    *spans, last = trace_records(outputs)
    assert [item for _, item in (*spans, last) if isinstance(item, WatermarkRecord)] == [
        WatermarkRecord("otlp_spans/5", told, 6)
    ] * TRACE_PARTITIONS
    assert isinstance(spans[0][1], TracesRecord), "time comes after the spans it speaks about"


def test_no_record_of_traces_is_over_the_limit() -> None:
    stage = make_stage(Resolve.ALWAYS)
    for trace in range(1, 3):
        data = request(
            *(
                span(span_id=1 + i, trace_id=trace, attributes={"input.value": "\U0001f600" * 1024})
                for i in range(1_000)
            )
        )
        stage.fold(record_of(to_protobuf(data)))

    outputs = flush(stage)

    assert max(len(output.value) for output in outputs.outputs) <= MAX_RECORD_BYTES
    found = [item for _, item in trace_records(outputs) if isinstance(item, TracesRecord)]
    spans = [each.facts for item in found for group in item.waiting for each in group.spans]
    assert [int.from_bytes(each.span_id, "big") for each in spans if each.trace_id[-1] == 1] == list(range(1, 1_001))
    assert len(spans) == 2_000
