"""States of `window` as bytes: heads, pages and sets of identities, and their changelog keys.

Every value but a filter begins with the format's number; a worker reads its own format and older ones. A
head's first bytes say when something is due, so that recovery fills the wheel without
decoding the rest.
"""

import struct
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from services.sessionizer.engine.names import Names
from services.sessionizer.engine.said import Said
from services.sessionizer.engine.spans import SpanSet, twin_fields, twin_of
from services.sessionizer.engine.totals import Totals
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import Page, SetName, TurnStore
from services.sessionizer.engine.usage import ModelSums, Sums
from services.sessionizer.engine.window import Window
from services.sessionizer.meta import check_format, refusing
from services.shared.model.rollup import CloseReason
from services.shared.model.span import Dimensions
from services.shared.records.packed import pack, unpack

FORMAT = 3
_FIRST = 1
_OPEN, _UNSENT = 1, 2
_HEADER = struct.Struct(">BBq")  # format, flags, deadline
_NAME = struct.Struct(">H")
_PAGE, _SET, _FILTER = b"p", b"s", b"f"
_ID_BYTES = _NUMBER_BYTES = 8
_S = TypeVar("_S", Sums, ModelSums)


class Header(NamedTuple):
    """What a head says without being decoded."""

    is_open: bool
    is_unsent: bool
    deadline: int


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
    return (key[_NAME.size : end], key[end:]) if len(key) == end + _ID_BYTES else None


@refusing
def header(data: bytes) -> Header:
    form, flags, deadline = _HEADER.unpack_from(data)
    check_format(form, FORMAT)
    return Header(bool(flags & _OPEN), bool(flags & _UNSENT), deadline)


def encode_head(window: Window, deadline: int) -> bytes:
    flags = (0 if window.is_closed else _OPEN) | (_UNSENT if window.version != window.emitted else 0)
    totals, turns = window.totals, window.turns
    fields = [
        _life_of(window),
        window.sealed.value,
        turns.leaves,
        {trace_id: sorted(numbers) for trace_id, numbers in turns.spilled.items()},
        _with_sums(_totals_of(totals), _TOTALS),
        [_names_fields(names) for names in _names_of(totals)],
        totals.active.bounds.tobytes(),
    ]
    return _HEADER.pack(FORMAT, flags, deadline) + pack(fields)


@refusing
def decode_head(id_: bytes, data: bytes) -> Window:
    life, sealed, leaves, spilled, sums, names, active = unpack(memoryview(data)[_HEADER.size :])
    window = Window.__new__(Window)
    window.id = id_
    for name, value in zip(_LIFE, life, strict=True):
        setattr(window, name, value)
    window.sealed = CloseReason(sealed)
    window.is_closed = not header(data).is_open
    window.turns = TurnStore(leaves, {trace_id: set(numbers) for trace_id, numbers in spilled.items()})
    window.touched, window.is_stored, window.is_owed = {}, True, False
    totals = window.totals = Totals()
    for name, value in zip(_TOTALS, sums, strict=False):  # format 1 has fewer
        setattr(totals, name, _restored(Sums(), _SUMS, value) if name == "usage" else value)
    for name, fields in zip(_NAMES, names, strict=False):
        _restore_names(getattr(totals, name), fields)
    models = totals.models.values
    models.update({model: _restored(ModelSums(), _MODEL_SUMS, _model_sums(sums)) for model, sums in models.items()})
    totals.active.bounds.frombytes(active)
    return window


def encode_page(page: Page) -> bytes:
    """What turns said is written once a page and referred to by index: turns of a session mostly say the same."""
    table: dict[Dimensions, int] = {}
    turns = [
        [*_with_sums(_turn_of(turn), _TURN), *_set_fields(turn.spans), *_said_fields(turn.said, table)]
        for turn in page.values()
    ]
    return bytes((FORMAT,)) + pack([[_dimensions_of(said) for said in table], turns])


@refusing
def decode_page(data: bytes) -> Page:
    check_format(data[0], FORMAT)
    page: Page = {}
    content = unpack(memoryview(data)[1:])
    if data[0] == _FIRST:
        size = len(_TURN) - len(_NOT_IN_FIRST)
        table, turns = [], [(*fields[:size], None, None, *fields[size:], (), None) for fields in content]
    else:
        table, turns = [Dimensions(*said) for said in content[0]], content[1]
    for fields in turns:
        turn = Turn.__new__(Turn)
        # One assignment costs a third of a loop over names, and pages are most of what a long session costs.
        (turn.end, turn.error_count, turn.first_token, turn.input, turn.model, turn.output, turn.root,
         turn.settled, turn.span_count, turn.start, turn.tool_call_count, turn.trace_id, usage, turn.version,
         turn.input_below, turn.output_below, ids, calls, children, weight, few, many) = fields  # fmt: skip
        turn.usage, turn.spans = _restored(Sums(), _SUMS, usage), _span_set((ids, calls, children, weight))
        turn.said = _said(few, many, table)
        page[turn.trace_id] = turn
    return page


def trace_ids(page: bytes) -> list[bytes]:
    """Of the turns of a stored page, without decoding the rest."""
    content = unpack(memoryview(page)[1:])
    at = _TURN.index("trace_id")
    return [fields[at] for fields in (content if page[0] == _FIRST else content[1])]


def encode_set(spans: SpanSet) -> bytes:
    return bytes((FORMAT,)) + pack(_set_fields(spans))


@refusing
def decode_set(data: bytes) -> SpanSet:
    check_format(data[0], FORMAT)
    return _span_set(unpack(memoryview(data)[1:]))


_LIFE = (
    "opened", "opened_at", "first_seen_at", "is_late", "start", "end", "ended_at", "ended_by", "version", "changed_at",
    "gap", "allowed_lateness", "late_spans", "duplicates", "identities", "emitted", "emitted_at", "shown",
)  # fmt: skip
_TOTALS = (
    *("turn_count", "span_count", "error_count", "error_turn_count", "tool_call_count", "usage", "latency"),
    *("environment", "first_input", "last_output", "last_error", "first_input_below", "last_output_below"),
)
_NAMES = (
    *("models", "users", "services", "agents", "tags", "session", "metadata"),
    *("providers", "tools", "conversations"),
)
_NOT_IN_FIRST = ("input_below", "output_below")
# In the order in which `decode_page` takes them.
_TURN = (
    "end", "error_count", "first_token", "input", "model", "output", "root", "settled", "span_count", "start",
    "tool_call_count", "trace_id", "usage", "version", *_NOT_IN_FIRST,
)  # fmt: skip
_WHO = ("users", "services", "agents", "conversations", "tags", "session", "metadata")
_SUMS = (
    "prompt", "completion", "total", "cache_read", "cache_write", "reasoning", "prompt_cost", "completion_cost",
    "total_cost", "calls", "unpriced", "prompt_calls", "completion_calls", "total_calls",
)  # fmt: skip
_OF_MODEL = ("total", "prompt", "completion", "total_cost", "prompt_cost", "completion_cost")
_MODEL_SUMS = (*_OF_MODEL, *(f"{name}_calls" for name in _OF_MODEL))
_life_of, _totals_of, _names_of, _turn_of = (attrgetter(*names) for names in (_LIFE, _TOTALS, _NAMES, _TURN))
_sums_of, _model_sums_of = attrgetter(*_SUMS), attrgetter(*_MODEL_SUMS)
_who_of, _dimensions_of = attrgetter(*_WHO), attrgetter(*Dimensions.__dataclass_fields__)


def _with_sums(fields: tuple[Any, ...], names: tuple[str, ...]) -> list[Any]:
    """The same with the sums as they are stored."""
    at = names.index("usage")
    return [*fields[:at], _sums_of(fields[at]), *fields[at + 1 :]]


def _restored(sums: _S, names: tuple[str, ...], stored: Any) -> _S:  # noqa: ANN401 - what msgpack gives
    for name, value in zip(names, stored, strict=True):
        setattr(sums, name, value)
    return sums


def _names_fields(names: Names) -> list[Any]:
    values = [names.values[name] for name in names.sizes] if names.values else []
    return [names.cut, names.sizes, [_model_sums_of(v) if isinstance(v, ModelSums) else v for v in values]]


def _model_sums(stored: list[int]) -> list[int]:
    """Sums of a model as they are now; older heads have fewer of them, and as many counts of calls."""
    held = len(stored) // 2
    missing = [0] * (len(_OF_MODEL) - held)
    return [*stored[:held], *missing, *stored[held:], *missing]


def _restore_names(names: Names, fields: Any) -> None:  # noqa: ANN401 - what msgpack gives
    names.cut, names.sizes, values = fields
    names.total = sum(names.sizes.values())
    names.values = dict(zip(names.sizes, values, strict=True)) if values else {}


def _said_fields(said: Said, table: dict[Dimensions, int]) -> list[Any]:
    few = [(table.setdefault(each, len(table)), end, span_id) for each, (end, _, span_id) in said.few]
    many = said.many
    return [few, None if many is None else [many.environment, *map(_names_fields, _who_of(many))]]


def _said(few: Any, many: Any, table: list[Dimensions]) -> Said:  # noqa: ANN401 - what msgpack gives
    said = Said()
    for index, end, span_id in few:
        said.add(table[index], (end, b"", span_id))
    if many is not None:
        who = said.collect()
        who.environment = many[0]
        for name, fields in zip(_WHO, many[1:], strict=True):
            _restore_names(getattr(who, name), fields)
    return said


def _set_fields(spans: SpanSet) -> list[Any]:
    calls = [(*twin_fields(twin), *unpack(packed)) for twin, packed in spans.packed_calls()]
    return [bytes(spans.ids), calls, sorted(map(twin_fields, spans.twins_of_children())), spans.weight]


def _span_set(fields: Any) -> SpanSet:  # noqa: ANN401 - what msgpack gives
    ids, calls, children, _ = fields
    spans = SpanSet(ids, children=b"".join(twin_of(*child) for child in children))
    for span_id, prompt, completion, *call in calls:
        spans.put_call(twin_of(span_id, prompt, completion), pack(call))
    return spans
