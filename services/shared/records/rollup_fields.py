"""Windows and turns back from their fields, be they JSON of the live view or rows of ClickHouse.

Unknown fields are those of a newer writer and ignored; absent ones have their default, so
that readers and writers can be upgraded in any order.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from decimal import Context, Decimal
from typing import Any

import orjson

from services.shared.model.rollup import COSTS_BY_MODEL, CloseReason, TurnRollup, Usage, WindowRollup, WindowState
from services.shared.model.span import PICODOLLARS
from services.shared.records.rollups import OF_THE_WINDOW, dollars

_EXACT = Context(prec=76)
_USAGE = frozenset(Usage.__dataclass_fields__)
_COSTS = frozenset(name for name in _USAGE if name.endswith("_cost"))
_WINDOW = frozenset(WindowRollup.__dataclass_fields__)
_TURN = frozenset(TurnRollup.__dataclass_fields__)


def window_of(fields: Mapping[str, Any]) -> WindowRollup:
    """Raises `TypeError` or `ValueError` for fields that no writer of ours writes."""
    own = {name: value for name, value in fields.items() if name in _WINDOW}
    own["is_deleted"] = bool(own.get("is_deleted", False))
    own["is_late"] = bool(own.get("is_late", False))
    own["state"] = WindowState(own.get("state", WindowState.OPEN))
    own["close_reason"] = CloseReason(own.get("close_reason", CloseReason.NONE))
    for name in COSTS_BY_MODEL:
        own[name] = {model: picodollars(cost) for model, cost in own.get(name, {}).items()}
    own["turn_latency_buckets"] = {
        int(bucket): int(count) for bucket, count in own.get("turn_latency_buckets", {}).items()
    }
    return WindowRollup(**own, usage=_usage(fields))


def turn_of(fields: Mapping[str, Any]) -> TurnRollup:
    """Raises `TypeError` or `ValueError` for fields that no writer of ours writes."""
    own = {name: value for name, value in fields.items() if name in _TURN}
    own["is_deleted"] = bool(own.get("is_deleted", False))
    own["has_error"] = bool(own.get("has_error", False))
    return TurnRollup(**own, usage=_usage(fields))


def window_from_json(data: bytes) -> WindowRollup:
    """One window as `rollups.window_json` writes it."""
    return window_of(orjson.loads(data))


def turn_from_json(data: bytes, window: WindowRollup) -> TurnRollup:
    """One turn of that window as `rollups.turn_json` writes it."""
    return turn_of({name: getattr(window, name) for name in OF_THE_WINDOW} | orjson.loads(data))


def complete(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of `session_rollups` with nothing left out: defaults, and in each turn what its window says."""
    whole = dict(record)
    if record["type"] == "window":
        whole = _WINDOW_DEFAULTS | whole
    if "turns" in record:
        of_the_window = {name: record[name] for name in OF_THE_WINDOW if name in record}
        whole["turns"] = [_TURN_DEFAULTS | of_the_window | turn for turn in record["turns"]]
    return whole


def picodollars(dollars: str | Decimal) -> int:
    """Inverse of `rollups.dollars`."""
    return int(_EXACT.multiply(Decimal(dollars), PICODOLLARS))


def _usage(fields: Mapping[str, Any]) -> Usage:
    return Usage(
        **{name: picodollars(fields[name]) if name in _COSTS else fields[name] for name in _USAGE if name in fields}
    )


def _defaults(rollup: type[WindowRollup | TurnRollup]) -> dict[str, Any]:
    """By field, as it is in JSON: the value of those that may be left out."""
    described = [each for each in fields(rollup) if each.name != "usage"]
    found = {each.name: each.default for each in described if each.default is not MISSING}
    found |= {each.name: each.default_factory() for each in described if each.default_factory is not MISSING}
    return found | {name: dollars(0) if name in _COSTS else 0 for name in Usage.__dataclass_fields__}


_WINDOW_DEFAULTS, _TURN_DEFAULTS = _defaults(WindowRollup), _defaults(TurnRollup)
