"""The `resolve` stage: records of `trace_spans` in; spans to their sessions, time passed on, and changed states out.

record ─► waits and bindings that are over ─► bindings ─► spans: released, or held     (sweep, take)
released spans ─► watermark ─► states                                                  (flush)
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from services.sessionizer import bindings
from services.sessionizer import resolve_state as state
from services.sessionizer.engine.resolve import ResolvePolicy, Unresolved, Wait, is_own_session, own_session
from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime
from services.sessionizer.keyed_stage import Instant, KeyedStage
from services.sessionizer.resolve_table import WaitTable
from services.sessionizer.span_outputs import SessionSpansOutput
from services.sessionizer.stage import Flush, Moment
from services.shared.model.outcome import ResolveOutcome
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd
from services.shared.records.arrivals import pass_on
from services.shared.records.session_spans import SpanGroup, WatermarkRecord
from services.shared.records.trace_spans import (
    decode_time,
    decode_waiting,
    encode_waiting,
    halves_of_waiting,
)

try:
    from services.sessionizer._bindings import Bindings
except ImportError:  # not built, or switched off
    Bindings = bindings.Bindings  # type: ignore[misc,assignment]  # equal

ARRIVAL_BYTES = 8 << 10
"""Spans that arrive together are kept in parts of about this size."""

SWEPT_TRACES = 200
"""Traces that one slice of a sweep releases, drops or forgets at most."""
SWEPT_BYTES = 1 << 20
"""About how many bytes of spans it releases before it ends."""

_WATERMARK_INTERVAL = 10**9  # of log time
_BYTES_A_TRACE = 100  # of its state, about; for the backlog only
_OUTCOMES = {outcome: ("spanloom_resolved_spans_total", outcome.value) for outcome in ResolveOutcome}
_FROM_TRACE = ("spanloom_session_id_source_total", "trace")
_SLACK = 1_000  # waits that are over and are remembered all the same


class Traces:
    """The traces of one partition. See `KeyedStates` for the contract of each method.

    A trace is in `_bindings`, or it waits: then it is in `_table` and in `_begun`.
    """

    def __init__(
        self,
        policy: ResolvePolicy,
        session_spans: SessionSpansOutput,
        *,
        source: str,
        siblings: int,
        swept_traces: int,
    ) -> None:
        self._policy, self._session_spans = policy, session_spans
        self._source, self._siblings, self._swept_traces = source, siblings, swept_traces
        self._bindings = Bindings(policy.kept)
        self._table = WaitTable()
        self._begun: dict[bytes, int] = {}  # when each wait began
        self._waits: list[tuple[int, bytes]] = []  # a heap of (begin, trace), of waits that are over as well
        self._spans = self._bytes = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._changed = 0
        self._told_at = NO_WATERMARK  # log time

    # Recovery

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in entries:
            if value is None:
                self._bindings.unload(key)
                self._table.load(key, None)
            elif state.is_segment(key, value):
                self._table.load(key, None)
                self._bindings.load(key, value)
            else:
                self._bindings.unload(key)
                self._table.load(key, value)

    def restored(self, watermark: int) -> None:
        self._bindings.loaded(watermark)
        for trace_id, header in self._table.headers():
            self._spans += header.spans
            self._bytes += header.size
            self._begun[trace_id] = header.since
        self._sort_waits()

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._bindings.snapshot()
        yield from self._table.snapshot()

    # Time

    def sweep(self, at: Instant, ahead: bytes | None) -> bool:  # noqa: ARG002 - spans have no versions
        left = self._bindings.expire(at.watermark, self._swept_traces)
        if left and not self._is_over(at):
            return True
        released = self._session_spans.size + SWEPT_BYTES
        while left and self._session_spans.size <= released:
            self._give_up(self._table.wait(self._waits[0][1]), at, ResolveOutcome.NO_SESSION_ID)
            if not self._is_over(at):
                return True
            left -= 1
        return False

    def _is_over(self, at: Instant) -> bool:
        """Whether the longest wait is, the first one then."""
        longest = self._longest_wait()
        return longest is not None and at.watermark > self._begun[longest] + self._policy.resolve_timeout

    def _give_up(self, wait: Wait, at: Instant, why: ResolveOutcome) -> None:
        """The wait is over: by setting the trace is a session of its own, or its spans do not count."""
        if self._policy.unresolved is Unresolved.TRACE:
            project = decode_waiting(next(wait.held.arrivals())).project
            key, time = own_session(wait.trace_id, project), max(at.watermark, wait.since)
            self._bind(wait, key, time, ResolveOutcome.TRACE_SESSION)
        else:
            self._count(why, wait.held.spans)
            self._end(wait)

    # Content

    def take(self, content: bytes, at: Instant) -> None:
        resolved, came = self._bindings.take(content, at.watermark, self._begun)
        for trace_id, key, time in resolved:
            if trace_id in self._begun:  # else it was bound by another one
                self._bind(self._table.wait(trace_id), key, time, ResolveOutcome.RESOLVED)
        for trace_id, record_time, spans, data in came:
            self._arrive(trace_id, max(at.watermark, record_time), spans, data, at)
        while (longest := self._longest_wait()) is not None and self._bytes > self._policy.max_bytes:
            self._give_up(self._table.wait(longest), at, ResolveOutcome.TOO_MANY_WAITING)

    def _arrive(self, trace_id: bytes, time: int, spans: int, data: bytes, at: Instant) -> None:
        key = self._bindings.session(trace_id)
        if key is not None:
            self._bindings.use(trace_id, time)
            self._release(key, data)
            is_own = is_own_session(trace_id, key)
            self._count(ResolveOutcome.TRACE_SESSION if is_own else ResolveOutcome.RESOLVED, spans)
            return
        if trace_id in self._begun:
            wait = self._table.wait(trace_id)
        else:
            wait = self._table.begin(trace_id, time)
            self._begun[trace_id] = time
            heappush(self._waits, (time, trace_id))
        before = wait.held.size
        for part, count in _parts(data, spans):
            wait.held.add(part, count)
        self._spans += spans
        self._bytes += wait.held.size - before
        self._changed += wait.held.size - before + _BYTES_A_TRACE
        if wait.held.size > self._policy.max_trace_bytes:
            self._give_up(wait, at, ResolveOutcome.TOO_MANY_WAITING)

    def _bind(self, wait: Wait, key: SessionKey, time: int, outcome: ResolveOutcome) -> None:
        self._bindings.bind(wait.trace_id, key, time)
        for arrival in wait.held.arrivals():
            self._release(key, arrival)
        self._count(outcome, wait.held.spans)
        self._end(wait)

    def _release(self, key: SessionKey, arrival: bytes) -> None:
        """To the session that the spans take over; and to those that they end."""
        if pass_on(self._session_spans.chunks_of(key), key, arrival):
            return
        group = decode_waiting(arrival)
        self._session_spans.add(SpanGroup(key, group.record_time, tuple(span.facts for span in group.spans)))
        for span in group.spans:
            if span.previous_id and (ended := SessionKey(group.project, span.previous_id)) != key:
                end = SessionEnd(span.facts.start, span.facts.trace_id, span.facts.span_id)
                self._session_spans.add(SpanGroup(ended, group.record_time, (end,)))

    def _end(self, wait: Wait) -> None:
        self._spans -= wait.held.spans
        self._bytes -= wait.held.size
        self._changed += _BYTES_A_TRACE
        self._table.end(wait)
        del self._begun[wait.trace_id]
        if len(self._waits) > 2 * len(self._begun) + _SLACK:
            self._sort_waits()

    def _sort_waits(self) -> None:
        self._waits = [(since, trace_id) for trace_id, since in self._begun.items()]
        heapify(self._waits)

    def _longest_wait(self) -> bytes | None:
        """Of the waits that are not over the one that began first. The others before it are forgotten."""
        while self._waits:
            since, trace_id = self._waits[0]
            if self._begun.get(trace_id) == since:
                return trace_id
            heappop(self._waits)
        return None

    def _count(self, outcome: ResolveOutcome, spans: int) -> None:
        if spans:
            self._counts[_OUTCOMES[outcome]] += spans
            if outcome is ResolveOutcome.RESOLVED:
                self._counts[_FROM_TRACE] += spans

    # Flush

    @property
    def backlog(self) -> int:
        return self._session_spans.size + self._changed + self._bindings.size

    @property
    def gauges(self) -> dict[str, float]:
        return {
            "spanloom_waiting_spans": self._spans,
            "spanloom_waiting_bytes": self._bytes,
            "spanloom_bound_traces": len(self._bindings),
        }

    def prepare(self, moment: Moment, time: PartitionTime) -> bool:
        """Nothing: there is little to pack."""
        del moment, time
        return True

    def flush(self, moment: Moment, time: PartitionTime) -> Flush:
        outputs = self._session_spans.take()
        if self._is_time_to_tell(time, drain=moment.drain):
            record = WatermarkRecord(self._source, time.watermark, time.source_count + self._siblings)
            outputs += self._session_spans.watermarks(record)
        flush = Flush(outputs, [*self._bindings.store(), *self._table.store()], (), self._counts)
        self._counts, self._changed = Counter(), 0
        return flush

    def _is_time_to_tell(self, time: PartitionTime, *, drain: bool) -> bool:
        """Passed on about as often as it comes; also when it stands still, or readers take us for silent."""
        if time.watermark == NO_WATERMARK or time.log_time is None:
            return False
        if time.log_time < self._told_at + _WATERMARK_INTERVAL and not (drain and time.log_time > self._told_at):
            return False
        self._told_at = time.log_time
        return True


def _parts(arrival: bytes, spans: int) -> Iterator[tuple[bytes, int]]:
    """What came, in parts of a bounded size, and the number of spans of each."""
    if len(arrival) <= ARRIVAL_BYTES or spans == 1:
        yield arrival, spans
        return
    for half in halves_of_waiting(decode_waiting(arrival)):
        yield from _parts(encode_waiting(half), len(half.spans))


def resolve_stage(
    policy: ResolvePolicy,
    session_spans: SessionSpansOutput,
    *,
    source: str,
    siblings: int,
    epoch: int = 1,
    swept_traces: int = SWEPT_TRACES,
) -> KeyedStage[bytes]:
    """The stage of one partition. `fold` raises what `trace_spans.decode` raises for a record that is not ours.

    `source` is its name among the sources of `session_spans`; it is one of `siblings`.
    """
    traces = Traces(policy, session_spans, source=source, siblings=siblings, swept_traces=swept_traces)
    return KeyedStage(traces, decode_time, source_timeout=policy.source_timeout, epoch=epoch)
