"""The routes of projects and of lists of sessions, as Phoenix has them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException

from services.query_api import bodies, ids, shapes
from services.query_api.answers import (
    MOST,
    Answers,
    Cursor,
    Limit,
    ProjectIdentifier,
    bad_cursor,
    no_project,
    part,
    responses,
)
from services.query_api.reader import LiveReader, Reader
from services.query_api.store import Store


def project_router(store: Store, live: LiveReader | None, answers: Answers) -> APIRouter:
    """Projects, and the sessions of one."""
    router = APIRouter(tags=["projects"])

    @router.get(
        "/v1/projects",
        summary="List projects, the newest first",
        operation_id="getProjects",
        responses=responses(bodies.ProjectsBody, 422),
    )
    async def projects(
        cursor: Cursor = None,
        limit: Limit = 100,
        name_contains: Annotated[str | None, Query(description="Part of the name, any case.")] = None,
        include_experiment_projects: Annotated[bool, Query(description="There are none here.")] = False,
        include_dataset_evaluator_projects: Annotated[bool, Query(description="There are none here.")] = False,
    ) -> Response:
        del include_experiment_projects, include_dataset_evaluator_projects
        reader = Reader(store, live)
        names = await reader.projects()
        if name_contains:
            names = [name for name in names if name_contains.casefold() in name.casefold()]
        shown, next_cursor = part(names, cursor, limit)
        return answers.json({"data": [shapes.project_data(name) for name in shown], "next_cursor": next_cursor}, reader)

    @router.get(
        "/v1/projects/{project_identifier}",
        summary="One project by name or GlobalID",
        operation_id="getProject",
        responses=responses(bodies.ProjectBody, 404),
    )
    async def project(project_identifier: ProjectIdentifier) -> Response:
        reader = Reader(store, live)
        name = ids.project_of(project_identifier)
        if name is None or not await reader.has_project(name):
            raise no_project(project_identifier)
        return answers.json({"data": shapes.project_data(name)}, reader)

    @router.get(
        "/v1/projects/{project_identifier}/sessions",
        summary="List the sessions of a project, open ones included, in the order in which they were first seen",
        operation_id="listProjectSessions",
        responses=responses(bodies.SessionsBody, 400, 404, 422),
    )
    async def sessions(
        project_identifier: ProjectIdentifier,
        cursor: Cursor = None,
        limit: Limit = 100,
        order: Annotated[Literal["asc", "desc"], Query(description="By first sight.")] = "asc",
        filter_: Annotated[str | None, Query(alias="filter", description="Not supported: must be empty.")] = None,
    ) -> Response:
        name = ids.project_of(project_identifier)
        if name is None:
            raise no_project(project_identifier)
        if filter_ and filter_.strip():
            raise HTTPException(400, "filter expressions are not supported by this server")
        start = None if cursor is None else ids.position_of(cursor)
        if cursor is not None and start is None:
            raise bad_cursor(cursor)
        reader = Reader(store, live)
        page = await reader.page(name, start, min(limit, MOST), descending=order == "desc")
        if not page.sessions and not await reader.has_project(name):
            raise no_project(project_identifier)
        next_cursor = None if page.next is None else ids.position_cursor(page.next)
        return answers.json(
            {"data": [shapes.session_data(s) for s in page.sessions], "next_cursor": next_cursor}, reader
        )

    return router
