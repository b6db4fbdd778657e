"""The routes of one session: as Phoenix has it, and what that has no words for (`summary`, `turns`)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from services.query_api import annotation_shapes, bodies, ids, shapes
from services.query_api.answers import Answers, Cursor, Limit, OfProject, SessionIdentifier, part, responses
from services.query_api.reader import LiveReader, Reader
from services.query_api.session import Session
from services.query_api.store import Store
from services.query_api.transcript import as_text, transcripts
from services.shared.http import PHOENIX_VERSION


def session_router(store: Store, live: LiveReader | None, answers: Answers) -> APIRouter:
    """One session, and the version that clients ask for before anything else."""
    router = APIRouter(tags=["sessions"])

    @router.get(
        "/arize_phoenix_version",
        response_class=PlainTextResponse,
        summary="The Phoenix version whose REST contract this server speaks",
        tags=["operation"],
    )
    async def version() -> PlainTextResponse:
        return PlainTextResponse(PHOENIX_VERSION)

    @router.get(
        "/v1/sessions/{session_identifier}",
        summary="One session by session id or GlobalID",
        operation_id="getSession",
        responses=responses(bodies.SessionBody, 404),
    )
    async def session(session_identifier: SessionIdentifier, project_identifier: OfProject = None) -> Response:
        reader = Reader(store, live)
        found = await _find(reader, session_identifier, project_identifier)
        return answers.json({"data": shapes.session_data(found)}, reader)

    @router.get(
        "/v1/sessions/{session_identifier}/summary",
        summary="All that is known of one session: state, totals, cost, people, texts, windows",
        operation_id="getSessionSummary",
        responses=responses(bodies.SummaryBody, 404),
    )
    async def summary(session_identifier: SessionIdentifier, project_identifier: OfProject = None) -> Response:
        reader = Reader(store, live)
        found = await _find(reader, session_identifier, project_identifier)
        return answers.json({"data": shapes.session_summary(found)}, reader)

    @router.get(
        "/v1/sessions/{session_identifier}/turns",
        summary="The turns of one session in their order, with input and output",
        operation_id="getSessionTurns",
        responses=responses(bodies.TurnsBody, 404, 422),
    )
    async def turns(
        session_identifier: SessionIdentifier,
        project_identifier: OfProject = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Response:
        reader = Reader(store, live)
        found = await _find(reader, session_identifier, project_identifier)
        by_trace = {turn.trace_id: turn for turn in found.turns}
        shown, next_cursor = part(list(by_trace), cursor, limit)
        return answers.json(
            {"data": [shapes.turn_data(by_trace[trace_id]) for trace_id in shown], "next_cursor": next_cursor},
            reader,
        )

    @router.get(
        "/v1/sessions/{session_identifier}/transcript",
        summary="What was said in one session, turn by turn, out of its stored spans",
        operation_id="getSessionTranscript",
        responses=responses(annotation_shapes.TranscriptBody, 404, 422),
    )
    async def transcript(
        session_identifier: SessionIdentifier,
        project_identifier: OfProject = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        format_: Annotated[
            Literal["json", "text"], Query(alias="format", description="`text` is to be read by people.")
        ] = "json",
    ) -> Response:
        reader = Reader(store, live)
        found = await _find(reader, session_identifier, project_identifier)
        by_trace = {turn.trace_id: turn for turn in found.turns}
        shown, next_cursor = part(list(by_trace), cursor, limit)
        spans = await store.spans(found.key.session_id, shown) if shown else []
        turns = transcripts([by_trace[trace_id] for trace_id in shown], spans)
        if format_ == "text":
            return PlainTextResponse(as_text(turns))
        data = annotation_shapes.transcript_data(found, turns)
        return answers.json({"data": data, "next_cursor": next_cursor}, reader)

    return router


async def _find(reader: Reader, identifier: str, project_identifier: str | None) -> Session:
    key = ids.session_of(identifier)
    project = None if project_identifier is None else ids.project_of(project_identifier)
    found = None
    if key is not None and (project_identifier is None or project is not None):
        if isinstance(key, str):
            found = await reader.session(key, project)
        elif project in (None, key.project):
            found = await reader.session(key.session_id, key.project)
    if found is None:
        kind = "ID" if ids.is_session_gid(identifier) else "session_id"
        raise HTTPException(404, f"Session with {kind} {identifier} not found")
    return found
