"""PURE: a session is its windows, merged when it is read; a turn is its parts, likewise.

A trace is in two windows after a maximum or an expiry. Its parts are disjoint sets of spans, so
sums are exact; what counts traces (turns, turns with an error) and what measures time counts
each trace once. Turns may be kept for a shorter time than windows, so totals come from the
windows and are only corrected by what the turns show to be in two of them.

The view `sessions` in ClickHouse merges by the same rules: a test compares the two. A last
writer wins by event time, then by window id.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate
from typing import TypeVar

from services.shared.model.rollup import CloseReason, TurnRollup, Usage, WindowRollup, WindowState
from services.shared.model.session_key import SessionKey

_Interval = tuple[int, int]
_Written = tuple[int, str, str]  # event time, window id, text
_NO_TEXT: _Written = (0, "", "")
_Key = TypeVar("_Key", str, int)
_PER_DOUBLING, _EXACT_BUCKETS = 32, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One trace of a session, over all its windows. Ordered by (start, trace id) in a session."""

    trace_id: str
    window_ids: tuple[str, ...]
    started_at: int
    ended_at: int
    root_span_id: str
    root_name: str
    has_error: bool
    error_count: int
    model: str
    span_count: int
    tool_call_count: int
    usage: Usage
    time_to_first_token_ns: int | None
    input: str
    output: str
    user_ids: list[str]
    environment: str
    service_names: list[str]
    agent_names: list[str]
    conversation_ids: list[str]
    tags: list[str]
    session_attributes: dict[str, str]
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All windows of one session key. `windows` by start; `turns` by start."""

    key: SessionKey
    windows: tuple[WindowRollup, ...]
    turns: tuple[Turn, ...]
    state: WindowState
    close_reason: CloseReason
    first_seen_at: int
    started_at: int
    ended_at: int
    active_ns: int
    turn_latency_ns: dict[str, int]

    user_ids: list[str]
    environment: str
    service_names: list[str]
    agent_names: list[str]
    models: list[str]
    tags: list[str]
    session_attributes: dict[str, str]
    metadata: dict[str, str]

    turn_count: int
    error_turn_count: int
    span_count: int
    tool_call_count: int
    error_count: int
    late_span_count: int
    duplicate_span_count: int
    usage: Usage
    total_tokens_by_model: dict[str, int] = field(default_factory=dict)
    prompt_tokens_by_model: dict[str, int] = field(default_factory=dict)
    completion_tokens_by_model: dict[str, int] = field(default_factory=dict)
    total_cost_by_model: dict[str, int] = field(default_factory=dict)
    prompt_cost_by_model: dict[str, int] = field(default_factory=dict)
    completion_cost_by_model: dict[str, int] = field(default_factory=dict)
    first_input: str
    last_output: str
    last_error: str
    conversation_ids: list[str]
    models_by_provider: dict[str, list[str]]
    tool_calls_by_tool: dict[str, int]


def merge_session(windows: Sequence[WindowRollup], turns: Iterable[TurnRollup]) -> Session:
    """`windows`: at least one, of one session, none deleted; `turns`: theirs."""
    windows = sorted(windows, key=lambda w: (w.window_start, w.window_id))
    parts = list(turns)
    merged = merge_turns(parts)
    last = max(windows, key=lambda w: (w.window_end, w.window_id))
    turn_count = _distinct(sum(w.turn_count for w in windows), len(parts), len(merged))
    is_open = any(window.state is WindowState.OPEN for window in windows)
    return Session(
        key=SessionKey(last.project, last.session_id),
        windows=tuple(windows),
        turns=tuple(merged),
        state=WindowState.OPEN if is_open else WindowState.CLOSED,
        close_reason=CloseReason.NONE if is_open else last.close_reason,
        first_seen_at=min(window.first_seen_at for window in windows),
        started_at=min(window.window_start for window in windows),
        ended_at=last.window_end,
        active_ns=_active(windows, parts, are_all_known=turn_count == len(merged)),
        turn_latency_ns=_quantiles(_sum_by_key(w.turn_latency_buckets for w in windows)),
        user_ids=_union(window.user_ids for window in windows),
        environment=_latest((w.environment_at, w.window_id, w.environment) for w in windows),
        service_names=_union(window.service_names for window in windows),
        agent_names=_union(window.agent_names for window in windows),
        models=_union(window.models for window in windows),
        tags=_union(window.tags for window in windows),
        session_attributes=_latest_by_key(
            (w.session_attributes, w.session_attributes_at, w.window_id) for w in windows
        ),
        metadata=_latest_by_key((w.metadata, w.metadata_at, w.window_id) for w in windows),
        turn_count=turn_count,
        error_turn_count=_distinct(
            sum(w.error_turn_count for w in windows),
            sum(part.has_error for part in parts),
            sum(turn.has_error for turn in merged),
        ),
        span_count=sum(window.span_count for window in windows),
        tool_call_count=sum(window.tool_call_count for window in windows),
        error_count=sum(window.error_count for window in windows),
        late_span_count=sum(window.late_span_count for window in windows),
        duplicate_span_count=sum(window.duplicate_span_count for window in windows),
        usage=add_usage(window.usage for window in windows),
        total_tokens_by_model=_sum_by_key(w.total_tokens_by_model for w in windows),
        prompt_tokens_by_model=_sum_by_key(w.prompt_tokens_by_model for w in windows),
        completion_tokens_by_model=_sum_by_key(w.completion_tokens_by_model for w in windows),
        total_cost_by_model=_sum_by_key(w.total_cost_by_model for w in windows),
        prompt_cost_by_model=_sum_by_key(w.prompt_cost_by_model for w in windows),
        completion_cost_by_model=_sum_by_key(w.completion_cost_by_model for w in windows),
        first_input=min(
            ((w.first_input_at, w.window_id, w.first_input) for w in windows if w.first_input), default=_NO_TEXT
        )[2],
        last_output=_latest((w.last_output_at, w.window_id, w.last_output) for w in windows),
        last_error=_latest((w.last_error_at, w.window_id, w.last_error) for w in windows),
        conversation_ids=_union(window.conversation_ids for window in windows),
        models_by_provider=_union_by_key(window.models_by_provider for window in windows),
        tool_calls_by_tool=_sum_by_key(window.tool_calls_by_tool for window in windows),
    )


def merge_turns(parts: Iterable[TurnRollup]) -> list[Turn]:
    """Turns in order. The earliest part with a root span says what the turn is called and began with.

    Of what has one value (environment, an attribute, a key of metadata) the latest part with one wins.
    """
    by_trace: defaultdict[str, list[TurnRollup]] = defaultdict(list)
    for part in parts:
        by_trace[part.trace_id].append(part)
    turns = [
        _merge_parts(trace_id, sorted(group, key=lambda p: (p.started_at, p.window_id)))
        for trace_id, group in by_trace.items()
    ]
    return sorted(turns, key=lambda turn: (turn.started_at, turn.trace_id))


def add_usage(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        for name in _USAGE_FIELDS:
            setattr(total, name, getattr(total, name) + getattr(usage, name))
    return total


def _merge_parts(trace_id: str, parts: list[TurnRollup]) -> Turn:
    root = next((part for part in parts if part.root_span_id), parts[0])
    return Turn(
        trace_id=trace_id,
        window_ids=tuple(part.window_id for part in parts),
        started_at=parts[0].started_at,
        ended_at=max(part.ended_at for part in parts),
        root_span_id=root.root_span_id,
        root_name=root.root_name,
        has_error=any(part.has_error for part in parts),
        error_count=sum(part.error_count for part in parts),
        model=next((part.model for part in parts if part.model), ""),
        span_count=sum(part.span_count for part in parts),
        tool_call_count=sum(part.tool_call_count for part in parts),
        usage=parts[0].usage if len(parts) == 1 else add_usage(part.usage for part in parts),
        time_to_first_token_ns=next(
            (part.time_to_first_token_ns for part in parts if part.time_to_first_token_ns is not None), None
        ),
        input=next((part.input for part in parts if part.input), ""),
        output=next((part.output for part in reversed(parts) if part.output), ""),
        user_ids=_union(part.user_ids for part in parts),
        environment=next((part.environment for part in reversed(parts) if part.environment), ""),
        service_names=_union(part.service_names for part in parts),
        agent_names=_union(part.agent_names for part in parts),
        conversation_ids=_union(part.conversation_ids for part in parts),
        tags=_union(part.tags for part in parts),
        session_attributes={name: value for part in parts for name, value in part.session_attributes.items()},
        metadata={name: value for part in parts for name, value in part.metadata.items()},
    )


def _distinct(claimed: int, known: int, distinct: int) -> int:
    """How many traces, when windows claim `claimed` and of the `known` ones `distinct` are different."""
    return max(distinct, claimed - (known - distinct))


def _active(windows: Sequence[WindowRollup], parts: list[TurnRollup], *, are_all_known: bool) -> int:
    """Time in which a turn ran. Windows that overlap (after a maximum) share some of theirs."""
    together = _union_length([(part.started_at, part.ended_at) for part in parts])
    if are_all_known:
        return together
    intervals: defaultdict[str, list[_Interval]] = defaultdict(list)
    for part in parts:
        intervals[part.window_id].append((part.started_at, part.ended_at))
    shared = sum(map(_union_length, intervals.values())) - together
    return sum(window.active_ns for window in windows) - shared


def _union_length(intervals: list[_Interval]) -> int:
    length, reached = 0, None
    for start, end in sorted(intervals):
        begin = start if reached is None else max(start, reached)
        if end > begin:
            length += end - begin
        reached = end if reached is None else max(reached, end)
    return length


def _quantiles(buckets: dict[int, int]) -> dict[str, int]:
    """Turn latencies in ns by nearest rank, out of the merged buckets of the windows."""
    count = sum(buckets.values())
    if not count:
        return {}
    return {f"p{percent}": _middle(_bucket_of_rank(buckets, -(-count * percent // 100))) for percent in (50, 95, 99)}


def _bucket_of_rank(buckets: dict[int, int], rank: int) -> int:
    seen = accumulate(buckets[bucket] for bucket in sorted(buckets))
    return next(bucket for bucket, so_far in zip(sorted(buckets), seen, strict=True) if so_far >= rank)


def _middle(bucket: int) -> int:
    """The middle of a bucket of the engine: 32 for each doubling, from 64 ns on."""
    if bucket < _EXACT_BUCKETS:
        return bucket
    doublings = bucket // _PER_DOUBLING - 1
    return ((bucket - _PER_DOUBLING * doublings) << doublings) + ((1 << doublings) >> 1)


def _union(lists: Iterable[list[str]]) -> list[str]:
    return sorted({value for values in lists for value in values})


def _union_by_key(maps: Iterable[dict[str, list[str]]]) -> dict[str, list[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for lists in maps:
        for key, values in lists.items():
            found[key].update(values)
    return {key: sorted(found[key]) for key in sorted(found)}


def _latest(values: Iterable[_Written]) -> str:
    """The text of the last writer that wrote any."""
    return max((written for written in values if written[2]), default=_NO_TEXT)[2]


def _latest_by_key(maps: Iterable[tuple[dict[str, str], dict[str, int], str]]) -> dict[str, str]:
    newest: dict[str, _Written] = {}
    for values, times, window_id in maps:
        for key, value in values.items():
            newest[key] = max(newest.get(key, _NO_TEXT), (times.get(key, 0), window_id, value))
    return {key: newest[key][2] for key in sorted(newest)}


def _sum_by_key(maps: Iterable[dict[_Key, int]]) -> dict[_Key, int]:
    total: Counter[_Key] = Counter()
    for values in maps:
        total.update(values)
    return {key: total[key] for key in sorted(total)}


_USAGE_FIELDS = tuple(usage_field.name for usage_field in fields(Usage))
