"""PURE: the bodies of answers, around the shapes of what is answered."""

from typing import NotRequired

from typing_extensions import TypedDict

from services.query_api.shapes import ProjectData, SessionData, SessionSummary, TurnData


class Body(TypedDict):
    """`is_live_missing` is there, and true, when Redis did not answer: values are then as ClickHouse has them."""

    is_live_missing: NotRequired[bool]


class ProjectBody(Body):
    data: ProjectData


class ProjectsBody(Body):
    data: list[ProjectData]
    next_cursor: str | None


class SessionBody(Body):
    data: SessionData


class SessionsBody(Body):
    data: list[SessionData]
    next_cursor: str | None


class SummaryBody(Body):
    data: SessionSummary


class TurnsBody(Body):
    data: list[TurnData]
    next_cursor: str | None
