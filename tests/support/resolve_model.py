"""Which session the spans of a trace are of, as a plain interpreter of semantics.md.

Read it beside the text: "Which session a span belongs to" and "Details that decide results". Sizes are not limited
here, and nothing is ever encoded.
"""

from collections import Counter

from services.sessionizer.engine.resolve import ResolvePolicy, Unresolved
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.records.session_spans import WatermarkRecord
from services.shared.records.trace_spans import TracesRecord, WaitingSpan
from tests.support.model_time import ModelTime

Released = tuple[SessionKey, int, SpanFacts | SessionEnd]
"""An item of `session_spans`: its session, the time of its record of `otlp_spans`."""


class ResolveModel:
    """One partition of traces: records in, items released."""

    def __init__(self, policy: ResolvePolicy) -> None:
        self.policy = policy
        self.time = ModelTime()
        self.waiting: dict[bytes, list[tuple[str, int, WaitingSpan]]] = {}  # project, record time, span
        self.begun: dict[bytes, int] = {}
        self.bound: dict[bytes, SessionKey] = {}
        self.used: dict[bytes, int] = {}
        self.released: list[Released] = []
        self.outcomes: Counter[str] = Counter()

    def fold(self, timestamp: int, record: TracesRecord | WatermarkRecord) -> None:
        heard = record if isinstance(record, WatermarkRecord) else None
        self.time.fold(timestamp, heard, self.policy.source_timeout)
        self._pass_time()
        if isinstance(record, TracesRecord):
            for binding in record.bindings:
                for trace_id in binding.traces:
                    if trace_id not in self.bound:
                        self._bind(trace_id, binding.key, binding.record_time, "resolved")
            for group in record.waiting:
                for span in group.spans:
                    self._take(group.project, group.record_time, span)

    def _later(self, record_time: int) -> int:
        return max(self.time.watermark, record_time)

    def _pass_time(self) -> None:
        now = self.time.watermark
        for trace_id in [t for t, begun in self.begun.items() if now > begun + self.policy.resolve_timeout]:
            if self.policy.unresolved is Unresolved.TRACE:
                project = self.waiting[trace_id][0][0]
                self._bind(trace_id, SessionKey(project, f"trace:{trace_id.hex()}"), now, "trace_session")
            else:
                self.outcomes["no_session_id"] += len(self.waiting.pop(trace_id))
                del self.begun[trace_id]
        kept = self.policy.resolve_timeout + self.policy.allowed_lateness
        for trace_id in [t for t, used in self.used.items() if now > used + kept]:
            del self.bound[trace_id], self.used[trace_id]

    def _bind(self, trace_id: bytes, key: SessionKey, record_time: int, outcome: str) -> None:
        self.bound[trace_id], self.used[trace_id] = key, self._later(record_time)
        for project, time, span in self.waiting.pop(trace_id, []):
            self._release(key, project, time, span, outcome)
        self.begun.pop(trace_id, None)

    def _take(self, project: str, record_time: int, span: WaitingSpan) -> None:
        judged = [said.trace_id for said in span.facts.annotations if said.trace_id and not span.facts.parent_id]
        trace_id = judged[0] if judged else span.facts.trace_id
        key = self.bound.get(trace_id)
        if key is None:
            self.waiting.setdefault(trace_id, []).append((project, record_time, span))
            self.begun.setdefault(trace_id, self._later(record_time))
            return
        self.used[trace_id] = max(self.used[trace_id], self._later(record_time))
        is_own = key.session_id == f"trace:{trace_id.hex()}"
        self._release(key, project, record_time, span, "trace_session" if is_own else "resolved")

    def _release(self, key: SessionKey, project: str, time: int, span: WaitingSpan, outcome: str) -> None:
        self.outcomes[outcome] += 1
        facts = span.facts
        self.released.append((key, time, facts))
        if span.previous_id and (ended := SessionKey(project, span.previous_id)) != key:
            self.released.append((ended, time, SessionEnd(facts.start, facts.trace_id, facts.span_id)))
