"""Splitting an export request: nothing is lost, nothing is cut, small ones are left alone."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.gateway.body import Encoding, Export, Refusal, encoding_of, read_body
from services.gateway.records import LARGEST, PREFERRED, Records, to_records
from tests.support.otlp import request, request_of, resource_spans, span, to_json, to_protobuf


def _records(data: TracesData, project: str = "") -> Records:
    return to_records(Export(to_protobuf(data), data), project)


def _requests(records: Records) -> list[TracesData]:
    return [TracesData.FromString(record.value) for record in records.records]


def _told(data: TracesData) -> list[tuple[str, str, Span]]:
    """(resource, scope, span) of every span in order."""
    return [
        (str(group.resource) + group.schema_url, str(scoped.scope) + scoped.schema_url, item)
        for group in data.resource_spans
        for scoped in group.scope_spans
        for item in scoped.spans
    ]


def _long(number: int, size: int) -> Span:
    return span(span_id=number, attributes={"input.value": "x" * size})


@pytest.mark.parametrize("encode", [to_protobuf, to_json])
def test_a_small_request_keeps_the_bytes_of_its_client(encode: object) -> None:
    data = request(span(), resource={"service.name": "bot"})
    body = to_protobuf(data) if encode is to_protobuf else to_json(data)
    (record,) = to_records(Export(body, data), "").records
    assert record.value is body
    assert record.span_count == 1


def test_a_large_request_becomes_records_of_at_most_the_preferred_size_with_the_same_spans_in_order() -> None:
    groups = [
        resource_spans([_long(100 * g + n, 9_000) for n in range(1, 80)], resource={"service.name": f"bot-{g}"})
        for g in range(1, 4)
    ]
    groups[1].schema_url = "https://example.org/schema"
    groups[1].scope_spans[0].schema_url = "https://example.org/scope"
    groups[2].scope_spans.add(spans=[_long(900, 10)])
    data = request_of(*groups)
    told = _told(data)
    records = _records(data)
    assert all(len(record.value) <= PREFERRED for record in records.records)
    assert len(records.records) == 5  # 2.1 MB
    assert [item for part in _requests(records) for item in _told(part)] == told
    assert [record.span_count for record in records.records] == [len(_told(part)) for part in _requests(records)]
    assert records.too_large == 0


def test_a_span_over_the_preferred_size_goes_alone() -> None:
    records = _records(request(_long(1, 10), _long(2, 600_000), _long(3, 10)))
    assert [[item.span_id[-1] for _, _, item in _told(part)] for part in _requests(records)] == [[1], [2], [3]]


def test_a_span_that_fits_no_record_is_left_out_and_counted() -> None:
    records = _records(request(_long(1, 10), _long(2, LARGEST), _long(3, 10)))
    assert [[item.span_id[-1] for _, _, item in _told(part)] for part in _requests(records)] == [[1], [3]]
    assert records.too_large == 1


def test_spans_under_a_resource_that_fits_no_record_are_counted_each() -> None:
    records = _records(request(_long(1, 10), _long(2, 10), resource={"blob": "x" * LARGEST}))
    assert records.records == []
    assert records.too_large == 2


def test_the_project_header_is_written_over_what_every_resource_says() -> None:
    name = "openinference.project.name"
    data = request_of(
        resource_spans([span()], resource={name: "old", "service.name": "bot"}), resource_spans([span(span_id=2)])
    )
    (part,) = _requests(_records(data, project="new"))
    assert [
        {attribute.key: attribute.value.string_value for attribute in group.resource.attributes}
        for group in part.resource_spans
    ] == [{"service.name": "bot", name: "new"}, {name: "new"}]


def test_a_request_without_spans_writes_nothing() -> None:
    assert _records(TracesData()).records == []
    assert _records(request()).records == []


def test_content_types_are_told_apart() -> None:
    assert encoding_of("application/x-protobuf") is Encoding.PROTOBUF
    assert encoding_of("Application/JSON; charset=utf-8") is Encoding.JSON
    assert encoding_of("text/plain") is None
    assert encoding_of("") is None


def test_a_protobuf_request_that_begins_like_json_is_read_as_protobuf() -> None:
    body = next(body for size in range(200) if (body := to_protobuf(request(span(name="n" * size))))[1:2] == b"{")
    assert body.startswith(b"\n{")
    assert isinstance(read_body(body, Encoding.PROTOBUF, "", 1 << 20), Export)


def test_a_body_in_the_other_encoding_is_refused() -> None:
    data = request(span())
    for body, encoding in ((to_json(data), Encoding.PROTOBUF), (to_protobuf(data), Encoding.JSON)):
        refusal = read_body(body, encoding, "", 1 << 20)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 400
