import gzip

import orjson
import pytest
from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.model.outcome import DeadLetterReason
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.unpack import MAX_BYTES
from services.shared.otlp.wire import MAX_FIELDS, holds_more_messages
from tests.support.otlp import T0, encodings, event, request, span, span_json, to_json, to_protobuf

REQUEST = request(
    span(
        attributes={
            "text": "Grüße \0 \U0001f600",
            "int": -(2**63),
            "double": 0.1,
            "nan": float("inf"),
            "bool": False,
            "bytes": b"\x00\xff",
            "list": [1, ["a", {"k": None}]],
            "map": {"a": {"b": []}},
            "none": None,
            "empty": "",
        },
        events=[event("exception", attributes={"exception.message": "boom"})],
        is_error=True,
        status_message="no",
    ),
    span(span_id=2, parent_id=1),
    resource={"service.name": "bot"},
)


def reason_of(value: bytes) -> DeadLetterReason | None:
    result = decode_request(value)
    return result.reason if isinstance(result, DeadLetter) else None


def decoded(value: bytes) -> TracesData:
    result = decode_request(value)
    assert isinstance(result, TracesData), result
    return result


def json_of(*spans: dict[str, object]) -> bytes:
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


def only_span(value: bytes) -> Span:
    return decoded(value).resource_spans[0].scope_spans[0].spans[0]


def delimited(field: int, content: bytes) -> bytes:
    """One length-delimited protobuf field."""
    size = bytearray()
    rest = len(content)
    while rest > 0x7F:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return bytes([field << 3 | 2]) + bytes(size) + content


def nested(depth: int) -> tuple[bytes, bytes]:
    """A request whose only attribute is a list in a list in a list, as protobuf and as JSON."""
    value, document = delimited(1, b"x"), b'{"stringValue":"x"}'
    for _ in range(depth):
        value = delimited(5, delimited(1, value))
        document = b'{"arrayValue":{"values":[%b]}}' % document
    attribute = delimited(9, delimited(1, b"a") + delimited(2, value))
    protobuf = delimited(1, delimited(2, delimited(2, attribute)))
    return protobuf, json_of({"attributes": [{"key": "a", "value": "@"}]}).replace(b'"@"', document)


@pytest.mark.parametrize("index", range(5))
def test_a_request_is_the_same_in_every_encoding(index: int) -> None:
    assert decoded(encodings(REQUEST)[index]) == REQUEST


@pytest.mark.parametrize("value", [b"", b"{}", b" \n{} ", b'{"resourceSpans":[]}', b'{"resourceSpans":null}'])
def test_a_request_without_spans_is_a_request(value: bytes) -> None:
    assert decoded(value) == TracesData()


@pytest.mark.parametrize(
    "value",
    [
        b"hello, world",
        b"<html></html>",
        b'[{"resourceSpans": []}]',
        b'"text"',
        b"12",
        b"null",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"\x00\x00\x00\x00\x05",
        b"\x12\x03abc",
        b'{"resourceLogs": []}',
        b'{"a": 1}',
    ],
)
def test_other_formats_are_no_export_request(value: bytes) -> None:
    assert reason_of(value) is DeadLetterReason.NOT_AN_EXPORT_REQUEST


def test_a_request_cut_short_at_any_byte_is_truncated() -> None:
    value = to_protobuf(request(span(attributes={"a": "b"})))

    assert decode_request(b"") == TracesData()
    assert {reason_of(value[:length]) for length in range(1, len(value))} == {DeadLetterReason.TRUNCATED}


def test_json_cut_short_at_any_byte_is_a_dead_letter() -> None:
    value = to_json(request(span()))

    reasons = {reason_of(value[:length]) for length in range(1, len(value))}

    assert reasons == {DeadLetterReason.INVALID_JSON}


@pytest.mark.parametrize("tag", [b"\x0e", b"\x0f", b"\x0c"])
def test_a_wire_type_that_does_not_exist_is_named(tag: bytes) -> None:
    """6, 7, and the end of a group that never began, at the top and deep inside."""
    assert reason_of(tag + b"\x00") is DeadLetterReason.INVALID_WIRE_TYPE
    assert reason_of(delimited(1, delimited(2, delimited(2, tag + b"\x00")))) is DeadLetterReason.INVALID_WIRE_TYPE


@pytest.mark.parametrize("value", [b"\x08\x01", b"\x09" + bytes(8), b"\x0d" + bytes(4)])
def test_resource_spans_that_are_no_message_are_a_wrong_wire_type(value: bytes) -> None:
    assert reason_of(value) is DeadLetterReason.INVALID_WIRE_TYPE


def test_a_field_inside_a_span_with_another_wire_type_is_an_unknown_field() -> None:
    """So the protobuf library has it: the rest of the record is read."""
    good = to_protobuf(request(span(span_id=7)))
    odd = delimited(1, delimited(2, delimited(2, b"\x08\x01")))

    spans = [item.scope_spans[0].spans[0] for item in decoded(odd + good).resource_spans]

    assert [item.span_id for item in spans] == [b"", (7).to_bytes(8, "big")]


def test_fields_that_are_not_known_are_ignored() -> None:
    value = to_protobuf(REQUEST)

    result = decoded(value + delimited(15, b"new"))

    assert result.resource_spans == REQUEST.resource_spans


def test_text_that_is_not_utf8_is_named() -> None:
    value = to_protobuf(request(span(name="abcdefgh"))).replace(b"abcdefgh", b"abcd\xff\xfegh")

    assert reason_of(value) is DeadLetterReason.INVALID_UTF8
    assert reason_of(b'{"resourceSpans":[],"x":"\xff"}') is DeadLetterReason.INVALID_UTF8


@pytest.mark.parametrize(
    "value",
    [
        delimited(1, b"\x0a\x7f") + delimited(1, b""),  # a field that runs past its message, but not past the record
        delimited(1, b"\x00\x01"),  # field number 0
        b"\x0a" + b"\xff" * 10 + b"\x01",  # a length of more than 10 bytes
    ],
)
def test_other_faults_are_invalid_protobuf(value: bytes) -> None:
    assert reason_of(value) is DeadLetterReason.INVALID_PROTOBUF


def test_the_search_for_a_fault_is_bounded() -> None:
    many_fields = delimited(1, delimited(2, b"\x28\x01" * (MAX_FIELDS + 1)) + b"\x0f")

    assert reason_of(many_fields) is DeadLetterReason.INVALID_PROTOBUF
    assert reason_of(b"\x28\x01" * (MAX_FIELDS + 1)) is DeadLetterReason.NOT_AN_EXPORT_REQUEST


def test_nesting_is_bounded_alike_in_both_encodings() -> None:
    deepest, too_deep = nested(47), nested(48)

    assert decoded(deepest[0]) == decoded(deepest[1])
    assert reason_of(too_deep[0]) is DeadLetterReason.INVALID_PROTOBUF
    assert reason_of(too_deep[1]) is DeadLetterReason.INVALID_JSON
    assert reason_of(nested(2000)[1]) is DeadLetterReason.INVALID_JSON
    assert reason_of(nested(20_000)[0]) is DeadLetterReason.INVALID_PROTOBUF


def test_an_indented_json_request_that_begins_with_a_line_feed_is_json() -> None:
    assert decoded(b"\n  " + to_json(REQUEST)) == REQUEST


def test_a_protobuf_request_whose_second_byte_is_a_brace_is_protobuf() -> None:
    """0x0a is a line feed and 0x7b is `{`: a request of 123 bytes looks like indented JSON."""
    padding = 123 - len(request(span(name="")).resource_spans[0].SerializeToString()) - 2
    data = request(span(name="n" * padding))
    value = to_protobuf(data)
    assert value[:2] == b"\n{"

    assert decoded(value) == data


@pytest.mark.parametrize("part", [slice(-1), slice(20), slice(4, None)], ids=["end", "head", "begin"])
def test_broken_gzip_is_named(part: slice) -> None:
    packed = gzip.compress(to_protobuf(REQUEST))

    assert reason_of(b"\x1f\x8b" + packed[2:][part]) is DeadLetterReason.INVALID_GZIP
    assert reason_of(packed + b"x") is DeadLetterReason.INVALID_GZIP


def test_gzip_members_back_to_back_are_one_request() -> None:
    value = to_protobuf(REQUEST)

    assert decoded(gzip.compress(value[:50]) + gzip.compress(value[50:])) == REQUEST


def test_a_gzip_bomb_is_unpacked_up_to_the_bound_only() -> None:
    bomb = gzip.compress(bytes(MAX_BYTES + 1))
    assert len(bomb) < 100_000

    assert reason_of(bomb) is DeadLetterReason.TOO_LARGE
    assert reason_of(gzip.compress(bytes(1 << 20)) * 70) is DeadLetterReason.TOO_LARGE


def test_a_record_of_20_mb_is_decoded() -> None:
    data = request(span(attributes={"big": "x" * (20 << 20)}))

    assert decoded(to_protobuf(data)) == data


def test_a_record_over_the_bound_is_too_large() -> None:
    assert reason_of(b"\n" + bytes(MAX_BYTES)) is DeadLetterReason.TOO_LARGE


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray([number << 3 | 2])
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((*length, size)) + content


CROWD = 5 << 20


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_field(1, _field(2, b"\x12\x00" * (CROWD // 2))), id="empty spans"),
        pytest.param(_field(1, _field(2, _field(2, b"\x4a\x02\x0a\x00" * (CROWD // 4)))), id="empty attributes"),
        pytest.param(b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * (CROWD // 3), id="JSON"),
        pytest.param(_field(1, _field(2, b"\x12\x00" * (CROWD // 2))) + b"\x0a", id="truncated after empty spans"),
    ],
)
def test_a_large_request_of_very_many_messages_is_not_unpacked_into_gigabytes(value: bytes) -> None:
    assert reason_of(value) is DeadLetterReason.TOO_LARGE


def test_messages_are_counted_as_the_library_makes_them() -> None:
    data = to_protobuf(
        request(span(attributes={"a": 1, "b": [1.5, {"c": "d"}]}), span(), resource={"service.name": "s"})
    )
    made = _messages_in(TracesData.FromString(data))

    assert not holds_more_messages(data, TracesData.DESCRIPTOR, made)
    assert holds_more_messages(data, TracesData.DESCRIPTOR, made - 1)
    assert not holds_more_messages(data[:-1] + b"\x0b", TracesData.DESCRIPTOR, made)


def _messages_in(message: Message) -> int:
    found = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            found += sum(1 + _messages_in(part) for part in ([value] if isinstance(value, Message) else value))
    return found


def test_json_names_may_be_snake_case_and_unknown_ones_are_ignored() -> None:
    value = orjson.dumps(
        {
            "resource_spans": [
                {"scope_spans": [{"spans": [{"trace_id": "0" * 31 + "1", "start_time_unix_nano": T0, "new": [1]}]}]}
            ],
            "more": {},
        }
    )

    item = only_span(value)

    assert (item.trace_id, item.start_time_unix_nano) == ((1).to_bytes(16, "big"), T0)


def test_json_enums_are_numbers_or_names() -> None:
    by_number = only_span(json_of({"kind": 3, "status": {"code": 2}}))
    by_name = only_span(json_of({"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}}))
    unknown = only_span(json_of({"kind": "NEW_KIND", "status": {"code": 77}}))

    assert by_number == by_name
    assert (unknown.kind, unknown.status.code) == (0, 77)


def test_json_ids_are_hex_in_any_case_and_otherwise_of_wrong_length() -> None:
    for text, expected in [
        ("AB" * 16, b"\xab" * 16),
        ("zz" * 8, b"?"),
        ("z" * 16, b"?"),
        ("abc", b"?"),
        ("ab cd", b"?"),
    ]:
        assert only_span(json_of({"traceId": text})).trace_id == expected


def test_json_times_beyond_64_bits_and_negative_ones_do_not_lose_the_record() -> None:
    cases = {
        "-5": 2**64 - 5,
        '"-5"': 2**64 - 5,
        "1" + "0" * 30: 2**64 - 1,
        '"%s"' % ("9" * 30): 2**64 - 1,
        "-1" + "0" * 30: 2**63,
        "1.5e18": 1_500_000_000_000_000_000,
        "null": 0,
    }
    for given, expected in cases.items():
        value = json_of({"startTimeUnixNano": "@"}).replace(b'"@"', given.encode())
        assert only_span(value).start_time_unix_nano == expected, given


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5),
        ("traceId", 5),
        ("startTimeUnixNano", "soon"),
        ("startTimeUnixNano", 1.5),
        ("startTimeUnixNano", True),
        ("startTimeUnixNano", "9" * 5000),
        ("kind", 2**40),
        ("flags", -1),
        ("attributes", {"a": "b"}),
        ("attributes", ["a"]),
        ("attributes", [{"key": "a", "value": "b"}]),
        ("attributes", [{"key": "a", "value": {"intValue": 2**63}}]),
        ("attributes", [{"key": "a", "value": {"boolValue": "true"}}]),
        ("attributes", [{"key": "a", "value": {"doubleValue": "much"}}]),
        ("attributes", [{"key": "a", "value": {"bytesValue": "!"}}]),
        ("status", "ok"),
    ],
)
def test_a_known_json_field_of_a_wrong_type_is_invalid_and_named(field: str, value: object) -> None:
    result = decode_request(json_of({field: value}))

    assert isinstance(result, DeadLetter)
    assert result.reason is DeadLetterReason.INVALID_JSON
    assert f"spans[0].{field}" in result.detail
    assert len(result.detail) < 300


def test_half_a_surrogate_pair_in_json_is_invalid() -> None:
    assert reason_of(json_of({"name": "@"}).replace(b"@", b"\\ud800")) is DeadLetterReason.INVALID_JSON


def test_base64_may_be_of_either_alphabet_and_unpadded() -> None:
    for text in ("+/8=", "-_8=", "-_8"):
        item = only_span(json_of({"attributes": [{"key": "a", "value": {"bytesValue": text}}]}))
        assert item.attributes[0].value.bytes_value == b"\xfb\xff"


def test_every_scalar_field_of_the_trace_messages_is_read_from_json() -> None:
    document = span_json(span()) | {
        "traceState": "a=b",
        "flags": 257,
        "droppedAttributesCount": 1,
        "droppedEventsCount": "2",
        "droppedLinksCount": 3.0,
        "links": [{"traceId": "ab", "spanId": "cd", "traceState": "x", "flags": 1, "droppedAttributesCount": 9}],
    }

    item = only_span(json_of(document))

    assert (item.trace_state, item.flags, item.links[0].trace_id, item.links[0].flags) == ("a=b", 257, b"\xab", 1)
    assert (item.dropped_attributes_count, item.dropped_events_count, item.dropped_links_count) == (1, 2, 3)
