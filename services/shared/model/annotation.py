"""Annotations: what a judge (a person, a model, code) says of a session, a trace or a span."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What an annotation is about."""

    SESSION = "session"
    TRACE = "trace"
    SPAN = "span"


@dataclass(frozen=True, slots=True)
class Annotation:
    """As a span carries it. `trace_id` and `span_id` name its target as far as the scope needs them, else are empty.

    A label or an explanation that is absent is "", a score `None`. `metadata` is JSON text or "".
    """

    scope: Scope
    trace_id: bytes
    span_id: bytes
    name: str
    annotator_kind: str
    label: str
    score: float | None
    explanation: str
    identifier: str
    metadata: str
    annotated_at: int


@dataclass(slots=True, kw_only=True)
class AnnotationRollup:
    """An annotation as it is published and stored: an upsert by target, name and identifier, a later version wins.

    The fields are those of the JSON in `session_rollups` and the columns of `annotations`.
    """

    project: str
    session_id: str
    scope: Scope
    trace_id: str = ""  # hex
    span_id: str = ""  # hex
    name: str
    identifier: str = ""
    version: int
    is_deleted: bool = False
    annotator_kind: str = ""
    label: str = ""
    score: float | None = None
    explanation: str = ""
    metadata: str = ""
    source: str = "SPAN"
    annotated_at: int = 0  # event time, ns
    ingested_at: int = 0  # timestamp of the record that brought it, ns
