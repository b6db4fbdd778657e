"""PURE: the body of a request to what goes to Kafka, or to the answer that refuses it."""

from dataclasses import dataclass
from enum import Enum

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp import unpack
from services.shared.otlp.decode import DeadLetter, decode_request


class Encoding(Enum):
    """How a client writes, and so how it is answered."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not taken: HTTP status, and one line for a person."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """A readable export request: its bytes as the client wrote them (unpacked), and what they say."""

    data: bytes
    request: TracesData


def encoding_of(content_type: str) -> Encoding | None:
    """`None` for a content type that is not OTLP over HTTP."""
    media_type = content_type.partition(";")[0].strip().lower()
    return next((encoding for encoding in Encoding if encoding.value == media_type), None)


def read_body(body: bytes, encoding: Encoding, content_encoding: str, most: int) -> Export | Refusal:
    """`most`: the largest unpacked size in bytes."""
    data = _unpacked(body, content_encoding.strip().lower(), most)
    if isinstance(data, Refusal):
        return data
    # A protobuf request may well begin with a line feed and a brace, so only its very first byte tells.
    is_json = data.lstrip(b" \t\r\n")[:1] == b"{" if encoding is Encoding.JSON else data[:1] == b"{"
    if is_json != (encoding is Encoding.JSON):
        return Refusal(400, f"the body is not {encoding.value}")
    match decode_request(data):
        case DeadLetter(reason, detail):
            return Refusal(400, f"{reason}: {detail}")
        case request:
            return Export(data, request)


def _unpacked(body: bytes, content_encoding: str, most: int) -> bytes | Refusal:
    match content_encoding:
        case "" | "identity":
            return body if len(body) <= most else Refusal(413, f"{len(body)} bytes, at most {most} are taken")
        case "gzip":
            try:
                return unpack.gunzip(body, most)
            except unpack.TooLargeError as error:
                return Refusal(413, str(error))
            except ValueError as error:
                return Refusal(400, f"Content-Encoding is gzip, the body is not: {error}")
        case _:
            return Refusal(415, f"Content-Encoding {content_encoding!r:.80} is not supported: use gzip or none")
