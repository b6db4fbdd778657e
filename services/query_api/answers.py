"""What the routes have in common: parameters, answers and errors."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
from fastapi import Path, Query, Response
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from services.query_api import ids
from services.query_api.reader import Reader
from services.shared.telemetry import Telemetry

MOST = 1000  # sessions or turns an answer; clients ask for at most 100 and follow the cursor
_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A filter, which is not supported", **_TEXT},
    404: {"description": "No such project or session", **_TEXT},
    422: {"description": "A parameter that cannot be read (JSON), or a cursor (text)", **_TEXT},
    503: {"description": "ClickHouse does not answer; `Retry-After` says when to try again", **_TEXT},
}
_LIVE_HEADER = {
    "x-spanloom-live": {
        "description": "`missing` when Redis did not answer: values are then as ClickHouse has them. The body says"
        " `is_live_missing`, too.",
        "schema": {"type": "string"},
    }
}

ProjectIdentifier = Annotated[
    str, Path(description="Name or GlobalID of a project, percent-encoded."), AfterValidator(unquote)
]
SessionIdentifier = Annotated[
    str, Path(description="Session id or GlobalID, percent-encoded (`/` as `%2F`)."), AfterValidator(unquote)
]
OfProject = Annotated[
    str | None,
    Query(
        description="Name or GlobalID: look in this project only. Without it, of several projects that use one session"
        " id the one with the latest activity answers."
    ),
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(gt=0, description=f"At most this many; {MOST} at the most.")]


def responses(body: type, *errors: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route for OpenAPI."""
    described: dict[int | str, dict[str, Any]] = {200: {"model": body, "headers": _LIVE_HEADER}}
    return described | {status: _ERRORS[status] for status in (*errors, 503)}


def part(names: list[str], cursor: str | None, limit: int, most: int = MOST) -> tuple[list[str], str | None]:
    """Up to `limit` names from the one that the cursor names, itself included, and the cursor of the one after them."""
    first = 0
    if cursor is not None:
        name = ids.name_of(cursor)
        if name is None or name not in names:
            raise bad_cursor(cursor)
        first = names.index(name)
    after = first + min(limit, most)
    return names[first:after], ids.name_cursor(names[after]) if after < len(names) else None


def no_project(identifier: str) -> HTTPException:
    kind = "ID" if ids.is_project_gid(identifier) else "name"
    return HTTPException(404, f"Project with {kind} {identifier} not found")


def bad_cursor(cursor: str) -> HTTPException:
    return HTTPException(422, f"Invalid cursor format: {cursor}")


class Answers:
    """Makes answers, and counts those without live values."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def json(self, body: Mapping[str, object], reader: Reader) -> Response:
        """`body`, which says so when live values are missing from it; else it is exactly what Phoenix answers."""
        headers = {}
        if not reader.is_live:
            body = {**body, "is_live_missing": True}
            headers["x-spanloom-live"] = "missing"
            self._telemetry.count("spanloom_live_missing_total")
        return Response(orjson.dumps(body), media_type="application/json", headers=headers)
