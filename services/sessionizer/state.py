"""States as bytes: heads, pages, sets of identities and the meta record, and their changelog keys.

Every value begins with the format's number; a worker reads its own format and older ones. A
head's first bytes say when something is due, so that recovery fills the wheel without
decoding the rest.
"""

import struct
from array import array
from typing import Any, NamedTuple

import msgpack

from services.sessionizer.engine.intervals import Intervals
from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import Page, SetName, TurnStore
from services.sessionizer.engine.watermark import PartitionTime, Source
from services.sessionizer.engine.window import Window
from services.shared.errors import PermanentError
from services.shared.model.rollup import CloseReason
from services.shared.model.span import ModelCall

FORMAT = 1
META_KEY = b"meta"
_OPEN, _UNSENT = 1, 2
_HEADER = struct.Struct(">BBq")  # format, flags, deadline
_NAME = struct.Struct(">H")
_PAGE, _SET = b"p", b"s"
_LARGE = 1  # msgpack extension: an integer of more than 64 bits, as decimal digits
_ID_BYTES, _TRACE_BYTES = 8, 16


class Header(NamedTuple):
    """What a head says without being decoded."""

    is_open: bool
    is_unsent: bool
    deadline: int


class Meta(NamedTuple):
    """The meta record of a partition: the position is the next offset to fold."""

    epoch: int
    position: int
    time: PartitionTime


def window_prefix(session: bytes, window: bytes) -> bytes:
    """The changelog key of a window's head, and the beginning of those of its pages and sets."""
    return _NAME.pack(len(session)) + session + window


def page_key(prefix: bytes, number: int) -> bytes:
    return prefix + _PAGE + number.to_bytes(4, "big")


def set_key(prefix: bytes, name: SetName) -> bytes:
    return prefix + _SET + name[0] + name[1].to_bytes(4, "big")


def head_names(key: bytes) -> tuple[bytes, bytes] | None:
    """Session name and window id where the key is that of a head."""
    (length,) = _NAME.unpack_from(key)
    end = _NAME.size + length
    return (key[_NAME.size : end], key[end:]) if len(key) == end + _ID_BYTES else None


def header(data: bytes) -> Header:
    form, flags, deadline = _HEADER.unpack_from(data)
    _check(form)
    return Header(bool(flags & _OPEN), bool(flags & _UNSENT), deadline)


def encode_head(window: Window, deadline: int) -> bytes:
    flags = (0 if window.is_closed else _OPEN) | (_UNSENT if window.version != window.emitted else 0)
    totals = window.totals
    fields = [
        *(window.opened, window.opened_at, window.first_seen_at, window.is_late, window.start, window.end),
        *(window.ended_at, window.ended_by, window.sealed.value, window.version, window.changed_at),
        *(window.gap, window.allowed_lateness, window.late_spans, window.duplicates),
        *(window.emitted, window.emitted_at, window.shown, window.forgotten),
        *(
            window.turns.leaves,
            window.turns.spilled,
            [getattr(totals, name) for name in _COUNTS],
            totals.usage,
            totals.by_model,
        ),
        *([sorted(getattr(totals, name)) for name in _SETS], [getattr(totals, name) for name in _WRITTEN]),
        *(totals.session, totals.metadata, totals.active.bounds.tobytes(), totals.latency),
    ]
    return _HEADER.pack(FORMAT, flags, deadline) + _pack(fields)


def decode_head(id_: bytes, data: bytes) -> Window:
    (opened, opened_at, first_seen_at, is_late, start, end, ended_at, ended_by, sealed, version, changed_at,
     gap, allowed_lateness, late_spans, duplicates, emitted, emitted_at, shown, forgotten,
     leaves, spilled, counts, usage, by_model, sets, written, session, metadata, active, latency) = _unpack(
        memoryview(data)[_HEADER.size :]
    )  # fmt: skip
    window = Window(id_, opened, opened_at, first_seen_at, is_late=is_late)
    head = header(data)
    window.is_closed, window.filed = not head.is_open, head.deadline
    window.start, window.end, window.ended_at, window.ended_by = start, end, ended_at, ended_by
    window.sealed, window.version, window.changed_at = CloseReason(sealed), version, changed_at
    window.gap, window.allowed_lateness = gap, allowed_lateness
    window.late_spans, window.duplicates = late_spans, duplicates
    window.emitted, window.emitted_at, window.shown, window.forgotten = emitted, emitted_at, shown, forgotten
    window.turns = TurnStore(leaves, spilled)
    totals = window.totals
    for name, count in zip(_COUNTS, counts, strict=True):
        setattr(totals, name, count)
    for name, members in zip(_SETS, sets, strict=True):
        setattr(totals, name, set(members))
    for name, value in zip(_WRITTEN, written, strict=True):
        setattr(totals, name, value)
    totals.usage, totals.by_model = list(usage), {model: list(sums) for model, sums in by_model.items()}
    totals.session, totals.metadata, totals.latency = session, metadata, latency
    bounds = array("q")
    bounds.frombytes(active)
    totals.active = Intervals(bounds)
    return window


def encode_page(page: Page) -> bytes:
    return bytes((FORMAT,)) + _pack(
        [[getattr(turn, name) for name in _TURN] + _set_fields(turn.spans) for turn in page.values()]
    )


def decode_page(data: bytes) -> Page:
    _check(data[0])
    page: Page = {}
    for fields in _unpack(memoryview(data)[1:]):
        turn = Turn.__new__(Turn)
        for name, value in zip(_TURN, fields, strict=False):
            setattr(turn, name, value)
        turn.usage = list(turn.usage)
        turn.spans = _span_set(fields[len(_TURN) :])
        page[turn.trace_id] = turn
    return page


def encode_set(spans: SpanSet) -> bytes:
    return bytes((FORMAT,)) + _pack(_set_fields(spans))


def decode_set(data: bytes) -> SpanSet:
    _check(data[0])
    return _span_set(_unpack(memoryview(data)[1:]))


def encode_meta(meta: Meta) -> bytes:
    time = meta.time
    sources = {name: (source.watermark, source.heard_at) for name, source in time.sources.items()}
    fields = [meta.epoch, meta.position, time.watermark, time.log_time, time.timestamp, sources, time.source_count]
    return bytes((FORMAT,)) + _pack([*fields, time.counted_at])


def decode_meta(data: bytes, source_timeout: int) -> Meta:
    _check(data[0])
    epoch, position, watermark, log_time, timestamp, sources, count, counted_at = _unpack(memoryview(data)[1:])
    heard = {name: Source(*source) for name, source in sources.items()}
    time = PartitionTime(source_timeout, watermark, log_time, timestamp, heard, count, counted_at)
    return Meta(epoch, position, time)


_COUNTS = ("turn_count", "span_count", "error_count", "error_turn_count", "tool_call_count")
_SETS = ("models", "users", "services", "agents", "tags")
_WRITTEN = ("environment", "first_input", "last_output", "last_error")
_TURN = tuple(name for name in Turn.__slots__ if name != "spans")
_CALL = tuple(ModelCall.__dataclass_fields__)


def _set_fields(spans: SpanSet) -> list[Any]:
    calls = [(span_id, *(getattr(call, name) for name in _CALL)) for span_id, call in spans.calls.items()]
    return [spans.ids, calls, sorted(spans.children), spans.weight]


def _span_set(fields: Any) -> SpanSet:  # noqa: ANN401 - what msgpack gives
    ids, calls, children, weight = fields
    return SpanSet(ids, {call[0]: ModelCall(*call[1:]) for call in calls}, set(children), weight)


def _check(form: int) -> None:
    if form != FORMAT:
        raise PermanentError(f"a state in the changelog has format {form}, this worker reads {FORMAT}: upgrade it")


def _pack(fields: Any) -> bytes:  # noqa: ANN401 - any tree of plain values
    data: bytes = msgpack.packb(fields, default=_plain)
    return data


def _plain(value: object) -> msgpack.ExtType:
    """Sums may outgrow the 64 bits of msgpack's integers."""
    if isinstance(value, int):
        return msgpack.ExtType(_LARGE, str(value).encode())
    raise TypeError(f"{value!r} is no part of a state")


def _large(code: int, data: bytes) -> int:
    if code != _LARGE:
        raise PermanentError(f"a state in the changelog has a part of kind {code}, unknown to this worker: upgrade it")
    return int(data)


def _unpack(data: Any) -> Any:  # noqa: ANN401 - what msgpack gives
    return msgpack.unpackb(data, use_list=False, strict_map_key=False, ext_hook=_large)
