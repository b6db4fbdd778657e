from collections import defaultdict

import pytest

from services.sessionizer.route_stage import LARGE_RECORD_BYTES, RouteStage
from services.sessionizer.span_outputs import SessionSpansOutput
from services.sessionizer.stage import Flush, InputRecord, Moment, Output, Stage
from services.shared.model.session_key import SessionKey
from services.shared.otlp.rules import Rules
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, decode
from services.shared.records.span_chunks import MAX_RECORD_BYTES
from services.shared.telemetry import METRICS
from tests.support.otlp import SECOND, T0, encodings, request, span, to_json, to_protobuf

PARTITIONS = 4
NOW = T0 + 1000 * SECOND
RECORD_TIME = T0 + 60 * SECOND


def make_stage() -> RouteStage:
    return RouteStage(
        Rules(),
        partition=5,
        spans_topic="otlp_spans",
        sources=6,
        session_spans=SessionSpansOutput("session_spans", PARTITIONS),
        trace_spans=None,
        dead_letter_topic="otlp_spans.dead-letter",
        dead_letter_partitions=3,
        out_of_orderness=10 * SECOND,
        idle_after=5 * SECOND,
        service_version="1.2.3",
    )


def record_of(value: bytes | None, *, offset: int = 0, timestamp: int = RECORD_TIME) -> InputRecord:
    return InputRecord(offset, timestamp, b"key", value, (("tenant", b"acme"),))


def flush(stage: RouteStage, *, now: int = NOW, caught_up: bool = False, drain: bool = False) -> Flush:
    return stage.flush(Moment(now=now, caught_up=caught_up, drain=drain))


def spans_records(outputs: Flush) -> list[tuple[int, SpansRecord]]:
    return [
        (output.partition, found)
        for output in outputs.outputs
        if output.topic == "session_spans" and isinstance(found := decode(output.value), SpansRecord)
    ]


def watermarks(outputs: Flush) -> list[tuple[int, WatermarkRecord]]:
    return [
        (output.partition, found)
        for output in outputs.outputs
        if output.topic == "session_spans" and isinstance(found := decode(output.value), WatermarkRecord)
    ]


def span_ids_by_session(outputs: Flush) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for _, item in spans_records(outputs):
        for group in item.groups:
            found[group.key.session_id] += [int.from_bytes(fact.span_id, "big") for fact in group.items]
    return dict(found)


def test_route_is_a_stage_without_state() -> None:
    stage: Stage = make_stage()

    stage.restore([])
    assert stage.restored() is None
    assert stage.backlog == 0
    with pytest.raises(ValueError, match="no state"):
        stage.restore([(b"key", b"value")])


def test_spans_go_to_the_partition_of_their_session_and_carry_their_records_time() -> None:
    stage = make_stage()
    sessions = [f"s{i}" for i in range(20)]
    stage.fold(record_of(to_protobuf(request(*(span(attributes={"session.id": name}) for name in sessions)))))

    found = spans_records(flush(stage))

    assert len(found) == PARTITIONS
    groups = [(partition, group) for partition, item in found for group in item.groups]
    assert sorted(group.key.session_id for _, group in groups) == sorted(sessions)
    assert {group.record_time for _, group in groups} == {RECORD_TIME}
    assert all(group.key.partition(PARTITIONS) == partition for partition, group in groups)
    assert all(output.key is None for output in flush(stage, now=NOW + SECOND).outputs)


def test_source_records_share_a_chunk_and_keep_the_log_order_within_a_session() -> None:
    stage = make_stage()
    for offset in range(50):
        data = request(
            *(span(span_id=1 + 2 * offset + i, attributes={"session.id": f"s{(offset + i) % 3}"}) for i in range(2))
        )
        stage.fold(record_of(to_protobuf(data), offset=offset, timestamp=RECORD_TIME + offset))

    outputs = flush(stage)

    assert len(spans_records(outputs)) == len({SessionKey("default", f"s{i}").partition(PARTITIONS) for i in range(3)})
    found = span_ids_by_session(outputs)
    assert all(ids == sorted(ids) for ids in found.values())
    assert sum(map(len, found.values())) == 100


@pytest.mark.parametrize("sessions", [1, 500])
@pytest.mark.parametrize("text", ["x", "é", "\U0001f600"])
def test_no_record_is_over_the_limit_and_nothing_is_lost_or_out_of_order(sessions: int, text: str) -> None:
    stage = make_stage()
    data = request(
        *(
            span(
                span_id=1 + i,
                trace_id=1 + i,
                attributes={"session.id": f"s{i % sessions}", "input.value": text * 1024, "output.value": text * 1024},
            )
            for i in range(1_000)
        )
    )
    stage.fold(record_of(to_protobuf(data)))
    backlog = stage.backlog

    outputs = flush(stage)

    sizes = [len(output.value) for output in outputs.outputs if output.topic == "session_spans"]
    assert max(sizes) <= MAX_RECORD_BYTES
    assert sum(sizes) / 6 < backlog < sum(sizes) * 2
    assert stage.backlog == 0
    found = span_ids_by_session(outputs)
    assert all(ids == sorted(ids) for ids in found.values())
    assert sum(map(len, found.values())) == 1_000


def test_the_largest_span_fits_a_record() -> None:
    """Every part of it at its bound, in characters of four bytes."""
    huge = "\U0001f600" * 2_000
    attributes = {
        "session.id": "\U0001f600" * 256,
        "user.id": huge,
        "gen_ai.agent.name": huge,
        "deployment.environment": huge,
        "llm.model_name": huge,
        "openinference.span.kind": "LLM",
        "input.value": huge,
        "output.value": huge,
        "tag.tags": [f"{i}{huge}" for i in range(200)],
        **{f"session.{i}": huge for i in range(200)},
        **{f"metadata.{i}": huge for i in range(200)},
    }
    stage = make_stage()
    stage.fold(
        record_of(to_protobuf(request(span(name=huge, is_error=True, status_message=huge, attributes=attributes))))
    )

    [(_, item)] = spans_records(flush(stage))

    assert len(item.groups[0].items) == 1


@pytest.mark.parametrize("index", range(5))
def test_every_encoding_gives_the_same_outputs(index: int) -> None:
    data = request(*(span(span_id=1 + i, attributes={"session.id": f"s{i % 5}", "user.id": "u"}) for i in range(20)))
    plain, other = make_stage(), make_stage()
    plain.fold(record_of(to_protobuf(data)))
    other.fold(record_of(encodings(data)[index]))

    assert flush(plain) == flush(other)


def test_a_record_that_cannot_be_decoded_is_a_dead_letter_with_its_story_and_the_stream_goes_on() -> None:
    stage = make_stage()
    broken = to_protobuf(request(span(attributes={"session.id": "lost"})))[:-3]
    stage.fold(record_of(broken, offset=41))
    assert stage.backlog >= len(broken)
    stage.fold(record_of(to_protobuf(request(span(attributes={"session.id": "kept"}))), offset=42))

    outputs = flush(stage)

    letters = [output for output in outputs.outputs if output.topic == "otlp_spans.dead-letter"]
    assert letters == [
        Output(
            "otlp_spans.dead-letter",
            2,
            b"key",
            broken,
            (
                ("tenant", b"acme"),
                ("reason", b"truncated"),
                ("detail", b"the record ends inside a field at byte %d" % len(broken)),
                ("source_topic", b"otlp_spans"),
                ("source_partition", b"5"),
                ("source_offset", b"41"),
                ("service_version", b"1.2.3"),
            ),
        )
    ]
    assert span_ids_by_session(outputs) == {"kept": [1]}
    assert outputs.counts["spanloom_records_total", "truncated"] == 1
    assert outputs.counts["spanloom_records_total", "decoded"] == 1
    assert not any(output.topic.endswith("dead-letter") for output in flush(stage).outputs)


def test_a_detail_is_bounded() -> None:
    stage = make_stage()
    path = {"x" * 10_000: 1}
    stage.fold(record_of(b'{"resourceSpans": "%s"}' % (b"y" * 10_000)))
    stage.fold(record_of(str(path).replace("'", '"').encode()))

    for output in flush(stage).outputs:
        assert len(dict(output.headers)["detail"]) <= 500


def test_a_record_without_a_value_has_no_spans() -> None:
    stage = make_stage()
    stage.fold(record_of(None))

    outputs = flush(stage)

    assert list(outputs.outputs) == []
    assert outputs.counts == {("spanloom_records_total", "decoded"): 1}


def test_a_record_of_20_mb_is_counted_and_its_spans_count() -> None:
    stage = make_stage()
    data = request(span(attributes={"session.id": "s", "big": "x" * (20 << 20)}), span(span_id=2))
    stage.fold(record_of(to_protobuf(data)))

    outputs = flush(stage)

    assert LARGE_RECORD_BYTES < 20 << 20
    assert outputs.counts["spanloom_span_notes_total", "large_record"] == 1
    assert span_ids_by_session(outputs) == {"s": [1, 2]}


def test_only_declared_metrics_are_counted_and_each_flush_counts_its_own() -> None:
    stage = make_stage()
    stage.fold(record_of(b"garbage"))
    stage.fold(
        record_of(to_json(request(span(start=0), span(span_id=0), span(span_id=2, attributes={"session.id": "s"}))))
    )

    counts = flush(stage).counts

    assert {name for name, _ in counts} <= METRICS.keys()
    assert counts["spanloom_spans_total", "routed"] == 2
    assert counts["spanloom_spans_total", "invalid_id"] == 1
    assert counts["spanloom_span_notes_total", "time_missing"] == 1
    assert counts["spanloom_session_id_source_total", "trace"] == 1
    assert counts["spanloom_session_id_source_total", "session.id"] == 1
    assert not flush(stage).counts


def test_watermarks_go_to_every_partition_after_the_spans_they_speak_about() -> None:
    stage = make_stage()
    stage.fold(
        record_of(to_protobuf(request(span(attributes={"session.id": "s"}), span(trace_id=2, start=T0 + SECOND))))
    )

    outputs = flush(stage)

    expected = WatermarkRecord("otlp_spans/5", T0 + 2 * SECOND - 10 * SECOND, 6)
    assert watermarks(outputs) == [(partition, expected) for partition in range(PARTITIONS)]
    assert [isinstance(decode(output.value), WatermarkRecord) for output in outputs.outputs] == [False] + [True] * 4
    assert stage.gauges == {"spanloom_watermark_seconds": (T0 - 8 * SECOND) / SECOND}


def test_the_number_of_sources_may_rise() -> None:
    stage = make_stage()
    stage.fold(record_of(to_protobuf(request(span()))))
    stage.sources = 9

    assert {item.sources for _, item in watermarks(flush(stage))} == {9}


def test_a_flush_without_anything_to_say_is_empty() -> None:
    stage = make_stage()

    assert flush(stage, caught_up=True).is_empty
    assert stage.gauges == {}
