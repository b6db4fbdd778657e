"""The totals of a set of spans, computed the slow and plain way: every number from all its spans.

Written from semantics ("What a rollup holds"), not from the engine. Nothing here is incremental,
so nothing here can depend on the order in which spans arrived.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from services.shared.model.rollup import TurnRollup, Usage, WindowRollup
from services.shared.model.span import ModelCall, SpanFacts

MAX_INTERVALS = 1024
"""So many disjoint intervals of activity are kept apart; beyond, the smallest gaps close."""

QUANTILE_ERROR = 0.02
"""Relative error that log-scaled buckets may bring into a latency quantile."""

T = TypeVar("T")


def by_event_time(span: SpanFacts) -> tuple[int, bytes, bytes]:
    """ "By event time" means by end; spans of equal time by (trace id, span id)."""
    return span.end, span.trace_id, span.span_id


def by_start(span: SpanFacts) -> tuple[int, bytes, bytes]:
    return span.start, span.trace_id, span.span_id


def turns_of(spans: Iterable[SpanFacts]) -> dict[bytes, list[SpanFacts]]:
    """A turn is one trace inside one window."""
    turns: dict[bytes, list[SpanFacts]] = {}
    for span in spans:
        turns.setdefault(span.trace_id, []).append(span)
    return turns


def interval(spans: Iterable[SpanFacts]) -> tuple[int, int]:
    """From the first start to the last end, both included."""
    spans = list(spans)
    return min(s.start for s in spans), max(s.end for s in spans)


def calls(turn: Iterable[SpanFacts]) -> list[tuple[SpanFacts, ModelCall]]:
    """All model calls of a turn, double instrumentation included."""
    return [(span, span.call) for span in turn if span.call is not None]


def counted_calls(turn: Sequence[SpanFacts]) -> list[tuple[SpanFacts, ModelCall]]:
    """The model calls that count: not those that a model call directly below them repeats."""
    below = {(inner.parent_id, inner_call.prompt, inner_call.completion) for inner, inner_call in calls(turn)}
    return [
        (span, call)
        for span, call in calls(turn)
        if call.prompt is None or call.completion is None or (span.span_id, call.prompt, call.completion) not in below
    ]


def usage(counted: Iterable[ModelCall]) -> Usage:
    counted = list(counted)
    return Usage(
        prompt_tokens=sum(c.prompt or 0 for c in counted),
        completion_tokens=sum(c.completion or 0 for c in counted),
        total_tokens=sum(c.total or 0 for c in counted),
        cache_read_tokens=sum(c.cache_read or 0 for c in counted),
        cache_write_tokens=sum(c.cache_write or 0 for c in counted),
        reasoning_tokens=sum(c.reasoning or 0 for c in counted),
        prompt_cost=sum(c.prompt_cost or 0 for c in counted),
        completion_cost=sum(c.completion_cost or 0 for c in counted),
        total_cost=sum(c.total_cost or 0 for c in counted),
        llm_call_count=len(counted),
        unpriced_call_count=sum(c.total_cost is None for c in counted),
    )


def last_writer(spans: Iterable[SpanFacts], value: Callable[[SpanFacts], T | None]) -> tuple[T, int] | None:
    """The value of the last span by event time that has one, and that time."""
    writers = [span for span in spans if value(span)]
    if not writers:
        return None
    last = max(writers, key=by_event_time)
    written = value(last)
    assert written is not None
    return written, last.end


def last_writers(
    spans: Sequence[SpanFacts], values: Callable[[SpanFacts], Iterable[tuple[str, str]]]
) -> tuple[dict[str, str], dict[str, int]]:
    """Each key for itself: the last written value, and its event time."""
    texts: dict[str, str] = {}
    times: dict[str, int] = {}
    for span in sorted(spans, key=by_event_time):
        for key, text in values(span):
            texts[key], times[key] = text, span.end
    return texts, times


def first_input(spans: Iterable[SpanFacts]) -> tuple[str, int]:
    """Of the root spans that have one, that of the earliest start; with the start."""
    roots = [span for span in spans if span.is_root and span.input]
    if not roots:
        return "", 0
    first = min(roots, key=by_start)
    return first.input, first.start


def last_output(spans: Iterable[SpanFacts]) -> tuple[str, int]:
    """Of the root spans that have one, that of the latest end; with the end."""
    roots = [span for span in spans if span.is_root and span.output]
    if not roots:
        return "", 0
    last = max(roots, key=by_event_time)
    return last.output, last.end


def active_time(intervals: Iterable[tuple[int, int]]) -> int:
    """The length of the union of closed intervals; beyond `MAX_INTERVALS` the smallest gaps close."""
    disjoint: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if disjoint and start <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(disjoint[-1][1], end))
        else:
            disjoint.append((start, end))
    silences = sorted(after[0] - before[1] for before, after in pairwise(disjoint))
    closed = silences[: max(0, len(disjoint) - MAX_INTERVALS)]
    return sum(end - start for start, end in disjoint) + sum(closed)


def first_text_below(spans: Iterable[SpanFacts]) -> tuple[str, int]:
    """Of the spans that are no roots and have an input, that of the earliest start; with the start."""
    below = [span for span in spans if not span.is_root and span.input]
    first = min(below, key=by_start, default=None)
    return (first.input, first.start) if first else ("", 0)


def last_text_below(spans: Iterable[SpanFacts]) -> tuple[str, int]:
    """Of the spans that are no roots and have an output, that of the latest end; with the end."""
    below = [span for span in spans if not span.is_root and span.output]
    last = max(below, key=by_event_time, default=None)
    return (last.output, last.end) if last else ("", 0)


def turn_totals(turn: Sequence[SpanFacts]) -> TurnRollup:
    """Every field of a turn that its spans decide; the identity and the version are empty."""
    started_at, ended_at = interval(turn)
    roots = sorted((span for span in turn if span.is_root), key=by_start)
    model = last_writer(turn, lambda span: span.call.model if span.call else "")
    environment = last_writer(turn, lambda span: span.dimensions.environment)
    timed = [span for span, _ in calls(turn) if span.time_to_first_token is not None]
    return TurnRollup(
        project="",
        session_id="",
        window_id="",
        trace_id=turn[0].trace_id.hex(),
        opened_at=0,
        first_seen_at=0,
        version=0,
        root_span_id=roots[0].span_id.hex() if roots else "",
        root_name=roots[0].name if roots else "",
        started_at=started_at,
        ended_at=ended_at,
        has_error=any(span.is_error for span in turn),
        error_count=sum(span.is_error for span in turn),
        model=model[0] if model else "",
        span_count=len(turn),
        tool_call_count=sum(span.is_tool_call for span in turn),
        usage=usage(call for _, call in counted_calls(turn)),
        time_to_first_token_ns=min(timed, key=by_start).time_to_first_token if timed else None,
        input=first_input(turn)[0] or first_text_below(turn)[0],
        output=last_output(turn)[0] or last_text_below(turn)[0],
        user_ids=_distinct(span.dimensions.user_id for span in turn),
        environment=environment[0] if environment else "",
        service_names=_distinct(span.dimensions.service for span in turn),
        agent_names=_distinct(span.dimensions.agent for span in turn),
        conversation_ids=_distinct(span.dimensions.conversation_id for span in turn),
        tags=_distinct(tag for span in turn for tag in span.dimensions.tags),
        session_attributes=last_writers(turn, lambda span: span.dimensions.session)[0],
        metadata=last_writers(turn, lambda span: span.dimensions.metadata)[0],
    )


def window_totals(spans: Sequence[SpanFacts]) -> WindowRollup:
    """Every field of a window that its spans decide; the quantiles are exact, a bucket's middle is near them."""
    turns = turns_of(spans)
    counted = [call for turn in turns.values() for _, call in counted_calls(turn)]
    start, end = interval(spans)
    environment = last_writer(spans, lambda span: span.dimensions.environment)
    error = last_writer(spans, lambda span: span.error if span.is_error else "")
    session_attributes, session_attributes_at = last_writers(spans, lambda span: span.dimensions.session)
    metadata, metadata_at = last_writers(spans, lambda span: span.dimensions.metadata)
    text_in, text_in_at = first_input(spans)
    text_out, text_out_at = last_output(spans)
    if not text_in:
        text_in, text_in_at = first_text_below(spans)
    if not text_out:
        text_out, text_out_at = last_text_below(spans)
    latencies = sorted(b - a for a, b in map(interval, turns.values()))
    return WindowRollup(
        project="",
        session_id="",
        window_id="",
        version=0,
        window_start=start,
        window_end=end,
        user_ids=_distinct(span.dimensions.user_id for span in spans),
        environment=environment[0] if environment else "",
        environment_at=environment[1] if environment else 0,
        service_names=_distinct(span.dimensions.service for span in spans),
        agent_names=_distinct(span.dimensions.agent for span in spans),
        models=_distinct(call.model for turn in turns.values() for _, call in calls(turn)),
        tags=_distinct(tag for span in spans for tag in span.dimensions.tags),
        session_attributes=session_attributes,
        session_attributes_at=session_attributes_at,
        metadata=metadata,
        metadata_at=metadata_at,
        turn_count=len(turns),
        span_count=len(spans),
        tool_call_count=sum(span.is_tool_call for span in spans),
        error_count=sum(span.is_error for span in spans),
        error_turn_count=sum(any(span.is_error for span in turn) for turn in turns.values()),
        usage=usage(counted),
        total_tokens_by_model=_sums((call.model, call.total) for call in counted),
        prompt_tokens_by_model=_sums((call.model, call.prompt) for call in counted),
        completion_tokens_by_model=_sums((call.model, call.completion) for call in counted),
        total_cost_by_model=_sums((call.model, call.total_cost) for call in counted),
        prompt_cost_by_model=_sums((call.model, call.prompt_cost) for call in counted),
        completion_cost_by_model=_sums((call.model, call.completion_cost) for call in counted),
        active_ns=active_time(map(interval, turns.values())),
        turn_latency_p50_ns=exact_quantile(latencies, 0.50),
        turn_latency_p95_ns=exact_quantile(latencies, 0.95),
        turn_latency_p99_ns=exact_quantile(latencies, 0.99),
        turn_latency_buckets=dict(Counter(map(bucket, latencies))),
        first_input=text_in,
        first_input_at=text_in_at,
        last_output=text_out,
        last_output_at=text_out_at,
        last_error=error[0] if error else "",
        last_error_at=error[1] if error else 0,
        conversation_ids=_distinct(span.dimensions.conversation_id for span in spans),
        models_by_provider=_models_by_provider([call for turn in turns.values() for _, call in calls(turn)]),
        tool_calls_by_tool=dict(Counter(span.tool for span in spans if span.is_tool_call and span.tool)),
    )


def exact_quantile(ordered: Sequence[int], q: float) -> int:
    """The smallest value that at least the share `q` of the values does not exceed."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def bucket(duration: int) -> int:
    """`32 * e + m`: m is the leading six bits of the duration, e how many bits follow them."""
    following = max(0, duration.bit_length() - 6)
    return 32 * following + (duration >> following)


def _distinct(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text})


def _models_by_provider(made: Sequence[ModelCall]) -> dict[str, list[str]]:
    providers = _distinct(call.provider for call in made)
    return {name: _distinct(call.model for call in made if call.provider == name) for name in providers}


def _sums(pairs: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    """Sums by model, over the calls that name a model and the quantity."""
    sums: dict[str, int] = {}
    for name, amount in pairs:
        if name and amount is not None:
            sums[name] = sums.get(name, 0) + amount
    return sums


def quantile_is_within_error(actual: int, exact: int) -> bool:
    """Latency quantiles come from log-scaled buckets: near the exact value, not equal to it."""
    return abs(actual - exact) <= QUANTILE_ERROR * exact + 1


QUANTILES: Mapping[str, float] = {"turn_latency_p50_ns": 0.50, "turn_latency_p95_ns": 0.95, "turn_latency_p99_ns": 0.99}
