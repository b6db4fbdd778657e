"""OTLP values as Python values, text and JSON. Any value of any type is read; none raises."""

import base64
import math
from collections.abc import Iterable

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def plain(value: AnyValue) -> object:
    """str, bool, int, float, bytes, list or dict; `None` for no value. Of equal keys the last wins."""
    held = value.WhichOneof("value")
    match held:
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return plain_map(value.kvlist_value.values)
        case None | "string_value_strindex":
            return None
        case _:
            result: object = getattr(value, held)
            return result


def plain_map(attributes: Iterable[KeyValue]) -> dict[str, object]:
    return {item.key: plain(item.value) for item in attributes}


def text_of(value: object) -> str:
    """Text as it is, numbers and booleans as JSON writes them, lists and maps as JSON, "" for no value."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return to_json(value)


def to_json(value: object) -> str:
    """JSON; bytes are base64, numbers that JSON cannot write are null. Too deep to write is "null" as a whole."""
    try:
        return orjson.dumps(value, default=_bytes_as_base64).decode()
    except orjson.JSONEncodeError:
        return "null"


def from_json(text: str) -> object:
    """The value of a JSON text; `None` for text that is not JSON."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value


def _bytes_as_base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} came out of an OTLP value, which holds none")
