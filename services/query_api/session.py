"""PURE: a session is its windows, merged when it is read; a turn is its parts, likewise.

A trace is in two windows after a maximum or an expiry. Its parts are disjoint sets of spans, so
sums are exact; what counts traces (turns, turns with an error) and what measures time counts
each trace once. Turns may be kept for a shorter time than windows, so totals come from the
windows and are only corrected by what the turns show to be in two of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from services.shared.model.rollup import CloseReason, TurnRollup, Usage, WindowRollup, WindowState
from services.shared.model.session_key import SessionKey

_Interval = tuple[int, int]


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
    first_input: str
    last_output: str
    last_error: str


def merge_session(windows: Sequence[WindowRollup], turns: Iterable[TurnRollup]) -> Session:
    """`windows`: at least one, of one session, none deleted; `turns`: theirs."""
    windows = sorted(windows, key=lambda w: (w.window_start, w.window_id))
    parts = list(turns)
    merged = merge_turns(parts)
    last = max(windows, key=lambda w: (w.window_end, w.version))
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
        active_ns=sum(window.active_ns for window in windows) - _counted_twice(parts),
        turn_latency_ns=_quantiles([turn.ended_at - turn.started_at for turn in merged]),
        user_ids=_union(window.user_ids for window in windows),
        environment=_latest((w.environment_at, w.environment) for w in windows),
        service_names=_union(window.service_names for window in windows),
        agent_names=_union(window.agent_names for window in windows),
        models=_union(window.models for window in windows),
        tags=_union(window.tags for window in windows),
        session_attributes=_latest_by_key((w.session_attributes, w.session_attributes_at) for w in windows),
        metadata=_latest_by_key((w.metadata, w.metadata_at) for w in windows),
        turn_count=_distinct(sum(w.turn_count for w in windows), len(parts), len(merged)),
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
        first_input=min(((w.first_input_at, w.first_input) for w in windows if w.first_input), default=(0, ""))[1],
        last_output=_latest((w.last_output_at, w.last_output) for w in windows),
        last_error=_latest((w.last_error_at, w.last_error) for w in windows),
    )


def merge_turns(parts: Iterable[TurnRollup]) -> list[Turn]:
    """Turns in order. The earliest part with a root span says what the turn is called and began with."""
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
    )


def _distinct(claimed: int, known: int, distinct: int) -> int:
    """How many traces, when windows claim `claimed` and of the `known` ones `distinct` are different."""
    return max(distinct, claimed - (known - distinct))


def _counted_twice(parts: list[TurnRollup]) -> int:
    """Time in the active time of two windows, which only windows that overlap (after a maximum) share."""
    intervals: defaultdict[str, list[_Interval]] = defaultdict(list)
    for part in parts:
        intervals[part.window_id].append((part.started_at, part.ended_at))
    return sum(map(_union_length, intervals.values())) - _union_length(
        [interval for group in intervals.values() for interval in group]
    )


def _union_length(intervals: list[_Interval]) -> int:
    length, reached = 0, None
    for start, end in sorted(intervals):
        begin = start if reached is None else max(start, reached)
        if end > begin:
            length += end - begin
        reached = end if reached is None else max(reached, end)
    return length


def _quantiles(durations: list[int]) -> dict[str, int]:
    """Of the turns themselves, by nearest rank: exact, unlike the buckets of a window."""
    ordered = sorted(durations)
    if not ordered:
        return {}
    return {f"p{percent}": ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in (50, 95, 99)}


def _union(lists: Iterable[list[str]]) -> list[str]:
    return sorted({value for values in lists for value in values})


def _latest(values: Iterable[tuple[int, str]]) -> str:
    """The non-empty text of the latest time."""
    return max(((at, value) for at, value in values if value), default=(0, ""))[1]


def _latest_by_key(maps: Iterable[tuple[dict[str, str], dict[str, int]]]) -> dict[str, str]:
    newest: dict[str, tuple[int, str]] = {}
    for values, times in maps:
        for key, value in values.items():
            newest[key] = max(newest.get(key, (0, "")), (times.get(key, 0), value))
    return {key: newest[key][1] for key in sorted(newest)}


def _sum_by_key(maps: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for values in maps:
        total.update(values)
    return dict(sorted(total.items()))


_USAGE_FIELDS = tuple(usage_field.name for usage_field in fields(Usage))
