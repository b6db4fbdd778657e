"""PURE: the JSON of annotations, Phoenix's field by field, and of transcripts, which are ours."""

from typing_extensions import TypedDict

from services.query_api import ids
from services.query_api.bodies import Body
from services.query_api.instants import iso, iso_nanoseconds
from services.query_api.session import Session
from services.query_api.transcript import TurnTranscript
from services.shared.model.annotation import AnnotationRollup
from services.shared.otlp.values import from_json

_SOURCE = "API"  # what Phoenix says of annotations that no person made in its interface


class ResultData(TypedDict):
    label: str | None
    score: float | None
    explanation: str | None


class AnnotationData(TypedDict):
    id: str
    created_at: str
    updated_at: str
    source: str
    user_id: str | None
    name: str
    annotator_kind: str
    result: ResultData
    metadata: dict[str, object]
    identifier: str


class SessionAnnotationData(AnnotationData):
    session_id: str


class TraceAnnotationData(AnnotationData):
    trace_id: str


class SpanAnnotationData(AnnotationData):
    span_id: str


class SessionAnnotationsBody(Body):
    data: list[SessionAnnotationData]
    next_cursor: str | None


class TraceAnnotationsBody(Body):
    data: list[TraceAnnotationData]
    next_cursor: str | None


class SpanAnnotationsBody(Body):
    data: list[SpanAnnotationData]
    next_cursor: str | None


class ToolCallData(TypedDict):
    name: str
    arguments: str
    id: str


class EntryData(TypedDict):
    role: str
    time: str
    span_id: str
    text: str
    name: str
    input: str
    is_error: bool
    tool_calls: list[ToolCallData]


class TurnTranscriptData(TypedDict):
    trace_id: str
    start_time: str
    end_time: str
    is_stored: bool
    entries: list[EntryData]


class TranscriptData(TypedDict):
    session_id: str
    project: str
    turn_count: int
    turns: list[TurnTranscriptData]


class TranscriptBody(Body):
    data: TranscriptData
    next_cursor: str | None


def annotation_data(annotation: AnnotationRollup, of: str) -> dict[str, object]:
    """`of`: the field that names what it is about."""
    metadata = from_json(annotation.metadata) if annotation.metadata else None
    said: AnnotationData = {
        "id": ids.annotation_gid(annotation),
        "created_at": iso(annotation.ingested_at),
        "updated_at": iso(annotation.ingested_at),
        "source": _SOURCE,
        "user_id": None,
        "name": annotation.name,
        "annotator_kind": annotation.annotator_kind,
        "result": {
            "label": annotation.label or None,
            "score": annotation.score,
            "explanation": annotation.explanation or None,
        },
        "metadata": metadata if isinstance(metadata, dict) else {},
        "identifier": annotation.identifier,
    }
    return {**said, of: getattr(annotation, of)}


def transcript_data(session: Session, turns: list[TurnTranscript]) -> TranscriptData:
    return {
        "session_id": session.key.session_id,
        "project": session.key.project,
        "turn_count": session.turn_count,
        "turns": [
            {
                "trace_id": each.turn.trace_id,
                "start_time": iso_nanoseconds(each.turn.started_at),
                "end_time": iso_nanoseconds(each.turn.ended_at),
                "is_stored": each.is_stored,
                "entries": [
                    {
                        "role": entry.role,
                        "time": iso_nanoseconds(entry.at),
                        "span_id": entry.span_id,
                        "text": entry.text,
                        "name": entry.name,
                        "input": entry.input,
                        "is_error": entry.is_error,
                        "tool_calls": [
                            {"name": call.name, "arguments": call.arguments, "id": call.id} for call in entry.tool_calls
                        ],
                    }
                    for entry in each.entries
                ],
            }
            for each in turns
        ],
    }
