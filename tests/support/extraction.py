"""Short ways to say what an export request must be read as."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.model.outcome import Note
from services.shared.model.session_key import SessionKey
from services.shared.model.span import ModelCall, SessionEnd, SpanFacts
from services.shared.otlp.facts import Extraction, extract
from services.shared.otlp.rules import Rules
from tests.support.otlp import MINUTE, T0, request, span

RECORD_TIME = T0 + MINUTE
RULES = Rules()


def extraction_of(data: TracesData, *, record_time: int = RECORD_TIME, rules: Rules = RULES) -> Extraction:
    return extract(data, record_time, rules)


def items_of(extraction: Extraction) -> dict[SessionKey, list[SpanFacts | SessionEnd]]:
    return {group.key: list(group.items) for group in extraction.groups}


def facts_of(item: Span, *, record_time: int = RECORD_TIME, rules: Rules = RULES) -> SpanFacts:
    """The facts of one span; a session id is added."""
    item.attributes.add(key="session.id").value.string_value = "s"
    [group] = extraction_of(request(item), record_time=record_time, rules=rules).groups
    [facts] = group.items
    assert isinstance(facts, SpanFacts)
    return facts


def attributes_give(attributes: Mapping[str, Any], *, rules: Rules = RULES) -> SpanFacts:
    return facts_of(span(attributes=attributes), rules=rules)


def call_of(attributes: Mapping[str, Any]) -> ModelCall | None:
    return attributes_give(attributes).call


def outcomes(extraction: Extraction) -> dict[str, int]:
    return _labels(extraction, "spanloom_spans_total")


def notes(extraction: Extraction) -> dict[str, int]:
    return _labels(extraction, "spanloom_span_notes_total")


def note_names(extraction: Extraction) -> set[Note]:
    return {Note(name) for name in notes(extraction)}


def sources(extraction: Extraction) -> dict[str, int]:
    return _labels(extraction, "spanloom_session_id_source_total")


def _labels(extraction: Extraction, metric: str) -> dict[str, int]:
    return {label: count for (name, label), count in extraction.counts.items() if name == metric}
