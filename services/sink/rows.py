"""PURE: records to rows. The columns of every table, and the order in which rows hold them.

The columns of windows and turns are the fields of their rollups, `usage` flattened: a test
compares them with the migrated database.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from operator import itemgetter
from typing import Any

from services.shared.model.annotation import AnnotationRollup
from services.shared.model.outcome import SinkOutcome
from services.shared.model.rollup import COSTS_BY_MODEL, TurnRollup, Usage, WindowRollup
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.rows import SpanRow, span_rows
from services.shared.otlp.rules import Rules
from services.shared.records.rollups import OF_THE_WINDOW, UnreadableRollupError, decode

ROWS_VERSION = 2
"""Raised when the same record gives other rows than before: it is part of every insert's token."""

WINDOWS, TURNS, SPANS, ANNOTATIONS = "session_windows", "session_turns", "spans", "annotations"
Values = tuple[Any, ...]
"""One row, in the order of `COLUMNS` of its table."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record without rows. `is_ours`: the sink is the one to dead-letter it."""

    reason: SinkOutcome
    detail: str
    is_ours: bool


Converted = list[tuple[str, Values]] | Unreadable
"""(table, row) in the order of the record."""


def rollup_rows(value: bytes, timestamp: int) -> Converted:
    """Rows of one record of `session_rollups`."""
    del timestamp
    try:
        record = decode(value)
        if record["type"] == "annotations":
            return [(ANNOTATIONS, _ANNOTATION(annotation)) for annotation in record["annotations"]]
        of_the_window = {name: record[name] for name in OF_THE_WINDOW if name in record}
        rows = [(TURNS, _TURN({**of_the_window, **turn})) for turn in record.get("turns", ())]
        return [*rows, (WINDOWS, _WINDOW(record))] if record["type"] == "window" else rows
    except UnreadableRollupError as error:
        return Unreadable(SinkOutcome.UNREADABLE, str(error), is_ours=True)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        # What a writer of another version or a stranger put into our JSON: fields that are absent or of other types.
        return Unreadable(SinkOutcome.INVALID_FIELD, repr(error), is_ours=True)


@dataclass(frozen=True, slots=True)
class SpanConversion:
    """Rows of one record of `otlp_spans`. `route` dead-letters what cannot be read, so here it is only counted."""

    rules: Rules
    roots_only: bool

    def __call__(self, value: bytes, timestamp: int) -> Converted:
        request = decode_request(value)
        if isinstance(request, DeadLetter):
            return Unreadable(SinkOutcome.SKIPPED, request.detail, is_ours=False)
        rows = span_rows(request, timestamp, self.rules, roots_only=self.roots_only)
        return [(SPANS, (*(getattr(row, name) for name in _SPAN_FIELDS), timestamp)) for row in rows]


def columns(table: str, rows: Iterable[Values]) -> dict[str, list[Any]]:
    """Rows of one table, column by column."""
    return dict(zip(COLUMNS[table], map(list, zip(*rows, strict=True)), strict=True))


class _Reader:
    """Picks one rollup's values out of its JSON object, with the default of the field where a writer left it out."""

    def __init__(self, rollup: type[WindowRollup | TurnRollup | AnnotationRollup]) -> None:
        described = [part for field in fields(rollup) for part in (fields(Usage) if field.name == "usage" else [field])]
        self.columns = tuple(field.name for field in described)
        self._pick = itemgetter(*self.columns)  # all of a row at once: rollups come by the ten thousand
        self._defaults = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in described
            if field.default is not MISSING or field.default_factory is not MISSING
        }
        self._conversions = [
            (self.columns.index(name), convert) for name, convert in _CONVERSIONS.items() if name in self.columns
        ]

    def __call__(self, record: Mapping[str, Any]) -> Values:
        row = list(self._pick({**self._defaults, **record}))
        for place, convert in self._conversions:
            row[place] = convert(row[place])
        return tuple(row)


def _costs_by_model(costs: Mapping[str, str]) -> dict[str, Decimal]:
    return {model: Decimal(cost) for model, cost in costs.items()}


def _buckets(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(bucket): count for bucket, count in counts.items()}


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "is_deleted": int,
    "prompt_cost": Decimal,
    "completion_cost": Decimal,
    "total_cost": Decimal,
    **dict.fromkeys(COSTS_BY_MODEL, _costs_by_model),
    "turn_latency_buckets": _buckets,
}
_WINDOW, _TURN, _ANNOTATION = _Reader(WindowRollup), _Reader(TurnRollup), _Reader(AnnotationRollup)
_SPAN_FIELDS = tuple(SpanRow.__dataclass_fields__)
_SPAN_NAMES = {"parent_id": "parent_span_id", "start": "start_time", "end": "end_time", "service": "service_name"}

COLUMNS: Mapping[str, tuple[str, ...]] = {
    WINDOWS: _WINDOW.columns,
    TURNS: _TURN.columns,
    ANNOTATIONS: _ANNOTATION.columns,
    SPANS: (*(_SPAN_NAMES.get(name, name) for name in _SPAN_FIELDS), "ingested_at"),
}
"""The columns of each table as rows hold them."""
