"""PURE: what a client of OTLP/HTTP is told, in the encoding it wrote in.

The two messages are small and fixed, so their bytes are written here: an
ExportTraceServiceResponse (partial_success = 1 {rejected_spans = 1, error_message = 2}), and a
google.rpc.Status (code = 1, message = 2).
"""

import orjson

from services.gateway.body import Encoding

_GRPC_CODES = {400: 3, 405: 12, 413: 3, 415: 3, 503: 14}  # INVALID_ARGUMENT, UNIMPLEMENTED, UNAVAILABLE
_UNKNOWN = 2


def accepted(encoding: Encoding, rejected_spans: int, reason: str) -> bytes:
    """Everything was taken, or all but `rejected_spans`, which must not be sent again."""
    match encoding:
        case Encoding.JSON:
            success = {"rejectedSpans": str(rejected_spans), "errorMessage": reason} if rejected_spans else {}
            return orjson.dumps({"partialSuccess": success})
        case Encoding.PROTOBUF:
            return _field(1, _number(1, rejected_spans) + _field(2, reason.encode())) if rejected_spans else b""


def refused(encoding: Encoding, status: int, reason: str) -> bytes:
    """The Status of a request that was not taken."""
    code = _GRPC_CODES.get(status, _UNKNOWN)
    match encoding:
        case Encoding.JSON:
            return orjson.dumps({"code": code, "message": reason})
        case Encoding.PROTOBUF:
            return _number(1, code) + _field(2, reason.encode())


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
