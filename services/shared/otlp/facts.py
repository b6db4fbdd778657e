"""An export request to facts: session keys, corrected spans, explicit ends."""

from collections import Counter
from dataclasses import dataclass, replace

from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.model.outcome import DropReason
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.otlp.resource_view import ResourceView, SourcedKey
from services.shared.otlp.rules import Resolve, Rules
from services.shared.otlp.span_reader import SpanReader
from services.shared.otlp.turn_texts import texts_below
from services.shared.records.session_spans import SpanGroup
from services.shared.records.trace_spans import WaitingSpan

_ROUTED = ("spanloom_spans_total", "routed")
_WAITING = ("spanloom_spans_total", "waiting")
_NO_SESSION = ("spanloom_spans_total", DropReason.NO_SESSION_ID.value)
FROM_TRACE = "trace"
"""Label of spans that take over the session of their trace."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one record says.

    `groups` by session key in order of first appearance, items in their order in the record.
    `waiting`: spans of traces that name no session here, with their project, in their order; empty where
    `Rules.resolve` is off. `bindings`: the session of each trace that must be told to others.
    `latest_end`: of all valid spans, those without a session included; `None` when there are none.
    `counts` by (metric name, label).
    """

    groups: list[SpanGroup]
    latest_end: int | None
    counts: Counter[tuple[str, str]]
    waiting: list[tuple[str, WaitingSpan]]
    bindings: dict[bytes, SessionKey]


def extract(request: TracesData, record_time_ns: int, rules: Rules) -> Extraction:
    """Never raises for any decodable request, which redaction changes. `record_time_ns`: the record's timestamp."""
    if rules.redaction is not None:
        rules.redaction.apply(request)
    reader = _RecordReader(record_time_ns, rules)
    for resource_spans in request.resource_spans:
        reader.enter(ResourceView(resource_spans.resource, rules, reader.plans))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                reader.add(span)
    return reader.finish()


class _RecordReader:
    """Reads the spans of one record in order, then groups them: an id on any span of a trace serves the others."""

    def __init__(self, record_time: int, rules: Rules) -> None:
        self._reader = SpanReader(record_time, rules)
        self.plans = self._reader.plans
        self._record_time, self._rules = record_time, rules
        self._resource: ResourceView
        self._spans: list[tuple[SourcedKey | None, SpanFacts, str, str | None]] = []  # with project and previous id
        self._carriers: list[Span] = []  # of `_spans`
        self._bindings: dict[bytes, SessionKey] = {}

    def enter(self, resource: ResourceView) -> None:
        self._resource = resource

    def add(self, span: Span) -> None:
        read = self._reader.read(self._resource, span)
        if read is None:
            return
        sourced, facts, previous = read
        self._spans.append((sourced, facts, self._resource.project, previous))
        self._carriers.append(span)
        if sourced is not None and facts.trace_id not in self._bindings:
            self._bindings[facts.trace_id] = sourced.key

    def _add_texts_below(self) -> None:
        """Where a turn's roots in this record have no text, one of its other spans brings it."""
        bindings, length = self._bindings, self._rules.preview_length
        spans = [
            ((bindings.get(facts.trace_id) if sourced is None else sourced.key, facts.trace_id), facts, span)
            for (sourced, facts, *_), span in zip(self._spans, self._carriers, strict=True)
        ]
        for place, (text_in, text_out) in texts_below(spans, self.plans.texts).items():
            sourced, facts, project, previous = self._spans[place]
            facts = replace(facts, input=text_in[:length], output=text_out[:length])
            self._spans[place] = (sourced, facts, project, previous)

    def finish(self) -> Extraction:
        self._add_texts_below()
        items: dict[SessionKey, list[SpanFacts | SessionEnd]] = {}
        sources: dict[str, int] = {}
        waiting: list[tuple[str, WaitingSpan]] = []
        counts, resolve = self._reader.counts, self._rules.resolve
        for sourced, facts, project, previous in self._spans:
            if sourced is not None:
                key, attribute = sourced
                sources[attribute] = sources.get(attribute, 0) + 1
            elif (taken := self._bindings.get(facts.session_trace)) is not None:
                key = taken
                sources[FROM_TRACE] = sources.get(FROM_TRACE, 0) + 1
            elif resolve is Resolve.OFF:
                counts[_NO_SESSION] += 1
                continue
            else:
                waiting.append((project, WaitingSpan(facts, previous or "")))
                continue
            found = items.get(key)
            if found is None:
                found = items[key] = []
            found.append(facts)
            if previous is not None and (ended := SessionKey(project, previous)) != key:
                items.setdefault(ended, []).append(SessionEnd(facts.start, facts.trace_id, facts.span_id))
        for attribute, number in sources.items():
            counts["spanloom_session_id_source_total", attribute] = number
            counts[_ROUTED] += number
        for note, number in self._reader.notes.items():
            counts["spanloom_span_notes_total", note.value] += number
        if waiting:
            counts[_WAITING] += len(waiting)
        groups = [SpanGroup(key, self._record_time, tuple(found)) for key, found in items.items()]
        return Extraction(groups, self._reader.latest_end, counts, waiting, self._bindings_for_others())

    def _bindings_for_others(self) -> dict[bytes, SessionKey]:
        match self._rules.resolve:
            case Resolve.ALWAYS:
                return self._bindings
            case Resolve.WHEN_MISSING:
                whole = self._marked_throughout()
                return {trace_id: key for trace_id, key in self._bindings.items() if trace_id not in whole}
            case Resolve.OFF:
                return {}

    def _marked_throughout(self) -> set[bytes]:
        """Traces of which there is a root, and children, here, no parent is elsewhere, and every span names a session.

        A root alone says nothing of its children: with many instrumentations only the root names the session.
        """
        here = {facts.trace_id + facts.span_id for _, facts, _, _ in self._spans}
        roots, families, others = set[bytes](), set[bytes](), set[bytes]()
        for sourced, facts, _, _ in self._spans:
            trace_id, parent_id = facts.trace_id, facts.parent_id
            (families if parent_id else roots).add(trace_id)
            if sourced is None or (parent_id and trace_id + parent_id not in here):
                others.add(trace_id)
        return (roots & families) - others
