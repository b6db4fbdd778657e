"""PURE: records of `session_rollups` to blocks of rows, by the compiled writer."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

import orjson

from services.shared.model.rollup import TurnRollup, Usage, WindowRollup
from services.shared.records.rollups import OF_THE_WINDOW
from services.shared.records.source_record import SourceRecord
from services.sink.batch import BatchRows, Block, Row
from services.sink.rows import COLUMNS, TURNS, WINDOWS, Unreadable, rollup_rows

try:
    from services.sink._rows import OddValueError, TableBlock
except ImportError:  # not built, or switched off
    TableBlock = None  # type: ignore[misc,assignment]  # asked for before it is used

_NAME, _TIME, _MONEY = "LowCardinality(String)", "DateTime64(9, 'UTC')", "Decimal(38, 12)"
TYPES: Mapping[str, str] = {
    **dict.fromkeys(("project", "state", "close_reason", "environment", "root_name", "model"), _NAME),
    **dict.fromkeys(("is_late", "has_error"), "Bool"),
    "is_deleted": "UInt8",
    **dict.fromkeys(
        ("opened_at", "first_seen_at", "window_start", "window_end", "started_at", "ended_at", "environment_at"), _TIME
    ),
    **dict.fromkeys(("first_input_at", "last_output_at", "last_error_at"), _TIME),
    **dict.fromkeys(("version", "gap_ns", "allowed_lateness_ns", "active_ns"), "UInt64"),
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens"), "UInt64"),
    **dict.fromkeys(("cache_read_tokens", "cache_write_tokens"), "UInt64"),
    **dict.fromkeys(("turn_latency_p50_ns", "turn_latency_p95_ns", "turn_latency_p99_ns"), "UInt64"),
    **dict.fromkeys(("turn_count", "span_count", "tool_call_count", "error_count", "error_turn_count"), "UInt32"),
    **dict.fromkeys(("late_span_count", "duplicate_span_count", "llm_call_count", "unpriced_call_count"), "UInt32"),
    **dict.fromkeys(("prompt_cost", "completion_cost", "total_cost"), _MONEY),
    **dict.fromkeys(("user_ids", "conversation_ids"), "Array(String)"),
    **dict.fromkeys(("service_names", "agent_names", "models", "tags"), f"Array({_NAME})"),
    **dict.fromkeys(("session_attributes", "metadata"), f"Map({_NAME}, String)"),
    **dict.fromkeys(("session_attributes_at", "metadata_at"), f"Map({_NAME}, Int64)"),
    **dict.fromkeys(
        ("total_tokens_by_model", "prompt_tokens_by_model", "completion_tokens_by_model", "tool_calls_by_tool"),
        f"Map({_NAME}, UInt64)",
    ),
    **dict.fromkeys(
        ("total_cost_by_model", "prompt_cost_by_model", "completion_cost_by_model"), f"Map({_NAME}, {_MONEY})"
    ),
    "turn_latency_buckets": "Map(Int32, UInt64)",
    "models_by_provider": f"Map({_NAME}, Array(String))",
    "time_to_first_token_ns": "Nullable(UInt64)",
}
"""Of each column that holds no plain text: a test compares them with the migrated tables."""

_NOTHING: dict[str, Any] = {}


def rollup_writer() -> "RollupWriter | None":
    """A writer of what `rollup_rows` makes; `None` where it is not built."""
    return None if TableBlock is None else RollupWriter()


class RollupWriter:
    """See `BlockWriter`. Not for several threads at once."""

    def __init__(self) -> None:
        self._blocks = {
            TURNS: TableBlock(_columns(TURNS, TurnRollup)),
            WINDOWS: TableBlock(_columns(WINDOWS, WindowRollup)),
        }

    def write(self, records: Sequence[SourceRecord], most_rows: int) -> BatchRows | None:
        """See `BlockWriter`."""
        result, firsts = BatchRows(), dict.fromkeys(self._blocks, 0)
        try:
            for record in records:
                if record.value is not None:
                    self._add(record, record.value, result)
                for table, block in self._blocks.items():
                    if block.count >= most_rows:
                        firsts[table] = self._take(table, result, firsts[table])
        except (OddValueError, OverflowError, UnicodeEncodeError):
            for block in self._blocks.values():
                block.clear()
            return None
        for table in self._blocks:
            self._take(table, result, firsts[table])
        return result

    def _add(self, record: SourceRecord, value: bytes, result: BatchRows) -> None:
        try:
            rollup = orjson.loads(value)
        except orjson.JSONDecodeError:
            rollup = None
        kind = rollup.get("type") if type(rollup) is dict else None
        if kind not in ("window", "turns"):
            self._add_otherwise(record, value, result)
            return
        turns = rollup.get("turns")
        if turns is not None:
            if type(turns) is not list:
                raise OddValueError(turns)
            around = {name: rollup[name] for name in OF_THE_WINDOW if name in rollup}
            add = self._blocks[TURNS].add
            for turn in turns:
                if type(turn) is not dict:
                    raise OddValueError(turn)
                add(turn, around)
        elif kind == "turns" or "turns" in rollup:
            raise OddValueError(rollup)
        if kind == "window":
            self._blocks[WINDOWS].add(rollup, _NOTHING)

    def _add_otherwise(self, record: SourceRecord, value: bytes, result: BatchRows) -> None:
        """Annotations, which are few, and what nobody can read."""
        converted = rollup_rows(value, record.timestamp)
        if isinstance(converted, Unreadable):
            result.unreadable.append((record, converted))
            return
        for table, values in converted:
            result.rows.setdefault(table, []).append(Row(values, record))

    def _take(self, table: str, result: BatchRows, first: int) -> int:
        """Add the block that has been written, if it has rows; where the next one begins."""
        block = self._blocks[table]
        if count := block.count:
            result.blocks.append(Block(table, COLUMNS[table], first, count, block.take()))
        return first + count


def _columns(table: str, rollup: type[WindowRollup | TurnRollup]) -> list[tuple[str, str, Any]]:
    """Name, type and default (`...`: none) of each column, in the table's order."""
    described = {each.name: each for kind in (rollup, Usage) for each in fields(kind)}
    defaults = {
        name: each.default_factory() if each.default_factory is not MISSING else each.default
        for name, each in described.items()
    }
    return [(name, TYPES.get(name, "String"), _as_written(defaults[name])) for name in COLUMNS[table]]


def _as_written(default: object) -> object:
    """A default as JSON would have it."""
    if default is MISSING:
        return ...
    return str(default) if isinstance(default, str) else default
