"""An export request to facts: session keys, corrected spans, explicit ends."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from services.shared.model.annotation import Annotation
from services.shared.model.outcome import DropReason, Note
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.otlp import plan
from services.shared.otlp.annotations import annotations_of, is_evaluated
from services.shared.otlp.ids import NO_SPAN_ID, SPAN_ID_SIZE, is_valid_id
from services.shared.otlp.model_call import model_call, span_kind
from services.shared.otlp.plan import plans_for, read_attributes
from services.shared.otlp.resource_view import ResourceView, SourcedKey
from services.shared.otlp.rules import Resolve, Rules
from services.shared.otlp.span_error import error_text
from services.shared.otlp.span_kind import Kind
from services.shared.otlp.times import YEAR_2000, correct
from services.shared.otlp.turn_texts import previews, texts_below
from services.shared.records.session_spans import SpanGroup
from services.shared.records.trace_spans import WaitingSpan
from services.shared.semconv import SESSION_END

MANY_ATTRIBUTES = 1_000
"""More on one span are noted; all of them are read."""

MAX_NAME_LENGTH = 256
MAX_ENDS = 1_000

_ROUTED = ("spanloom_spans_total", "routed")
_WAITING = ("spanloom_spans_total", "waiting")
_NO_SESSION = ("spanloom_spans_total", DropReason.NO_SESSION_ID.value)
_INVALID_ID = ("spanloom_spans_total", DropReason.INVALID_ID.value)
_FROM_TRACE = "trace"


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
        self.plans = plans_for(rules)
        self._record_time, self._rules = record_time, rules
        self._latest_allowed = record_time + rules.max_future
        self._resource: ResourceView
        self._spans: list[tuple[SourcedKey | None, SpanFacts, str, str | None]] = []  # with project and previous id
        self._carriers: list[Span] = []  # of `_spans`
        self._bindings: dict[bytes, SessionKey] = {}
        self._latest_end: int | None = None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._notes: Counter[Note] = Counter()
        self._unset = [plan.UNSET] * plan.SLOTS

    def enter(self, resource: ResourceView) -> None:
        self._resource = resource

    def add(self, span: Span) -> None:
        trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
        if not is_valid_id(trace_id, span_id):
            self._counts[_INVALID_ID] += 1
            return
        if parent_id and (len(parent_id) != SPAN_ID_SIZE or parent_id == NO_SPAN_ID):
            if len(parent_id) != SPAN_ID_SIZE:
                self._notes[Note.INVALID_PARENT_ID] += 1
            parent_id = b""
        start, end = self._times(span.start_time_unix_nano, span.end_time_unix_nano)
        if self._latest_end is None or end > self._latest_end:
            self._latest_end = end
        resource = self._resource
        attributes = span.attributes
        values, ranks = resource.values[:], self._unset[:]
        plans = self.plans
        collected = read_attributes(attributes, plans.children if parent_id else plans.roots, values, ranks)
        sourced, dimensions = resource.read(collected, values, ranks, self._notes)
        kind = span_kind(values, ranks)
        name = span.name
        is_error = span.status.code == Status.STATUS_CODE_ERROR
        text_in, text_out = ("", "") if parent_id else previews(span, values)
        length = self._rules.preview_length
        facts = SpanFacts(
            trace_id,
            span_id,
            parent_id,
            start,
            end,
            name if len(name) <= MAX_NAME_LENGTH else name[:MAX_NAME_LENGTH],
            is_error,
            kind is Kind.TOOL,
            model_call(values, ranks, kind, start, self._rules.prices, self._counts),
            dimensions,
            text_in[:length],
            text_out[:length],
            error_text(span)[:length] if is_error else "",
            None if values[plan.FIRST_TOKEN] is None else _first_token(values, ranks, start),
            self._ends(span, end) if span.events else (),
            (values[plan.TOOL] or name[:MAX_NAME_LENGTH]) if kind is Kind.TOOL else "",
            () if values[plan.ANNOTATION] is None and not span.events else self._annotations(span, kind, values, end),
        )
        if "\0" in name or "\0" in text_in or "\0" in text_out:
            self._notes[Note.NUL_CHARACTER] += 1
        if len(attributes) > MANY_ATTRIBUTES:
            self._notes[Note.MANY_ATTRIBUTES] += 1
        self._spans.append((sourced, facts, resource.project, values[plan.PREVIOUS]))
        self._carriers.append(span)
        if sourced is not None and trace_id not in self._bindings:
            self._bindings[trace_id] = sourced.key

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
        counts, resolve = self._counts, self._rules.resolve
        for sourced, facts, project, previous in self._spans:
            if sourced is not None:
                key, attribute = sourced
                sources[attribute] = sources.get(attribute, 0) + 1
            elif (taken := self._bindings.get(facts.session_trace)) is not None:
                key = taken
                sources[_FROM_TRACE] = sources.get(_FROM_TRACE, 0) + 1
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
        for note, number in self._notes.items():
            counts["spanloom_span_notes_total", note.value] += number
        if waiting:
            counts[_WAITING] += len(waiting)
        groups = [SpanGroup(key, self._record_time, tuple(found)) for key, found in items.items()]
        return Extraction(groups, self._latest_end, counts, waiting, self._bindings_for_others())

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

    def _times(self, start: int, end: int) -> tuple[int, int]:
        if YEAR_2000 <= start <= end <= self._latest_allowed:
            return start, end
        start, end, notes = correct(start, end, self._record_time, self._rules.max_future)
        self._notes.update(notes)
        return start, end

    def _annotations(self, span: Span, kind: Kind | None, values: list[Any], end: int) -> tuple[Annotation, ...]:
        if values[plan.ANNOTATION] is None and not is_evaluated(span.events):
            return ()
        annotations, notes = annotations_of(span, kind, values[plan.ANNOTATION] or (), end)
        self._notes.update(notes)
        return annotations

    def _ends(self, span: Span, end: int) -> tuple[int, ...]:
        """Times of `session.end` events: zero is the span's end."""
        times: list[int] = []
        for event in span.events:
            if event.name == SESSION_END and len(times) < MAX_ENDS:
                at = event.time_unix_nano
                if not at:
                    self._notes[Note.TIME_MISSING] += 1
                    at = end
                times.append(self._times(at, at)[1])
        return tuple(times)


def _first_token(values: list[Any], ranks: list[int], start: int) -> int | None:
    """A duration as it is; a moment (the last name of the table) less the start. Before the start is absent."""
    found: int = values[plan.FIRST_TOKEN]
    if ranks[plan.FIRST_TOKEN] in plan.FIRST_TOKEN_MOMENTS:
        found -= start
    return found if found >= 0 else None
