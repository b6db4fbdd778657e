"""Builders of spans as the engine sees them. Times in ns; ids from small numbers."""

from typing import Any

from services.shared.model.annotation import Annotation, Scope
from services.shared.model.session_key import SessionKey
from services.shared.model.span import ModelCall, SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord

SECOND = 10**9
T0 = 1_760_000_000 * SECOND
"""2025-10-09 08:53:20 UTC."""


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def facts(trace: int, span: int, start: int, end: int, *, parent: int = 0, **more: Any) -> SpanFacts:
    """A span; `parent` 0 makes it a root."""
    return SpanFacts(trace_id(trace), span_id(span), span_id(parent) if parent else b"", start, end, **more)


def annotation(scope: Scope, trace: int, span: int = 0) -> Annotation:
    """What a judge says; 0 names nothing."""
    about = trace_id(trace) if trace else b"", span_id(span) if span else b""
    return Annotation(scope, *about, "quality", "LLM", "good", 0.5, "", "", "", T0)


def call(model: str, prompt: int | None, completion: int | None, **more: Any) -> ModelCall:
    """A model call as the decoder gives it: the total filled in."""
    parts = [part for part in (prompt, completion) if part is not None]
    return ModelCall(model, prompt, completion, sum(parts) if parts else None, **more)


def group(key: SessionKey, *items: SpanFacts, record_time: int = T0) -> SpanGroup:
    return SpanGroup(key, record_time, items)


def record(*groups: SpanGroup) -> SpansRecord:
    return SpansRecord(groups)
