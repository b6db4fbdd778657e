"""Annotations that spans carry: OpenInference's attributes, and evaluation events of the GenAI conventions.

A trace or span annotation is about the carrier's own trace and span, unless the carrier is an
`EVALUATOR` span with Span Links: then it is about what its one link names, and with several links
about nobody knows what, so it is left out.
"""

import math
import re
from collections.abc import Iterable, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.annotation import Annotation, Scope
from services.shared.model.outcome import Note
from services.shared.otlp.ids import is_valid_id
from services.shared.otlp.span_kind import Kind
from services.shared.otlp.values import plain, plain_map, text_of
from services.shared.semconv import EVALUATION_EVENT

MAX_ANNOTATIONS = 32
"""Of one span; more are cut, and noted."""
MAX_CHARACTERS = 16_384
"""Of all texts of one span's annotations."""
MAX_NAME_LENGTH = 256
MAX_TEXT_LENGTH = 4096

Field = tuple[Scope, str, str]
"""What an attribute is part of: scope, which annotation, which of its fields."""
Fields = dict[str, object]

_NAME = re.compile(
    r"(?P<of>session\.|trace\.|)(?P<form>annotation|evaluation)s\.(?P<index>[0-9]{1,6})\.(?P=form)\."
    r"(?P<field>name|score|label|explanation|annotator_kind|identifier|metadata)",
    re.ASCII,
)
_SCOPES = {"session.": Scope.SESSION, "trace.": Scope.TRACE, "": Scope.SPAN}
_EVENT_FIELDS = {
    "gen_ai.evaluation.name": "name",
    "gen_ai.evaluation.score.value": "score",
    "gen_ai.evaluation.score.label": "label",
    "gen_ai.evaluation.explanation": "explanation",
}
_UNKNOWN_KIND = "CODE"
"""Of a judge that no one says is a person or a model."""


def annotated_field(name: str) -> Field | None:
    """What an attribute of this name is part of; `None` for other names."""
    match = _NAME.fullmatch(name)
    return None if match is None else (_SCOPES[match["of"]], f"{match['form']}.{match['index']}", match["field"])


def is_evaluated(events: Iterable[Span.Event]) -> bool:
    return any(event.name == EVALUATION_EVENT for event in events)


def annotations_of(
    span: Span, kind: Kind | None, attributes: Sequence[tuple[Field, AnyValue]], end: int
) -> tuple[tuple[Annotation, ...], list[Note]]:
    """The annotations of one span in a fixed order, and what was wrong with others. `end`: the span's, corrected."""
    notes: list[Note] = []
    trace_id, span_id = span.trace_id, span.span_id
    if kind is Kind.EVALUATOR and span.links:
        link = span.links[0]
        trace_id, span_id = link.trace_id, link.span_id
        if len(span.links) > 1 or not is_valid_id(trace_id, span_id):
            trace_id = span_id = b""
    found: list[Annotation] = []
    room = MAX_CHARACTERS
    for scope, fields, at in (*_from_attributes(attributes, end), *_from_events(span.events, end)):
        annotation = _annotation(scope, fields, at, trace_id, span_id)
        if annotation is None:
            notes.append(Note.ANNOTATION_INVALID)
            continue
        room -= len(annotation.name) + len(annotation.explanation) + len(annotation.metadata) + len(annotation.label)
        if len(found) == MAX_ANNOTATIONS or room < 0:
            notes.append(Note.ANNOTATIONS_CUT)
            break
        found.append(annotation)
    return tuple(found), notes


def _from_attributes(attributes: Sequence[tuple[Field, AnyValue]], end: int) -> Iterable[tuple[Scope, Fields, int]]:
    grouped: dict[tuple[Scope, str], Fields] = {}
    for (scope, which, field), value in attributes:
        grouped.setdefault((scope, which), {})[field] = plain(value)
    return [(scope, fields, end) for (scope, _), fields in sorted(grouped.items(), key=lambda item: item[0])]


def _from_events(events: Iterable[Span.Event], end: int) -> Iterable[tuple[Scope, Fields, int]]:
    for event in events:
        if event.name == EVALUATION_EVENT:
            said = plain_map(event.attributes)
            fields = {field: said[name] for name, field in _EVENT_FIELDS.items() if name in said}
            yield Scope.SPAN, fields, min(event.time_unix_nano or end, end)


def _annotation(scope: Scope, fields: Fields, at: int, trace_id: bytes, span_id: bytes) -> Annotation | None:
    """`None` without a name, without anything said, or without a target."""
    name = text_of(fields.get("name")).strip()[:MAX_NAME_LENGTH]
    label = text_of(fields.get("label"))[:MAX_NAME_LENGTH]
    explanation = text_of(fields.get("explanation"))[:MAX_TEXT_LENGTH]
    score = _number(fields.get("score"))
    if not name or (scope is not Scope.SESSION and not trace_id) or not (label or explanation or score is not None):
        return None
    return Annotation(
        scope,
        b"" if scope is Scope.SESSION else trace_id,
        span_id if scope is Scope.SPAN else b"",
        name,
        text_of(fields.get("annotator_kind")).strip().upper()[:MAX_NAME_LENGTH] or _UNKNOWN_KIND,
        label,
        score,
        explanation,
        text_of(fields.get("identifier")).strip()[:MAX_NAME_LENGTH],
        text_of(fields.get("metadata"))[:MAX_TEXT_LENGTH],
        at,
    )


def _number(value: object) -> float | None:
    match value:
        case bool() | int() | float():
            number = float(value)
        case str():
            try:
                number = float(value)
            except ValueError:
                return None
        case _:
            return None
    return number if math.isfinite(number) else None
