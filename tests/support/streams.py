"""Generated logs of one keyed partition: spans in any order, watermarks, and what befalls the worker meanwhile.

Times lie on a coarse grid with a nanosecond of play, so that distances of exactly the gap, one
less and one more are common. Ids are few, so that copies (equal or not), parents, shared traces
and collisions are common too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from hypothesis import strategies as st

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SessionEnd, SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.support.spans import SECOND, T0, call, facts, span_id, trace_id

GAP = 8 * SECOND
_GRID = GAP // 4
_NEVER = 10**9 * SECOND

KEYS = (SessionKey("shop", "s1"), SessionKey("shop", "s2"), SessionKey("voice", "s1"))

CALLS = (
    None,
    call("gpt", 10, 5),
    call("gpt", 10, 5, total_cost=700, prompt_cost=400, completion_cost=300),
    call("gpt-mini", 10, 5, cache_read=4, cache_write=1, provider="openai"),
    call("claude", 3, 2, reasoning=1, total_cost=0, provider="anthropic"),
    call("claude", 7, None, prompt_cost=10**15),
    call("", None, None),
    call("embed", 0, 0),
)

DIMENSIONS = (
    Dimensions(),
    Dimensions("ann", "prod", "bot", "router", ("a", "b"), (("session.type", "chat"),), (("k", "1"), ("l", "1"))),
    Dimensions("bob", "test", "bot", "", ("b", "c"), (("session.type", "voice"), ("session.name", "n")), (("k", "2"),)),
    Dimensions("", "", "api", "writer", (), (("session.prompt_version", "3"),), (), "conversation 1"),
    Dimensions("", "", "", "", ("d",), (("session.prompt_version", "4"),), (("k", "3"),), "conversation 2"),
    Dimensions("cid", "prod", "bot", "", (), (), (("m", "1"), ("k", ""))),
)


MAX_IDENTITIES = 1_000_000
"""Held of one session key at most."""


class Fate(Enum):
    """What happens to the worker after a record."""

    NOTHING = auto()
    FLUSH = auto()
    DRAIN = auto()
    CRASH = auto()  # a new worker goes on from the last flush
    LOSE_FLUSH = auto()  # the flush was made but did not commit; then a crash
    RESTART = auto()  # a clean stop and start of embedded mode: snapshot, next epoch, the log begins anew, new policy


@dataclass(frozen=True, slots=True)
class Step:
    """One record of the log, its timestamp, and what happens then."""

    timestamp: int
    record: SpansRecord | WatermarkRecord
    fate: Fate = Fate.NOTHING


@dataclass(frozen=True, slots=True)
class Stream:
    """`later` is the policy in force after a restart."""

    policy: Policy
    later: Policy
    steps: tuple[Step, ...]
    max_identities: int = MAX_IDENTITIES


_LENGTHS = [0, 0, 1, SECOND, _GRID, _GRID, GAP // 2, GAP - 1, GAP, GAP + 1, 3 * GAP]
_PLAY = [0, 0, 0, 0, 1, -1]
_SKEWS = [0] * 30 + [-400 * GAP, 400 * GAP]

event_times = st.builds(
    lambda grid, play, skew: T0 + grid * _GRID + play + skew,
    st.integers(0, 64),
    st.sampled_from(_PLAY),
    st.sampled_from(_SKEWS),
)


Ends = tuple[tuple[bool, int], ...]
"""Times of `session.end` events: whether from the span's end, or as they are."""

_NAMED: Ends = ((True, 0),)
"""The span itself is named `session.end`."""


def _span(
    trace: int, span: int, parent: int, start: int, length: int, looks: int, preview: int, ends: Ends
) -> SpanFacts:
    return facts(
        trace,
        span,
        start,
        start + length,
        parent=parent,
        name="session.end" if ends is _NAMED else f"step {looks % 3}",
        is_error=looks % 5 == 0,
        is_tool_call=looks % 7 == 0,
        tool=f"tool {looks % 2}" if looks % 7 == 0 and looks % 3 else "",
        call=CALLS[looks % len(CALLS)],
        dimensions=DIMENSIONS[looks // len(CALLS) % len(DIMENSIONS)],
        input=f"in {preview}" if preview % 2 else "",
        output=f"out {preview}" if preview % 3 else "",
        error=f"error {preview}" if looks % 5 == 0 and preview % 4 else "",
        time_to_first_token=preview * 10**6 if preview > 4 else None,
        ends_at=() if ends is _NAMED else tuple((start + length) * relative + time for relative, time in ends),
    )


_LOOKS = 5 * 7 * len(CALLS) * len(DIMENSIONS) - 1


_end = st.one_of(
    st.tuples(st.just(value=False), event_times),
    st.tuples(st.just(value=True), st.sampled_from([GAP, GAP + 1, -GAP, 0])),
)
_ENDS: tuple[st.SearchStrategy[Ends], ...] = (
    *[st.just(())] * 16,
    *[st.just(_NAMED)] * 2,
    st.tuples(_end),
    st.tuples(_end, _end),
)
_ends = st.integers(0, len(_ENDS) - 1).flatmap(_ENDS.__getitem__)


def spans(*, traces: int = 14, ends: bool = False) -> st.SearchStrategy[SpanFacts]:
    no_end: st.SearchStrategy[Ends] = st.just(())
    return st.builds(
        _span,
        st.integers(1, traces),
        st.integers(1, 12),
        st.integers(0, 4),
        event_times,
        st.sampled_from(_LENGTHS),
        st.integers(0, _LOOKS),
        st.integers(0, 7),
        _ends if ends else no_end,
    )


def _session_ends() -> st.SearchStrategy[SessionEnd]:
    return st.builds(
        lambda at, trace, span: SessionEnd(at, trace_id(trace), span_id(span)),
        event_times,
        st.integers(1, 6),
        st.integers(1, 12),
    )


def span_records(*, traces: int = 14, ends: bool = False) -> st.SearchStrategy[SpansRecord]:
    item: st.SearchStrategy[SpanFacts | SessionEnd] = spans(traces=traces, ends=ends)
    if ends:
        kinds = (*[item] * 15, _session_ends())
        item = st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)
    groups = st.builds(
        lambda key, time, items: SpanGroup(key, T0 + time * SECOND, tuple(items)),
        st.sampled_from(KEYS),
        st.integers(0, 1000),
        st.lists(item, min_size=1, max_size=6),
    )
    return st.builds(lambda found: SpansRecord(tuple(found)), st.lists(groups, min_size=1, max_size=3))


def watermark_records(sources: st.SearchStrategy[int]) -> st.SearchStrategy[WatermarkRecord]:
    return st.builds(
        lambda count, source, grid, play: WatermarkRecord(
            f"otlp_spans/{source % count}", T0 + grid * _GRID + play, count
        ),
        sources,
        st.integers(0, 2),
        st.integers(-8, 64),
        st.sampled_from(_PLAY),
    )


_PAUSES = [-SECOND, 0, 10**6, SECOND, SECOND, 5 * SECOND, 6 * SECOND, 3600 * SECOND]
_DRIFTS = [0, 0, _GRID, 4 * _GRID]
_FATES = [Fate.NOTHING] * 6 + [Fate.FLUSH] * 5 + [Fate.DRAIN, Fate.CRASH, Fate.LOSE_FLUSH, Fate.RESTART]


def _moved(record: SpansRecord | WatermarkRecord, time: int, *, is_call_kept: bool) -> SpansRecord | WatermarkRecord:
    """The record with all its event times moved.

    Without model calls where identities may be given up: with them goes the knowledge which
    call repeats which, and the models do not say what then counts.
    """

    def moved(item: SpanFacts | SessionEnd) -> SpanFacts | SessionEnd:
        if isinstance(item, SessionEnd):
            return replace(item, at=item.at + time)
        return replace(
            item,
            start=item.start + time,
            end=item.end + time,
            ends_at=tuple(at + time for at in item.ends_at),
            call=item.call if is_call_kept else None,
        )

    if isinstance(record, WatermarkRecord):
        return replace(record, watermark=record.watermark + time)
    return SpansRecord(tuple(replace(group, items=tuple(map(moved, group.items))) for group in record.groups))


_Drawn = tuple[int, int, SpansRecord | WatermarkRecord, Fate]
"""Pause since the record before; which record comes again instead, if there is one; the record; its fate."""


def _streams(
    policies: st.SearchStrategy[tuple[Policy, Policy]],
    records: st.SearchStrategy[SpansRecord | WatermarkRecord],
    fates: st.SearchStrategy[Fate],
    limits: Sequence[int] = (MAX_IDENTITIES,),
) -> st.SearchStrategy[Stream]:
    """Event times drift with the log, or not; one record in ten comes again as it was."""

    def build(policies: tuple[Policy, Policy], drift: int, limit: int, drawn: list[_Drawn]) -> Stream:
        now, steps = T0, list[Step]()
        for index, (pause, again, record, fate) in enumerate(drawn):
            now += pause
            moved = _moved(record, index * drift, is_call_kept=limit == MAX_IDENTITIES)
            steps.append(Step(now, steps[again].record if again < len(steps) else moved, fate))
        return Stream(*policies, tuple(steps), limit)

    step = st.tuples(st.sampled_from(_PAUSES), st.integers(0, 79), records, fates)
    return st.builds(
        build, policies, st.sampled_from(_DRIFTS), st.sampled_from(limits), st.lists(step, min_size=1, max_size=16)
    )


def _policies(
    *,
    gap: Sequence[int] = (GAP,),
    lateness: Sequence[int] = (_NEVER,),
    duration: Sequence[int] = (_NEVER,),
    count: Sequence[int] = (50_000,),
) -> st.SearchStrategy[Policy]:
    return st.builds(
        lambda gap, lateness, duration, count, snapshot: Policy(
            gap=gap,
            gap_by_project={"voice": GAP // 2},
            allowed_lateness=lateness,
            max_duration=duration,
            max_spans=count,
            snapshot_interval=snapshot,
            source_timeout=12 * SECOND,
        ),
        st.sampled_from(gap),
        st.sampled_from(lateness),
        st.sampled_from(duration),
        st.sampled_from(count),
        st.sampled_from([0, GAP, _NEVER]),
    )


def plain_streams() -> st.SearchStrategy[Stream]:
    """Nothing expires, no maximum is hit, no explicit end comes: the reference model must agree."""
    records = st.one_of(span_records(), span_records(), watermark_records(st.just(2)))
    return _streams(_policies().map(lambda policy: (policy, policy)), records, st.sampled_from(Fate))


def eventful_streams() -> st.SearchStrategy[Stream]:
    """Everything: expiry, lateness, maxima, explicit ends, silent and new sources."""
    lateness = [0, 0, GAP, 4 * GAP, _NEVER]
    gap = [GAP, GAP, GAP // 2, 2 * GAP]
    calm = _policies(gap=gap, lateness=lateness)
    strict = _policies(
        gap=gap, lateness=lateness, duration=[2 * GAP, 5 * GAP, _NEVER, _NEVER], count=[1, 3, 6, 50_000, 50_000]
    )
    watermarks = watermark_records(st.sampled_from([1, 1, 1, 2, 3]))
    spans_only = st.one_of(span_records(traces=14), watermarks)
    with_ends = st.one_of(span_records(traces=14, ends=True), span_records(traces=14, ends=True), watermarks)
    fates = st.sampled_from(_FATES)
    return st.one_of(
        _streams(st.tuples(calm, calm), spans_only, fates),
        _streams(st.tuples(strict, strict), spans_only, fates),
        _streams(st.tuples(strict, strict), with_ends, fates, limits=[MAX_IDENTITIES, MAX_IDENTITIES, 4, 12]),
    )
