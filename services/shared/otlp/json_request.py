"""OTLP JSON to the protobuf message, by the rules of the OTLP specification.

Ids are hex, names lowerCamelCase (snake_case is taken too), 64-bit integers text or numbers,
enums numbers or names, unknown names ignored. More lenient than protobuf's JSON in what makes
one span bad and not its record: an id that is not hex becomes an id of wrong length, a negative
time what it is on the wire (two's complement), a time beyond 64 bits the largest one.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.wire import MAX_DEPTH

NO_ID = b"?"
"""Stands for an id that is not hex: as wrong as it was, whatever its length."""

_ID_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)


class InvalidJsonRequestError(ValueError):
    """A known field has a value of a wrong type. The text names it."""


def convert(document: Mapping[str, object]) -> TracesData:
    """A parsed JSON object to the message. Raises `InvalidJsonRequestError`."""
    request = TracesData()
    _fill(request, document, "", MAX_DEPTH)
    return request


def has_known_field(document: Mapping[str, object]) -> bool:
    known = _fields(TracesData.DESCRIPTOR)
    return any(name in known for name in document)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    is_repeated: bool
    read: Callable[[object], object] | None  # None: a message


def _fill(message: Message, document: object, path: str, depth: int) -> None:
    if not isinstance(document, dict):
        raise InvalidJsonRequestError(f"{path}: expected an object, got {_show(document)}")
    if depth < 0:
        raise InvalidJsonRequestError(f"{path[:80]}...: more than {MAX_DEPTH} messages deep")
    fields = _fields(message.DESCRIPTOR)
    for name, value in document.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        where = f"{path}.{name}" if path else name
        if field.is_repeated:
            _fill_repeated(message, field, value, where, depth)
        elif field.read is None:
            part = getattr(message, field.name)
            part.SetInParent()
            _fill(part, value, where, depth - 1)
        else:
            setattr(message, field.name, _scalar(field.read, value, where))


def _fill_repeated(message: Message, field: _Field, values: object, path: str, depth: int) -> None:
    if not isinstance(values, list):
        raise InvalidJsonRequestError(f"{path}: expected a list, got {_show(values)}")
    target = getattr(message, field.name)
    for index, value in enumerate(values):
        where = f"{path}[{index}]"
        if field.read is None:
            _fill(target.add(), value, where, depth - 1)
        else:
            target.append(_scalar(field.read, value, where))


def _scalar(read: Callable[[object], object], value: object, path: str) -> object:
    try:
        return read(value)
    except ValueError as error:
        raise InvalidJsonRequestError(f"{path}: {error}, got {_show(value)}") from None


@cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    result = {}
    for field in descriptor.fields:
        known = _Field(field.name, field.is_repeated, None if field.message_type is not None else _reader(field))
        result[field.json_name] = result[field.name] = known
    return result


def _reader(field: FieldDescriptor) -> Callable[[object], object]:
    if field.name in _ID_FIELDS:
        return _read_id
    if field.name.endswith("_unix_nano"):
        return _read_time
    if field.enum_type is not None:
        return partial(_read_enum, names={value.name: value.number for value in field.enum_type.values})
    return _READERS[field.type]


def _read_id(value: object) -> bytes:
    text = _read_text(value)
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return NO_ID


def _read_time(value: object) -> int:
    time = _integer(value)
    return max(min(time, (1 << 64) - 1), -(1 << 63)) & ((1 << 64) - 1)


def _read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("expected text")


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _read_double(value: object) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("expected a number")


def _read_base64(value: object) -> bytes:
    text = _read_text(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("expected base64") from None


def _read_integer(value: object, low: int, high: int) -> int:
    number = _integer(value)
    if low <= number <= high:
        return number
    raise ValueError(f"expected a whole number from {low} to {high}")


def _read_enum(value: object, names: dict[str, int]) -> int:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        return names.get(value, 0)
    return _read_integer(value, -(1 << 31), (1 << 31) - 1)


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise ValueError("expected a whole number")


_READERS: Mapping[int, Callable[[object], object]] = {
    FieldDescriptor.TYPE_STRING: _read_text,
    FieldDescriptor.TYPE_BYTES: _read_base64,
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_DOUBLE: _read_double,
    FieldDescriptor.TYPE_INT64: partial(_read_integer, low=-(1 << 63), high=(1 << 63) - 1),
    FieldDescriptor.TYPE_INT32: partial(_read_integer, low=-(1 << 31), high=(1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: partial(_read_integer, low=0, high=(1 << 32) - 1),
    FieldDescriptor.TYPE_FIXED32: partial(_read_integer, low=0, high=(1 << 32) - 1),
}
"""Every other scalar type of the OTLP trace messages; a test walks them all."""


def _show(value: object) -> str:
    text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= 60 else text[:60] + "..."  # noqa: PLR2004 - a line for a person
