"""The records of `session_rollups`: one JSON object each, `window`, `turns` or `annotations`.

A window has its changed turns inside; those that would make its record too large come before it
in records of their own. Windows and turns leave out fields with their default, and turns what
they share with their window. The same objects, one window or one turn, are the values of the
live view. Times are integers (ns), costs decimal strings of US dollars, `usage` is flat.
`schemas/json/session_rollups.schema.json` describes them and is compared with the dataclasses by a test.
"""

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import MISSING
from operator import attrgetter
from typing import Any, cast

import orjson

from services.shared.model.annotation import AnnotationRollup
from services.shared.model.rollup import COSTS_BY_MODEL, TurnRollup, Usage, WindowRollup
from services.shared.model.span import PICODOLLARS

MAX_RECORD_BYTES = 512_000
"""No record is larger. A turn of its own is far smaller: previews have 1,024 characters."""

OF_THE_WINDOW = ("project", "session_id", "window_id", "opened_at", "first_seen_at")
"""Fields of a turn that the record around it says once, and in the live view its window."""
WINDOW_ALWAYS = ("project", "session_id", "window_id", "version", "state", "opened_at", "first_seen_at")
TURN_ALWAYS = ("trace_id", "version")
"""Fields that are always there. Any other is left out when it has the default of its dataclass."""

_LARGEST = 2**63 - 1
_TURNS = b',"turns":['
_LISTS = frozenset({"turns", "annotations"})


class UnreadableRollupError(ValueError):
    """A record of `session_rollups` that this version cannot read: a bug or a newer writer."""


def dollars(picodollars: int) -> str:
    """Picodollars as an exact decimal number of US dollars, no exponent."""
    whole, rest = divmod(abs(picodollars), PICODOLLARS)
    return f"{'-' if picodollars < 0 else ''}{whole}.{rest:012d}"


def turn_json(turn: TurnRollup) -> bytes:
    """The JSON object of one turn, but for what its window says (`OF_THE_WINDOW`)."""
    return orjson.dumps(_turn(turn))


def window_json(window: WindowRollup) -> bytes:
    """The JSON object of one window's totals: also the value of its rollup record where no turn has changed."""
    return orjson.dumps(_window(window))


encode_window = window_json


def encode_turns(project: str, session_id: str, window_id: str, turns: Sequence[TurnRollup]) -> list[bytes]:
    """The values of the records that carry these turns of one window alone, each within `MAX_RECORD_BYTES`."""
    if not turns:
        return []
    window = (project, session_id, window_id, turns[0].opened_at, turns[0].first_seen_at)
    return _turns_records(dict(zip(OF_THE_WINDOW, window, strict=True)), [turn_json(turn) for turn in turns])


def rollup_records(window: bytes, turns: Sequence[bytes]) -> list[bytes]:
    """The values of the records of one rollup, each within the limit, from the JSON of the window and of its turns."""
    if not turns:
        return [window]
    if len(window) + len(_TURNS) + sum(map(len, turns)) + len(turns) <= MAX_RECORD_BYTES:
        return [b"%b%b%b]}" % (window[:-1], _TURNS, b",".join(turns))]
    return [*_turns_records(orjson.loads(window), turns), window]


def annotation_records(annotations: Sequence[AnnotationRollup]) -> list[bytes]:
    """The values of the records that carry these annotations of one session, at least one, each within the limit."""
    first = annotations[0]
    head = orjson.dumps({"type": "annotations", "project": first.project, "session_id": first.session_id})
    return _listed(head[:-1] + b',"annotations":[', [orjson.dumps(each) for each in annotations])


def _turns_records(window: Mapping[str, Any], turns: Iterable[bytes]) -> list[bytes]:
    head = orjson.dumps({"type": "turns"} | {name: window[name] for name in OF_THE_WINDOW})
    return _listed(head[:-1] + _TURNS, turns)


def _listed(start: bytes, objects: Iterable[bytes]) -> list[bytes]:
    """Records that begin so and end with a list of some of the objects."""
    records: list[bytes] = []
    chunk: list[bytes] = []
    size = len(start) + 2
    for data in objects:
        if chunk and size + len(data) + 1 > MAX_RECORD_BYTES:
            records.append(start + b",".join(chunk) + b"]}")
            chunk, size = [], len(start) + 2
        chunk.append(data)
        size += len(data) + 1
    if chunk:
        records.append(start + b",".join(chunk) + b"]}")
    return records


def decode(value: bytes) -> dict[str, Any]:
    """The object of one record. Raises `UnreadableRollupError` for anything this module does not write."""
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UnreadableRollupError(f"session_rollups record of {len(value)} bytes is no JSON: {error}") from error
    kind = record.get("type") if isinstance(record, dict) else None
    if kind == "window" or (isinstance(kind, str) and kind in _LISTS and isinstance(record.get(kind), list)):
        return dict(record)
    raise UnreadableRollupError(
        f"session_rollups record of {len(value)} bytes has type {kind!r:.100}: upgrade this reader"
    )


def _turn(turn: TurnRollup) -> dict[str, Any]:
    fields = _without_defaults(_TURN_FIELDS, _turn_values(turn))
    _add_usage(fields, turn.usage)
    return fields


def _window(window: WindowRollup) -> dict[str, Any]:
    fields = {"type": "window"} | _without_defaults(_WINDOW_FIELDS, _window_values(window))
    for name in _TOKENS_BY_MODEL:
        if name in fields:
            fields[name] = {model: min(tokens, _LARGEST) for model, tokens in fields[name].items()}
    for name in COSTS_BY_MODEL:
        if name in fields:
            fields[name] = {model: dollars(cost) for model, cost in fields[name].items()}
    if "turn_latency_buckets" in fields:
        fields["turn_latency_buckets"] = {str(bucket): count for bucket, count in window.turn_latency_buckets.items()}
    _add_usage(fields, window.usage)
    return fields


def _without_defaults(fields: Mapping[str, Any], values: Iterable[Any]) -> dict[str, Any]:
    return {name: value for (name, default), value in zip(fields.items(), values, strict=True) if value != default}


def _add_usage(fields: dict[str, Any], usage: Usage) -> None:
    for name, count in zip(_COUNTS, _count_values(usage), strict=True):
        if count:
            fields[name] = min(count, _LARGEST)
    for name, cost in zip(_COSTS, _cost_values(usage), strict=True):
        if cost:
            fields[name] = dollars(cost)


def _fields(rollup: type[WindowRollup | TurnRollup], always: Container[str], never: Container[str]) -> dict[str, Any]:
    """The fields of an object but `never`, each with the value for which it is left out; of `always` there is none."""
    described = [each for each in dataclasses.fields(rollup) if each.name != "usage" and each.name not in never]
    return {
        each.name: ...
        if each.name in always
        else each.default
        if each.default is not MISSING
        else cast("Callable[[], Any]", each.default_factory)()
        for each in described
    }


_TURN_FIELDS = _fields(TurnRollup, TURN_ALWAYS, never=OF_THE_WINDOW)
_WINDOW_FIELDS = _fields(WindowRollup, WINDOW_ALWAYS, never=())
_COSTS = tuple(name for name in Usage.__dataclass_fields__ if name.endswith("_cost"))
_COUNTS = tuple(name for name in Usage.__dataclass_fields__ if not name.endswith("_cost"))
_TOKENS_BY_MODEL = ("total_tokens_by_model", "prompt_tokens_by_model", "completion_tokens_by_model")
_turn_values, _window_values, _count_values, _cost_values = (
    attrgetter(*names) for names in (_TURN_FIELDS, _WINDOW_FIELDS, _COUNTS, _COSTS)
)
