"""The `resolve` stage: records of `trace_spans` in; spans to their sessions, time passed on, and changed states out.

record ─► waits and bindings that are over ─► bindings ─► spans: released, or held     (sweep, take)
released spans ─► watermark ─► states                                                  (flush)
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from services.sessionizer.engine.resolve import Held, ResolvePolicy, Trace, Unresolved
from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime
from services.sessionizer.keyed_stage import Instant, KeyedStage
from services.sessionizer.resolve_table import TraceTable
from services.sessionizer.span_outputs import SessionSpansOutput
from services.sessionizer.stage import Flush, Moment
from services.sessionizer.wheel import Wheel
from services.shared.model.outcome import ResolveOutcome
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd
from services.shared.records.session_spans import SpanGroup, WatermarkRecord
from services.shared.records.trace_spans import (
    TracesRecord,
    WaitingGroup,
    WaitingSpan,
    decode,
    decode_waiting,
    encode_waiting,
    halves_of_waiting,
)

ARRIVAL_BYTES = 8 << 10
"""Spans that arrive together are kept in parts of about this size."""

SWEPT_TRACES = 200
"""Traces that one slice of a sweep releases, drops or forgets at most."""
SWEPT_BYTES = 1 << 20
"""About how many bytes of spans it releases before it ends."""

_WATERMARK_INTERVAL = 10**9  # of log time
_BYTES_A_TRACE = 100  # of its state, about; for the backlog only


class Traces:
    """The traces of one partition. See `KeyedStates` for the contract of each method."""

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
        self._table = TraceTable()
        self._wheel: Wheel[tuple[bytes]] = Wheel()
        self._waits: list[tuple[int, bytes]] = []  # a heap of (begin, trace), of waits that are over as well
        self._spans = self._bytes = self._bound = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._changed = 0
        self._told_at = NO_WATERMARK  # log time

    # Recovery

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._table.restore(entries)

    def restored(self) -> None:
        for trace_id, header in self._table.headers():
            deadline = self._policy.deadline(is_bound=header.is_bound, since=header.since)
            self._wheel.file(deadline, (trace_id,))
            self._bound += header.is_bound
            self._spans += header.spans
            self._bytes += header.size
            if not header.is_bound:
                self._waits.append((header.since, trace_id))
        heapify(self._waits)

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        return self._table.snapshot()

    # Time

    def sweep(self, at: Instant, ahead: TracesRecord | None) -> bool:  # noqa: ARG002 - spans have no versions
        released = self._session_spans.size + SWEPT_BYTES
        for _ in range(self._swept_traces):
            due = self._wheel.next_due(at.watermark, self._deadline)
            if due is None:
                return True
            trace = self._table.trace(due[0])
            if trace.key is None:
                self._give_up(trace, at, ResolveOutcome.NO_SESSION_ID)
            else:
                trace.expire()
                self._bound -= 1
                self._changed += _BYTES_A_TRACE
            if self._session_spans.size > released:
                break
        return False

    def _deadline(self, entry: tuple[bytes]) -> int | None:
        of = self._table.header(entry[0])
        return None if of is None else self._policy.deadline(is_bound=of.is_bound, since=of.since)

    def _give_up(self, trace: Trace, at: Instant, why: ResolveOutcome) -> None:
        """The wait is over: by setting the trace is a session of its own, or its spans do not count."""
        if self._policy.unresolved is Unresolved.TRACE:
            project = decode_waiting(next(trace.held.arrivals())).project
            time = max(at.watermark, trace.since)
            self._bind(trace, trace.own_session(project), time, ResolveOutcome.TRACE_SESSION)
            return
        held = trace.drop()
        self._count(why, held.spans)
        self._let_go(trace, held)

    # Content

    def take(self, content: TracesRecord, at: Instant) -> None:
        for group in content.bindings:
            time = max(at.watermark, group.record_time)
            for trace_id in group.traces:
                if not self._table.is_bound(trace_id):
                    self._bind(self._table.trace(trace_id), group.key, time, ResolveOutcome.RESOLVED)
        for waiting in content.waiting:
            by_trace: dict[bytes, list[WaitingSpan]] = {}
            for span in waiting.spans:
                by_trace.setdefault(span.facts.session_trace, []).append(span)
            for trace_id, spans in by_trace.items():
                part = WaitingGroup(waiting.project, waiting.record_time, tuple(spans))
                self._arrive(self._table.trace(trace_id), part, at)
        while (longest := self._longest_wait()) is not None and self._bytes > self._policy.max_bytes:
            self._give_up(self._table.trace(longest), at, ResolveOutcome.TOO_MANY_WAITING)

    def _arrive(self, trace: Trace, group: WaitingGroup, at: Instant) -> None:
        time = max(at.watermark, group.record_time)
        if trace.key is not None:
            trace.use(time)
            self._release(trace.key, group)
            outcome = ResolveOutcome.TRACE_SESSION if trace.is_own_session else ResolveOutcome.RESOLVED
            self._count(outcome, len(group.spans))
            return
        is_new = not trace.is_known
        for arrival, spans in _arrivals(group):
            before = trace.held.size
            trace.hold(arrival, spans, time)
            self._bytes += trace.held.size - before
            self._changed += len(arrival)
        self._spans += len(group.spans)
        self._changed += _BYTES_A_TRACE
        if is_new:
            heappush(self._waits, (trace.since, trace.id))
            self._file(trace)
        if trace.held.size > self._policy.max_trace_bytes:
            self._give_up(trace, at, ResolveOutcome.TOO_MANY_WAITING)

    def _bind(self, trace: Trace, key: SessionKey, time: int, outcome: ResolveOutcome) -> None:
        held = trace.bind(key, time)
        self._bound += 1
        self._changed += _BYTES_A_TRACE
        for arrival in held.arrivals():
            self._release(key, decode_waiting(arrival))
        self._count(outcome, held.spans)
        self._let_go(trace, held)
        self._file(trace)

    def _release(self, key: SessionKey, group: WaitingGroup) -> None:
        """To the session that the spans take over; and to those that they end."""
        self._session_spans.add(SpanGroup(key, group.record_time, tuple(span.facts for span in group.spans)))
        for span in group.spans:
            if span.previous_id and (ended := SessionKey(group.project, span.previous_id)) != key:
                end = SessionEnd(span.facts.start, span.facts.trace_id, span.facts.span_id)
                self._session_spans.add(SpanGroup(ended, group.record_time, (end,)))

    def _let_go(self, trace: Trace, held: Held) -> None:
        self._spans -= held.spans
        self._bytes -= held.size
        self._table.forget_pages(trace, held)

    def _file(self, trace: Trace) -> None:
        deadline = self._policy.deadline(is_bound=trace.key is not None, since=trace.since)
        self._wheel.file(deadline, (trace.id,))

    def _longest_wait(self) -> bytes | None:
        """Of the waits that are not over the one that began first. The others before it are forgotten."""
        while self._waits:
            since, trace_id = self._waits[0]
            of = self._table.header(trace_id)
            if of is not None and not of.is_bound and of.since == since:
                return trace_id
            heappop(self._waits)
        return None

    def _count(self, outcome: ResolveOutcome, spans: int) -> None:
        if not spans:
            return
        self._counts["spanloom_resolved_spans_total", outcome.value] += spans
        if outcome is ResolveOutcome.RESOLVED:
            self._counts["spanloom_session_id_source_total", "trace"] += spans

    # Flush

    @property
    def backlog(self) -> int:
        return self._session_spans.size + self._changed

    @property
    def gauges(self) -> dict[str, float]:
        return {
            "spanloom_waiting_spans": self._spans,
            "spanloom_waiting_bytes": self._bytes,
            "spanloom_bound_traces": self._bound,
        }

    def flush(self, moment: Moment, time: PartitionTime) -> Flush:
        outputs = self._session_spans.take()
        if self._is_time_to_tell(time, drain=moment.drain):
            record = WatermarkRecord(self._source, time.watermark, time.source_count + self._siblings)
            outputs += self._session_spans.watermarks(record)
        flush = Flush(outputs, self._table.store(), (), self._counts)
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


def _arrivals(group: WaitingGroup) -> Iterator[tuple[bytes, int]]:
    """The group encoded, in parts of a bounded size, and the number of spans of each."""
    data = encode_waiting(group)
    if len(data) <= ARRIVAL_BYTES or len(group.spans) == 1:
        yield data, len(group.spans)
        return
    for half in halves_of_waiting(group):
        yield from _arrivals(half)


def resolve_stage(
    policy: ResolvePolicy,
    session_spans: SessionSpansOutput,
    *,
    source: str,
    siblings: int,
    epoch: int = 1,
    swept_traces: int = SWEPT_TRACES,
) -> KeyedStage[TracesRecord]:
    """The stage of one partition. `fold` raises what `trace_spans.decode` raises for a record that is not ours.

    `source` is its name among the sources of `session_spans`; it is one of `siblings`.
    """
    traces = Traces(policy, session_spans, source=source, siblings=siblings, swept_traces=swept_traces)
    return KeyedStage(traces, decode, source_timeout=policy.source_timeout, epoch=epoch)
