"""Bytes of a record of `otlp_spans` to an export request, or to a dead letter."""

from dataclasses import dataclass

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.model.outcome import DeadLetterReason
from services.shared.otlp import json_request, unpack, wire

MAX_MESSAGES = 1_000_000
"""Messages (resources, spans, attributes, values ...) in one large request.

An empty one is 2 bytes on the wire and 90 in memory, so 32 MB of them would take 1.4 GB.
"""

_CROWD_BYTES = 4 << 20  # requests up to here are not counted: at worst they take 350 MB
_GZIP_MAGIC = b"\x1f\x8b"
_JSON_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bytes that can never be decoded: why, and in `detail` one line for a person."""

    reason: DeadLetterReason
    detail: str


_CROWDED = DeadLetter(DeadLetterReason.TOO_LARGE, f"more than {MAX_MESSAGES} messages inside the request")


def decode_request(value: bytes) -> TracesData | DeadLetter:
    """Protobuf or JSON, gzip or not, told apart by their first bytes. Never raises.

    An export request is one from first to last byte, by the protobuf library (for JSON:
    `json_request`). Fields that it does not know are ignored, but bytes that hold nothing else are
    no export request. No bytes at all are a request without spans.
    """
    if value[:2] == _GZIP_MAGIC:
        try:
            value = unpack.gunzip(value)
        except unpack.TooLargeError as error:
            return DeadLetter(DeadLetterReason.TOO_LARGE, str(error))
        except ValueError as error:
            return DeadLetter(DeadLetterReason.INVALID_GZIP, str(error))
    elif len(value) > unpack.MAX_BYTES:
        return DeadLetter(DeadLetterReason.TOO_LARGE, f"{len(value)} bytes, at most {unpack.MAX_BYTES} are decoded")
    if value[:1] != b"\n":
        return _decode_json(value) if _may_be_json(value) else _decode_protobuf(value)
    # A line feed opens both an export request in protobuf (field 1) and JSON that someone indented.
    result = _decode_protobuf(value)
    if isinstance(result, DeadLetter) and _may_be_json(value):
        return _decode_json(value)
    return result


def _may_be_json(value: bytes) -> bool:
    """Whether the first byte that is no space is `{`: in protobuf that begins a group, which OTLP never has."""
    return value.lstrip(_JSON_SPACE)[:1] == b"{"


def _decode_protobuf(value: bytes) -> TracesData | DeadLetter:
    if len(value) > _CROWD_BYTES and wire.holds_more_messages(value, TracesData.DESCRIPTOR, MAX_MESSAGES):
        return _CROWDED
    try:
        request = TracesData.FromString(value)
    except DecodeError:
        return DeadLetter(*wire.diagnose(value, TracesData.DESCRIPTOR))
    if value and not request.resource_spans:
        if wire.has_known_field(value, TracesData.DESCRIPTOR):
            return DeadLetter(DeadLetterReason.INVALID_WIRE_TYPE, "resource_spans is not a message")
        return DeadLetter(
            DeadLetterReason.NOT_AN_EXPORT_REQUEST,
            f"{len(value)} bytes of protobuf without a field of an export request",
        )
    return request


def _decode_json(value: bytes) -> TracesData | DeadLetter:
    # Braces in texts count too: no one request has so many, and looking closer would take the memory to be saved.
    if len(value) > _CROWD_BYTES and value.count(b"{") > MAX_MESSAGES:
        return _CROWDED
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _explain_json(value, str(error))
    if document and not json_request.has_known_field(document):
        return DeadLetter(
            DeadLetterReason.NOT_AN_EXPORT_REQUEST,
            f"JSON object without resourceSpans, but with {next(iter(document))!r:.80}",
        )
    try:
        return json_request.convert(document)
    except json_request.InvalidJsonRequestError as error:
        return DeadLetter(DeadLetterReason.INVALID_JSON, str(error))


def _explain_json(value: bytes, error: str) -> DeadLetter:
    try:
        value.decode()
    except UnicodeDecodeError as fault:
        return DeadLetter(DeadLetterReason.INVALID_UTF8, f"JSON is not UTF-8 at byte {fault.start}")
    return DeadLetter(DeadLetterReason.INVALID_JSON, error)
