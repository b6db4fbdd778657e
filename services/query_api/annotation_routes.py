"""The routes of annotations, as Phoenix has them: what judges said of sessions, traces and spans."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException

from services.query_api import annotation_shapes as shapes
from services.query_api import ids
from services.query_api.answers import Answers, Cursor, ProjectIdentifier, no_project, part, responses
from services.query_api.reader import LiveReader, Reader
from services.query_api.store import Store
from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.session_key import SessionKey

_MOST_IDS = 1000
_MOST = 10_000

_Ids = Annotated[list[str] | None, Query(max_length=_MOST_IDS)]
_Names = Annotated[list[str] | None, Query()]
_Limit = Annotated[int, Query(gt=0, le=_MOST, description="At most this many.")]


def annotation_router(store: Store, live: LiveReader | None, answers: Answers) -> APIRouter:
    """Annotations that spans carried. A known session without any has an empty list."""
    router = APIRouter(tags=["annotations"])

    async def found(
        project_identifier: str, scope: Scope, of: str, wanted: list[str] | None, only: list[str] | None,
        but: list[str] | None, identifiers: list[str] | None, cursor: str | None, limit: int,
    ) -> Response:  # fmt: skip
        if not wanted:
            raise HTTPException(422, f"{of}s must be given")
        reader = Reader(store, live)
        project = ids.project_of(project_identifier)
        if project is None or not await reader.has_project(project):
            raise no_project(project_identifier)
        annotations = await store.annotations(project, scope, wanted)
        if not annotations and not await _is_known(reader, project, scope, wanted):
            raise HTTPException(404, f"None of the supplied {of}s exist in this project")
        by_id = {
            ids.annotation_gid(annotation): annotation
            for annotation in annotations
            if _is_wanted(annotation, only, but, identifiers)
        }
        shown, next_cursor = part(list(by_id), cursor, limit, _MOST)
        data = [shapes.annotation_data(by_id[name], of) for name in shown]
        return answers.json({"data": data, "next_cursor": next_cursor}, reader)

    async def _is_known(reader: Reader, project: str, scope: Scope, wanted: list[str]) -> bool:
        if await store.is_known(project, scope, wanted):
            return True
        return scope is Scope.SESSION and await reader.is_alive([SessionKey(project, name) for name in wanted])

    @router.get(
        "/v1/projects/{project_identifier}/session_annotations",
        summary="Annotations of sessions",
        operation_id="listSessionAnnotationsBySessionIds",
        responses=responses(shapes.SessionAnnotationsBody, 404, 422),
    )
    async def session_annotations(
        project_identifier: ProjectIdentifier,
        session_ids: _Ids = None,
        identifier: _Names = None,
        include_annotation_names: _Names = None,
        exclude_annotation_names: _Names = None,
        cursor: Cursor = None,
        limit: _Limit = 10,
    ) -> Response:
        return await found(
            project_identifier, Scope.SESSION, "session_id", session_ids, include_annotation_names,
            exclude_annotation_names, identifier, cursor, limit,
        )  # fmt: skip

    @router.get(
        "/v1/projects/{project_identifier}/trace_annotations",
        summary="Annotations of traces, which are turns",
        operation_id="listTraceAnnotationsByTraceIds",
        responses=responses(shapes.TraceAnnotationsBody, 404, 422),
    )
    async def trace_annotations(
        project_identifier: ProjectIdentifier,
        trace_ids: _Ids = None,
        identifier: _Names = None,
        include_annotation_names: _Names = None,
        exclude_annotation_names: _Names = None,
        cursor: Cursor = None,
        limit: _Limit = 10,
    ) -> Response:
        return await found(
            project_identifier, Scope.TRACE, "trace_id", trace_ids, include_annotation_names,
            exclude_annotation_names, identifier, cursor, limit,
        )  # fmt: skip

    @router.get(
        "/v1/projects/{project_identifier}/span_annotations",
        summary="Annotations of spans",
        operation_id="listSpanAnnotationsBySpanIds",
        responses=responses(shapes.SpanAnnotationsBody, 404, 422),
    )
    async def span_annotations(
        project_identifier: ProjectIdentifier,
        span_ids: _Ids = None,
        identifier: _Names = None,
        include_annotation_names: _Names = None,
        exclude_annotation_names: _Names = None,
        cursor: Cursor = None,
        limit: _Limit = 10,
    ) -> Response:
        return await found(
            project_identifier, Scope.SPAN, "span_id", span_ids, include_annotation_names,
            exclude_annotation_names, identifier, cursor, limit,
        )  # fmt: skip

    return router


def _is_wanted(
    annotation: AnnotationRollup, only: list[str] | None, but: list[str] | None, identifiers: list[str] | None
) -> bool:
    return (
        (not only or annotation.name in only)
        and annotation.name not in (but or ())
        and (not identifiers or annotation.identifier in identifiers)
    )
