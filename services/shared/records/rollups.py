"""The records of `session_rollups`: one JSON object each, `turns`, `window` or `annotations`.

The same objects, one window or one turn, are the values of the live view. Times are integers
(ns), costs decimal strings of US dollars, `usage` is flat. `schemas/json/session_rollups.schema.json`
describes them and is compared with the dataclasses by a test.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import orjson

from services.shared.model.annotation import AnnotationRollup
from services.shared.model.rollup import COSTS_BY_MODEL, TurnRollup, Usage, WindowRollup
from services.shared.model.span import PICODOLLARS

MAX_RECORD_BYTES = 512_000
"""No record is larger. A turn of its own is far smaller: previews have 1,024 characters."""

_LARGEST = 2**63 - 1
_LISTS = frozenset({"turns", "annotations"})


class UnreadableRollupError(ValueError):
    """A record of `session_rollups` that this version cannot read: a bug or a newer writer."""


def dollars(picodollars: int) -> str:
    """Picodollars as an exact decimal number of US dollars, no exponent."""
    whole, rest = divmod(abs(picodollars), PICODOLLARS)
    return f"{'-' if picodollars < 0 else ''}{whole}.{rest:012d}"


def turn_json(turn: TurnRollup) -> bytes:
    """The JSON object of one turn."""
    return orjson.dumps(_turn(turn))


def window_json(window: WindowRollup) -> bytes:
    """The JSON object of one window's totals: also the value of its rollup record."""
    return orjson.dumps(_window(window))


encode_window = window_json


def encode_turns(project: str, session_id: str, window_id: str, turns: Sequence[TurnRollup]) -> list[bytes]:
    """The values of the records that carry these turns, each within `MAX_RECORD_BYTES`."""
    return turns_records(project, session_id, window_id, [turn_json(turn) for turn in turns])


def annotation_records(annotations: Sequence[AnnotationRollup]) -> list[bytes]:
    """The values of the records that carry these annotations of one session, at least one, each within the limit."""
    first = annotations[0]
    head = orjson.dumps({"type": "annotations", "project": first.project, "session_id": first.session_id})
    return _listed(head[:-1] + b',"annotations":[', [orjson.dumps(each) for each in annotations])


def turns_records(project: str, session_id: str, window_id: str, turns: Sequence[bytes]) -> list[bytes]:
    """The same from the JSON of each turn."""
    head = orjson.dumps({"type": "turns", "project": project, "session_id": session_id, "window_id": window_id})
    return _listed(head[:-1] + b',"turns":[', turns)


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
    fields = dict(zip(_TURN_FIELDS, _turn_values(turn), strict=True))
    _add_usage(fields, turn.usage)
    return fields


def _window(window: WindowRollup) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "window"}
    fields.update(zip(_WINDOW_FIELDS, _window_values(window), strict=True))
    _add_usage(fields, window.usage)
    for name in _TOKENS_BY_MODEL:
        fields[name] = {model: min(tokens, _LARGEST) for model, tokens in fields[name].items()}
    for name in COSTS_BY_MODEL:
        fields[name] = {model: dollars(cost) for model, cost in fields[name].items()}
    fields["turn_latency_buckets"] = {str(bucket): count for bucket, count in window.turn_latency_buckets.items()}
    return fields


def _add_usage(fields: dict[str, Any], usage: Usage) -> None:
    for name, count in zip(_COUNTS, _count_values(usage), strict=True):
        fields[name] = min(count, _LARGEST)
    for name, cost in zip(_COSTS, _cost_values(usage), strict=True):
        fields[name] = dollars(cost) if cost else _FREE


_TURN_FIELDS = tuple(name for name in TurnRollup.__dataclass_fields__ if name != "usage")
_WINDOW_FIELDS = tuple(name for name in WindowRollup.__dataclass_fields__ if name != "usage")
_COSTS = tuple(name for name in Usage.__dataclass_fields__ if name.endswith("_cost"))
_COUNTS = tuple(name for name in Usage.__dataclass_fields__ if not name.endswith("_cost"))
_TOKENS_BY_MODEL = ("total_tokens_by_model", "prompt_tokens_by_model", "completion_tokens_by_model")
_turn_values, _window_values, _count_values, _cost_values = (
    attrgetter(*names) for names in (_TURN_FIELDS, _WINDOW_FIELDS, _COUNTS, _COSTS)
)
_FREE = dollars(0)
