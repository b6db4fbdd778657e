"""Formats 1 to 3 of the states of `window`, as workers wrote them before: they are read, never written.

After the header (`state`) all of it is msgpack (`packed`): a head is an array of arrays, a page an
array of turns, with what they said once a page since format 2.
"""

from typing import Any, TypeVar

from services.sessionizer.engine.names import Names
from services.sessionizer.engine.said import Said
from services.sessionizer.engine.spans import SpanSet, twin_of
from services.sessionizer.engine.totals import Totals
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import Page, TurnStore
from services.sessionizer.engine.usage import ModelSums, Sums
from services.sessionizer.engine.window import Window
from services.shared.model.rollup import CloseReason
from services.shared.model.span import Dimensions
from services.shared.records.packed import pack, unpack

_FIRST = 1
_S = TypeVar("_S", Sums, ModelSums)

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


def fill(window: Window, body: memoryview) -> None:
    """Fill in what a head says after its header."""
    life, sealed, leaves, spilled, sums, names, active = unpack(body)
    for name, value in zip(_LIFE, life, strict=True):
        setattr(window, name, value)
    window.sealed = CloseReason(sealed)
    window.turns = TurnStore(leaves, {trace_id: set(numbers) for trace_id, numbers in spilled.items()})
    totals = window.totals = Totals()
    for name, value in zip(_TOTALS, sums, strict=False):  # format 1 has fewer
        setattr(totals, name, _restored(Sums(), _SUMS, value) if name == "usage" else value)
    for name, fields in zip(_NAMES, names, strict=False):
        _restore_names(getattr(totals, name), fields)
    models = totals.models.values
    models.update({model: _restored(ModelSums(), _MODEL_SUMS, _model_sums(sums)) for model, sums in models.items()})
    totals.active.bounds.frombytes(active)


def decode_page(data: bytes) -> Page:
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


def decode_set(data: bytes) -> SpanSet:
    return _span_set(unpack(memoryview(data)[1:]))


def _restored(sums: _S, names: tuple[str, ...], stored: Any) -> _S:  # noqa: ANN401 - what msgpack gives
    for name, value in zip(names, stored, strict=True):
        setattr(sums, name, value)
    return sums


def _model_sums(stored: list[int]) -> list[int]:
    """Sums of a model as they are now; older heads have fewer of them, and as many counts of calls."""
    held = len(stored) // 2
    missing = [0] * (len(_OF_MODEL) - held)
    return [*stored[:held], *missing, *stored[held:], *missing]


def _restore_names(names: Names, fields: Any) -> None:  # noqa: ANN401 - what msgpack gives
    names.cut, sizes, values = fields
    names.total = sum(sizes.values())
    names.sizes.update(sizes)
    if values:
        names.values.update(zip(sizes, values, strict=True))


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


def _span_set(fields: Any) -> SpanSet:  # noqa: ANN401 - what msgpack gives
    ids, calls, children, _ = fields
    spans = SpanSet(ids, children=b"".join(twin_of(*child) for child in children))
    for span_id, prompt, completion, *call in calls:
        spans.put_call(twin_of(span_id, prompt, completion), pack(call))
    return spans
