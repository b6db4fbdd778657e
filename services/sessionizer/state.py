# cython: annotation_typing=False
"""States of `window` as bytes: heads, pages and sets of identities, and their changelog keys.

Every value but a filter begins with the format's number; a worker reads its own format and older ones. A
head's first bytes say when something is due, so that recovery fills the wheel without
decoding the rest. What else is in them: `state_fields.py`, and of older ones `older_states.py`.
"""

import struct

from services.sessionizer import older_states
from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.turn_store import Page, SetName
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.meta import check_format, refusing
from services.sessionizer.state_reader import StateReader
from services.sessionizer.state_writer import StateWriter
from services.shared.errors import PermanentError

try:
    from services.sessionizer import _state_reader, _state_writer
except ImportError:
    _compiled = False
else:
    _compiled = True

FORMAT = 4
_FORMAT = bytes((FORMAT,))
_BEFORE = 3  # up to this one they are `older_states`
_OPEN, _UNSENT, _WHOLE, _LATE, _ENDED = 1, 2, 4, 8, 16
_HEADER = struct.Struct(">BBq")  # format, flags, deadline
_NAME = struct.Struct(">H")
_PAGE, _SET, _FILTER = b"p", b"s", b"f"
_NUMBER_BYTES = 8

ID_BYTES = 8
"""Of a window's id."""


def window_prefix(session: bytes, window: bytes) -> bytes:
    """The changelog key of a window's head, and the beginning of those of its pages and sets."""
    return _NAME.pack(len(session)) + session + window


def page_key(prefix: bytes, number: int) -> bytes:
    return prefix + _PAGE + number.to_bytes(_NUMBER_BYTES, "big")


def set_key(prefix: bytes, name: SetName) -> bytes:
    return prefix + _SET + name[0] + name[1].to_bytes(_NUMBER_BYTES, "big")


def filter_key(prefix: bytes, part: int) -> bytes:
    return prefix + _FILTER + part.to_bytes(_NUMBER_BYTES, "big")


def head_names(key: bytes) -> tuple[bytes, bytes] | None:
    """Session name and window id where the key is that of a head."""
    (length,) = _NAME.unpack_from(key)
    end = _NAME.size + length
    return (key[_NAME.size : end], key[end:]) if len(key) == end + ID_BYTES else None


def deadline(head: bytes) -> int:
    """When something must be done about the window, as its head says without being decoded.

    Raises `PermanentError` for the head of a newer worker, and for what no worker wrote.
    """
    if len(head) < _HEADER.size:
        raise PermanentError(f"a state in the changelog has {len(head)} bytes only")
    check_format(head[0], FORMAT)
    return int.from_bytes(head[2:10], "big", signed=True)


def is_open(head: bytes) -> bool:
    return head[1] & _OPEN > 0


def is_unsent(head: bytes) -> bool:
    """Whether the window has a change that is not published."""
    return head[1] & _UNSENT > 0


def is_over(head: bytes) -> bool:
    """Whether it is the only record of a closed window that is published as it is: its end alone is still to come."""
    return head[0] > _BEFORE and head[1] & (_OPEN | _UNSENT | _WHOLE) == _WHOLE


def is_whole(head: bytes) -> bool:
    """Whether a stored head has the only page of its window in it."""
    return head[0] > _BEFORE and head[1] & _WHOLE > 0


def encode_head(window: Window, due: int, *, whole: bool = False) -> bytes:
    """`whole`: with its only page in it. It was stored so before, or never."""
    if _compiled and (data := _state_writer.encode_head(window, due, whole)) is not None:
        return data
    flags = (0 if window.is_closed else _OPEN) | (_UNSENT if window.version != window.emitted else 0)
    flags |= (_WHOLE if whole else 0) | (_LATE if window.is_late else 0)
    flags |= 0 if window.ended_at is None else _ENDED
    writer = StateWriter(_HEADER.pack(FORMAT, flags, due))
    writer.window(window, is_whole=whole)
    return bytes(writer.data)


def decode_head(id_: bytes, data: bytes) -> Window:
    if _compiled and data[:1] == _FORMAT and (found := _state_reader.decode_head(id_, data)) is not None:
        return found
    return _decode_head(id_, data)


@refusing
def _decode_head(id_: bytes, data: bytes) -> Window:
    form, flags, _ = _HEADER.unpack_from(data)
    check_format(form, FORMAT)
    window = Window(id_, (NEVER, 0), 0, 0, is_late=flags & _LATE > 0)
    if form <= _BEFORE:
        older_states.fill(window, memoryview(data)[_HEADER.size :])
    else:
        reader = StateReader(data, _HEADER.size)
        reader.window(window, is_whole=flags & _WHOLE > 0, is_ended=flags & _ENDED > 0)
        reader.end()
    window.is_closed = not flags & _OPEN
    return window


def encode_page(page: Page) -> bytes:
    if _compiled and (data := _state_writer.encode_page(page)) is not None:
        return data
    start, version = next(((turn.start, turn.version) for turn in page.values()), (0, 0))
    writer = StateWriter(_FORMAT)
    writer.number(start)
    writer.number(version)
    writer.page(page, start, version)
    return bytes(writer.data)


@refusing
def decode_page(data: bytes) -> Page:
    if _compiled and data[:1] == _FORMAT and (found := _state_reader.decode_page(data)) is not None:
        return found
    check_format(data[0], FORMAT)
    if data[0] <= _BEFORE:
        return older_states.decode_page(data)
    reader = StateReader(data, 1)
    page = reader.page(reader.number(), reader.number())
    reader.end()
    return page


@refusing
def trace_ids(data: bytes) -> list[bytes]:
    """Of the turns of a stored page, without decoding the rest."""
    check_format(data[0], FORMAT)
    if data[0] <= _BEFORE:
        return older_states.trace_ids(data)
    reader = StateReader(data, 1)
    reader.number()
    reader.number()
    return reader.trace_ids()


def encode_set(spans: SpanSet) -> bytes:
    if _compiled and (data := _state_writer.encode_set(spans)) is not None:
        return data
    writer = StateWriter(_FORMAT)
    writer.spans(spans)
    return bytes(writer.data)


@refusing
def decode_set(data: bytes) -> SpanSet:
    if _compiled and data[:1] == _FORMAT and (found := _state_reader.decode_set(data)) is not None:
        return found
    check_format(data[0], FORMAT)
    if data[0] <= _BEFORE:
        return older_states.decode_set(data)
    reader = StateReader(data, 1)
    spans, _ = reader.spans()
    reader.end()
    return spans
