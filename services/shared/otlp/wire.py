"""What the protobuf library does not tell of bytes: why it refused them, and how many messages they would make.

The library is the only judge of whether bytes decode; this scanner looks at bytes that it
refused, once, and names the first fault.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.shared.model.outcome import DeadLetterReason

MAX_DEPTH = 100
"""Messages inside messages, as in the protobuf library."""

_MAX_VARINT_BYTES = 10
_LENGTH_DELIMITED = 2
_GROUP_MARKS = (3, 4)  # begin and end: what is between is passed over like fields

MAX_FIELDS = 500_000
"""The scanner gives up here (about a second): a dead letter needs a reason, not the best one at any cost."""


class _FaultError(Exception):
    def __init__(self, reason: DeadLetterReason, offset: int, what: str) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.reason = reason


@dataclass(slots=True)
class _Reader:
    data: bytes
    position: int = 0
    fields: int = 0
    is_known: bool = False

    def varint(self, end: int) -> int:
        result = 0
        for index in range(_MAX_VARINT_BYTES):
            self._need(1, end)
            byte = self.data[self.position]
            self.position += 1
            result |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return result
        raise _FaultError(DeadLetterReason.INVALID_PROTOBUF, self.position, "a number of more than 10 bytes")

    def size_of(self, tag: int, end: int) -> int:
        """Bytes of the value that follows; a number of variable length has been passed already."""
        match tag & 7:
            case 0:
                self.varint(end)
                return 0
            case 1:
                return 8
            case 2:
                return self.varint(end)
            case 5:
                return 4
            case wire_type:
                raise _FaultError(DeadLetterReason.INVALID_WIRE_TYPE, self.position, f"wire type {wire_type}")

    def skip(self, size: int, end: int) -> None:
        self._need(size, end)
        self.position += size

    def _need(self, size: int, end: int) -> None:
        if self.position + size <= end:
            return
        if end == len(self.data):
            raise _FaultError(DeadLetterReason.TRUNCATED, end, "the record ends inside a field")
        raise _FaultError(DeadLetterReason.INVALID_PROTOBUF, end, "a field runs past the end of its message")


def diagnose(data: bytes, descriptor: Descriptor) -> tuple[DeadLetterReason, str]:
    """The first fault of bytes that the library does not decode as a message of this type.

    A fault of the top level comes before those inside its fields. Without a known field before
    the fault it is some other format: `NOT_AN_EXPORT_REQUEST`.
    """
    reader = _Reader(data)
    try:
        _top_level(reader, descriptor)
        _message(_Reader(data), len(data), descriptor, MAX_DEPTH)
    except _FaultError as fault:
        return fault.reason if reader.is_known else DeadLetterReason.NOT_AN_EXPORT_REQUEST, str(fault)
    return DeadLetterReason.INVALID_PROTOBUF, "the protobuf library refuses it"


def has_known_field(data: bytes, descriptor: Descriptor) -> bool:
    """Whether well-formed bytes name a field of this type at the top level, be it with a wrong wire type."""
    reader = _Reader(data)
    with suppress(_FaultError):
        _top_level(reader, descriptor)
    return reader.is_known


def holds_more_messages(data: bytes, descriptor: Descriptor, most: int) -> bool:
    """Whether bytes of this type hold more than `most` messages inside messages. About 1 us for each field.

    Up to the first fault: what the library would have made of the rest is nothing.
    """
    reader = _Reader(data)
    found = 0
    inside = [(len(data), descriptor)]
    with suppress(_FaultError):
        while inside:
            end, message = inside[-1]
            if reader.position >= end:
                inside.pop()
                continue
            tag = reader.varint(end)
            if tag & 7 in _GROUP_MARKS:
                continue
            size = reader.size_of(tag, end)
            begin = reader.position
            reader.skip(size, end)
            part = _parts(message).get(tag >> 3) if tag & 7 == _LENGTH_DELIMITED else None
            if part is not None and len(inside) <= MAX_DEPTH:
                found += 1
                if found > most:
                    return True
                inside.append((reader.position, part))
                reader.position = begin
    return False


@cache
def _parts(descriptor: Descriptor) -> dict[int, Descriptor]:
    """The fields of a type that hold messages, and the types of these."""
    return {
        number: field.message_type
        for number, field in descriptor.fields_by_number.items()
        if field.message_type is not None
    }


def _top_level(reader: _Reader, descriptor: Descriptor) -> None:
    """Pass over the fields of the top level, and note whether this type has one of them."""
    end = len(reader.data)
    while reader.position < end:
        tag = reader.varint(end)
        reader.is_known = reader.is_known or tag >> 3 in descriptor.fields_by_number
        _value(reader, end, tag, None, MAX_DEPTH)


def _message(reader: _Reader, end: int, descriptor: Descriptor, depth: int) -> None:
    while reader.position < end:
        tag = reader.varint(end)
        _value(reader, end, tag, descriptor.fields_by_number.get(tag >> 3), depth)


def _value(reader: _Reader, end: int, tag: int, field: FieldDescriptor | None, depth: int) -> None:
    start = reader.position
    reader.fields += 1
    if reader.fields > MAX_FIELDS:
        raise _FaultError(
            DeadLetterReason.INVALID_PROTOBUF, start, f"a fault after more than {MAX_FIELDS} fields; the search ended"
        )
    if tag >> 3 == 0:
        raise _FaultError(DeadLetterReason.INVALID_PROTOBUF, start, "field number 0")
    match tag & 7:  # the wire type
        case 0:
            reader.varint(end)
        case 1:
            reader.skip(8, end)
        case 5:
            reader.skip(4, end)
        case 2:
            size = reader.varint(end)
            begin = reader.position
            reader.skip(size, end)
            if field is not None:
                _content(reader, begin, field, depth)
        case 3:
            _group(reader, end, tag, depth)
        case wire_type:
            raise _FaultError(DeadLetterReason.INVALID_WIRE_TYPE, start, f"wire type {wire_type} where a field begins")


def _content(reader: _Reader, begin: int, field: FieldDescriptor, depth: int) -> None:
    end = reader.position
    if field.message_type is not None:
        if depth == 0:
            raise _FaultError(DeadLetterReason.INVALID_PROTOBUF, begin, f"more than {MAX_DEPTH} messages deep")
        reader.position = begin
        _message(reader, end, field.message_type, depth - 1)
    elif field.type == FieldDescriptor.TYPE_STRING:
        try:
            reader.data[begin:end].decode()
        except UnicodeDecodeError as error:
            raise _FaultError(
                DeadLetterReason.INVALID_UTF8, begin + error.start, f"{field.full_name} is not UTF-8"
            ) from None


def _group(reader: _Reader, end: int, start_tag: int, depth: int) -> None:
    if depth == 0:
        raise _FaultError(DeadLetterReason.INVALID_PROTOBUF, reader.position, f"more than {MAX_DEPTH} groups deep")
    while (tag := reader.varint(end)) != start_tag + 1:
        _value(reader, end, tag, None, depth - 1)
