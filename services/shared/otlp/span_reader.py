"""One span after the other to facts: what a span says by itself, with what its resource says.

What the spans of a record say together (sessions of traces, texts of turns, groups) is `facts`.
"""

from collections import Counter
from typing import Any, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.shared.model.annotation import Annotation
from services.shared.model.outcome import DropReason, Note
from services.shared.model.span import SpanFacts
from services.shared.otlp import plan
from services.shared.otlp.annotations import annotations_of, is_evaluated
from services.shared.otlp.ids import NO_SPAN_ID, SPAN_ID_SIZE, is_valid_id
from services.shared.otlp.model_call import model_call, span_kind
from services.shared.otlp.plan import plans_for, read_attributes
from services.shared.otlp.resource_view import ResourceView, SourcedKey
from services.shared.otlp.rules import Rules
from services.shared.otlp.span_error import error_text
from services.shared.otlp.span_kind import Kind
from services.shared.otlp.times import YEAR_2000, correct
from services.shared.otlp.turn_texts import previews
from services.shared.semconv import SESSION_END

MANY_ATTRIBUTES = 1_000
"""More on one span are noted; all of them are read."""

MAX_NAME_LENGTH = 256
MAX_ENDS = 1_000

INVALID_ID = ("spanloom_spans_total", DropReason.INVALID_ID.value)


class ReadSpan(NamedTuple):
    """A valid span: the session it names, or its resource; its facts; the session it ends, in its own project."""

    sourced: SourcedKey | None
    facts: SpanFacts
    previous: str | None


class SpanReader:
    """Reads the spans of one record. `counts`, `notes` and `latest_end` tell of all that it has read."""

    def __init__(self, record_time: int, rules: Rules) -> None:
        self.plans = plans_for(rules)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.notes: Counter[Note] = Counter()
        self.latest_end: int | None = None
        self._record_time, self._rules = record_time, rules
        self._latest_allowed = record_time + rules.max_future
        self._unset = [plan.UNSET] * plan.SLOTS

    def read(self, resource: ResourceView, span: Span) -> ReadSpan | None:
        """`None`: its ids are none, which is counted."""
        trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
        if not is_valid_id(trace_id, span_id):
            self.counts[INVALID_ID] += 1
            return None
        if parent_id and (len(parent_id) != SPAN_ID_SIZE or parent_id == NO_SPAN_ID):
            if len(parent_id) != SPAN_ID_SIZE:
                self.notes[Note.INVALID_PARENT_ID] += 1
            parent_id = b""
        start, end = self._times(span.start_time_unix_nano, span.end_time_unix_nano)
        if self.latest_end is None or end > self.latest_end:
            self.latest_end = end
        attributes = span.attributes
        values, ranks = resource.values[:], self._unset[:]
        plans = self.plans
        collected = read_attributes(attributes, plans.children if parent_id else plans.roots, values, ranks)
        sourced, dimensions = resource.read(collected, values, ranks, self.notes)
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
            model_call(values, ranks, kind, start, self._rules.prices, self.counts),
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
            self.notes[Note.NUL_CHARACTER] += 1
        if len(attributes) > MANY_ATTRIBUTES:
            self.notes[Note.MANY_ATTRIBUTES] += 1
        return ReadSpan(sourced, facts, values[plan.PREVIOUS])

    def _times(self, start: int, end: int) -> tuple[int, int]:
        if YEAR_2000 <= start <= end <= self._latest_allowed:
            return start, end
        start, end, notes = correct(start, end, self._record_time, self._rules.max_future)
        self.notes.update(notes)
        return start, end

    def _annotations(self, span: Span, kind: Kind | None, values: list[Any], end: int) -> tuple[Annotation, ...]:
        if values[plan.ANNOTATION] is None and not is_evaluated(span.events):
            return ()
        annotations, notes = annotations_of(span, kind, values[plan.ANNOTATION] or (), end)
        self.notes.update(notes)
        return annotations

    def _ends(self, span: Span, end: int) -> tuple[int, ...]:
        """Times of `session.end` events: zero is the span's end."""
        times: list[int] = []
        for event in span.events:
            if event.name == SESSION_END and len(times) < MAX_ENDS:
                at = event.time_unix_nano
                if not at:
                    self.notes[Note.TIME_MISSING] += 1
                    at = end
                times.append(self._times(at, at)[1])
        return tuple(times)


def _first_token(values: list[Any], ranks: list[int], start: int) -> int | None:
    """A duration as it is; a moment (the last name of the table) less the start. Before the start is absent."""
    found: int = values[plan.FIRST_TOKEN]
    if ranks[plan.FIRST_TOKEN] in plan.FIRST_TOKEN_MOMENTS:
        found -= start
    return found if found >= 0 else None
