"""States of `resolve` as bytes, and their changelog keys.

A trace is one record under its id: the session it is bound to, or what waits; of that only the
page that is being filled, full ones have records of their own. Every value begins with the
format's number; the first bytes tell what recovery must know.
"""

import struct
from typing import NamedTuple

from services.sessionizer.engine.resolve import Held, Trace
from services.sessionizer.meta import check_format, refusing
from services.shared.model.session_key import SessionKey

FORMAT = 1
_BOUND, _WAITING = 1, 2
_HEADER = struct.Struct(">BBq")  # format, what it is, since
_WAIT = struct.Struct(">IQI")  # spans, bytes, full pages
_TRACE_ID_BYTES = 16
_PAGE_NUMBER_BYTES = 4


class Header(NamedTuple):
    """What a state says without being decoded; `spans` and `size` are of what waits."""

    is_bound: bool
    since: int
    spans: int
    size: int
    pages: int


def page_key(trace_id: bytes, number: int) -> bytes:
    return trace_id + number.to_bytes(_PAGE_NUMBER_BYTES, "big")


def is_trace_key(key: bytes) -> bool:
    """Whether the key is that of a trace; else it is that of a page."""
    return len(key) == _TRACE_ID_BYTES


def is_bound(data: bytes) -> bool:
    """Whether the state is that of a trace whose session is known."""
    return data[1] == _BOUND


@refusing
def header(data: bytes) -> Header:
    form, kind, since = _HEADER.unpack_from(data)
    check_format(form, FORMAT)
    if kind == _BOUND:
        return Header(is_bound=True, since=since, spans=0, size=0, pages=0)
    return Header(False, since, *_WAIT.unpack_from(data, _HEADER.size))


def encode_trace(trace: Trace) -> bytes:
    """Of a trace that is known. The full pages are encoded by `encode_page`."""
    if trace.key is not None:
        return _HEADER.pack(FORMAT, _BOUND, trace.since) + trace.key.encode()
    held = trace.held
    return _HEADER.pack(FORMAT, _WAITING, trace.since) + _WAIT.pack(held.spans, held.size, held.pages) + held.tail


@refusing
def decode_trace(trace_id: bytes, data: bytes) -> Trace:
    """Without a way to its full pages: set `held.load_page`."""
    of = header(data)
    if of.is_bound:
        return Trace(trace_id, SessionKey.decode(data[_HEADER.size :]), of.since)
    tail = data[_HEADER.size + _WAIT.size :]
    return Trace(trace_id, None, of.since, Held(of.spans, of.size, of.pages, tail))


def encode_page(page: bytes) -> bytes:
    return bytes((FORMAT,)) + page


@refusing
def decode_page(data: bytes) -> bytes:
    check_format(data[0], FORMAT)
    return data[1:]
