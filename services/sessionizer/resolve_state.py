"""States of `resolve` as bytes, and their changelog keys.

A trace that waits is one record under its id: what waits for its session; of that only the page that
is being filled, full ones have records of their own. Traces that are bound are many, and come
many to a record: a segment. Every value begins with the format's number and what it is.

    segment = format, kind, count · count x (trace id, since, where its name is) · names

`since` is the last use. Bindings are sorted by it. A name is a session key's bytes with their length in
front, and its place counts from the first one. Format 1 had a record for each bound trace, under its id.
"""

import struct
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from services.sessionizer.engine.resolve import Held, Wait
from services.sessionizer.meta import check_format, refusing

FORMAT = 2
_BOUND, _WAITING, _SEGMENT = 1, 2, 3
_HEADER = struct.Struct(">BBq")  # format, what it is, since
_WAIT = struct.Struct(">IQI")  # spans, bytes, full pages
_TRACE_ID_BYTES = 16
_PAGE_NUMBER_BYTES = 4

_SEGMENT_HEAD = struct.Struct("<BBI")
_BINDING = struct.Struct("<16sqI")
_NAME_LENGTH = struct.Struct("<H")
_SEGMENT_KEY = b"bound"
_SEGMENT_KEY_BYTES = 13


class Header(NamedTuple):
    """What the state of a wait says without being decoded; `spans` and `size` are of what waits."""

    since: int
    spans: int
    size: int
    pages: int


class Binding(NamedTuple):
    """A trace, when it was last used, and where the name of its session is among the segment's names."""

    trace_id: bytes
    since: int
    name_at: int


def page_key(trace_id: bytes, number: int) -> bytes:
    return trace_id + number.to_bytes(_PAGE_NUMBER_BYTES, "big")


def segment_key(number: int) -> bytes:
    return _SEGMENT_KEY + number.to_bytes(_SEGMENT_KEY_BYTES - len(_SEGMENT_KEY), "big")


def segment_number(key: bytes) -> int | None:
    """Inverse of `segment_key`; None for the keys of others."""
    is_one = len(key) == _SEGMENT_KEY_BYTES and key.startswith(_SEGMENT_KEY)
    return int.from_bytes(key[len(_SEGMENT_KEY) :], "big") if is_one else None


def is_trace_key(key: bytes) -> bool:
    """Whether the key is that of a trace."""
    return len(key) == _TRACE_ID_BYTES


@refusing
def is_segment(key: bytes, data: bytes) -> bool:
    """Whether the state is of traces whose sessions are known; in format 1, of one trace."""
    check_format(data[0], FORMAT)
    return segment_number(key) is not None or (is_trace_key(key) and data[1] in {_BOUND, _SEGMENT})


# Waits


@refusing
def header(data: bytes) -> Header:
    form, kind, since = _HEADER.unpack_from(data)
    check_format(form, FORMAT)
    if kind != _WAITING:
        raise ValueError(f"kind {kind} where a trace waits")
    return Header(since, *_WAIT.unpack_from(data, _HEADER.size))


def encode_wait(wait: Wait) -> bytes:
    """The full pages are encoded by `encode_page`."""
    held = wait.held
    return _HEADER.pack(FORMAT, _WAITING, wait.since) + _WAIT.pack(held.spans, held.size, held.pages) + held.tail


@refusing
def decode_wait(trace_id: bytes, data: bytes) -> Wait:
    """Without a way to its full pages: set `held.load_page`."""
    of = header(data)
    tail = data[_HEADER.size + _WAIT.size :]
    return Wait(trace_id, of.since, Held(of.spans, of.size, of.pages, tail))


def encode_page(page: bytes) -> bytes:
    return bytes((FORMAT,)) + page


@refusing
def decode_page(data: bytes) -> bytes:
    check_format(data[0], FORMAT)
    return data[1:]


# Bindings


def pack_name(name: bytes) -> bytes:
    """A session's name (`SessionKey.encode`) as it is among the names of a segment."""
    return _NAME_LENGTH.pack(len(name)) + name


def encode_segment(bindings: Sequence[Binding], names: bytes | bytearray) -> bytes:
    """`bindings` are sorted by last use."""
    return b"".join(
        (_SEGMENT_HEAD.pack(FORMAT, _SEGMENT, len(bindings)), *(_BINDING.pack(*each) for each in bindings), names)
    )


def binding_at(segment: bytes, place: int) -> Binding:
    """One of a segment that was encoded or decoded here."""
    return Binding(*_BINDING.unpack_from(segment, _SEGMENT_HEAD.size + place * _BINDING.size))


def names_of(segment: bytes) -> bytes:
    return segment[_SEGMENT_HEAD.size + _SEGMENT_HEAD.unpack_from(segment)[2] * _BINDING.size :]


def name_at(names: bytes | bytearray, at: int) -> bytes:
    begin = at + _NAME_LENGTH.size
    return bytes(names[begin : begin + _NAME_LENGTH.unpack_from(names, at)[0]])


@refusing
def decode_segment(key: bytes, data: bytes) -> tuple[list[Binding], bytes]:
    """The bindings and the names, of any format. `key` is its changelog key. What is in the names is not looked at."""
    check_format(data[0], FORMAT)
    if data[1] == _BOUND:
        _, _, since = _HEADER.unpack_from(data)
        return [Binding(key, since, 0)], pack_name(data[_HEADER.size :])
    _, kind, count = _SEGMENT_HEAD.unpack_from(data)
    end = _SEGMENT_HEAD.size + count * _BINDING.size
    bindings, names = [Binding(*each) for each in _BINDING.iter_unpack(data[_SEGMENT_HEAD.size : end])], data[end:]
    for _, _, at in bindings:
        if at + _NAME_LENGTH.size + _NAME_LENGTH.unpack_from(names, at)[0] > len(names):
            raise ValueError("a name goes on behind the end")
    if kind != _SEGMENT or not count or len(bindings) != count or bindings != sorted(bindings, key=_SINCE):
        raise ValueError("not a segment of bindings")
    return bindings, names


_SINCE = attrgetter("since")
