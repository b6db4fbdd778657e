"""What the API reads of ClickHouse, as values of the model."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson

from services.query_api import queries
from services.query_api.queries import Query
from services.query_api.transcript import StoredSpan
from services.shared.clickhouse import AsyncClickHouse, Row
from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.live import Position
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.records.rollup_fields import turn_of, window_of


class Store(Protocol):
    """Every method raises `TransientError` when ClickHouse does not answer now."""

    async def ping(self) -> None:
        """Return when queries can be answered. Raises `PermanentError`, too: tables may be missing."""

    async def projects(self) -> list[str]:
        """Every project, the newest first."""

    async def has_project(self, project: str) -> bool: ...

    async def positions(
        self, project: str, start: Position | None, limit: int, *, descending: bool = False
    ) -> list[Position]:
        """The first `limit` sessions of a project from `start` on, itself included."""

    async def stored(self, project: str, session_ids: Sequence[str]) -> set[str]:
        """Which of these sessions have rows."""

    async def windows(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[WindowRollup]:
        """All windows of these sessions at their newest version, retractions included, in no order.

        Unless `whole` only what lists show: times, tokens and the number of turns.
        """

    async def turns(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[TurnRollup]:
        """All turns of these sessions, likewise; unless `whole` only their times."""

    async def annotations(self, project: str, scope: Scope, ids: Sequence[str]) -> list[AnnotationRollup]:
        """Annotations of the sessions, traces or spans of these ids, the newest first."""

    async def is_known(self, project: str, scope: Scope, ids: Sequence[str]) -> bool:
        """Whether there are rows of any of these sessions, traces or spans."""

    async def spans(self, session_id: str, trace_ids: Sequence[str]) -> list[StoredSpan]:
        """The stored spans of these traces, but for those that name another session."""


_SOURCES: Mapping[Scope, tuple[str, str]] = {
    Scope.SESSION: ("session_windows_by_session", "session_id"),
    Scope.TRACE: ("session_turns", "trace_id"),
    Scope.SPAN: ("spans", "span_id"),
}
"""Where sessions, traces and spans are known, and by which column annotations name them, too."""


class ClickHouseStore:
    """The real one. Few queries a request: clients give up after 5 seconds."""

    def __init__(self, client: AsyncClickHouse) -> None:
        self._client = client

    async def ping(self) -> None:
        await self._rows(queries.ping())

    async def projects(self) -> list[str]:
        return [row["project"] for row in await self._rows(queries.projects())]

    async def has_project(self, project: str) -> bool:
        return bool(await self._rows(queries.has_project(project)))

    async def positions(
        self, project: str, start: Position | None, limit: int, *, descending: bool = False
    ) -> list[Position]:
        for size in (2 * limit, 16 * limit):
            rows = await self._rows(queries.first_windows(project, start, size, descending=descending))
            found = {
                Position(row["seen"], row["session_id"]): None for row in rows if row["seen"] == row["first_seen_at"]
            }
            if len(rows) < size or len(found) >= limit:
                return list(found)[:limit]
        rows = await self._rows(queries.first_sights(project, start, limit, descending=descending))
        return [Position(row["seen"], row["session_id"]) for row in rows]

    async def stored(self, project: str, session_ids: Sequence[str]) -> set[str]:
        return {row["session_id"] for row in await self._rows(queries.stored_sessions(project, session_ids))}

    async def windows(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[WindowRollup]:
        return [window_of(row) for row in await self._rows(queries.windows(session_ids, project, whole=whole))]

    async def turns(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[TurnRollup]:
        return [turn_of(row) for row in await self._rows(queries.turns(session_ids, project, whole=whole))]

    async def annotations(self, project: str, scope: Scope, ids: Sequence[str]) -> list[AnnotationRollup]:
        rows = await self._rows(queries.annotations(project, scope, _SOURCES[scope][1], ids))
        return [AnnotationRollup(**row | {"scope": scope, "is_deleted": bool(row["is_deleted"])}) for row in rows]

    async def is_known(self, project: str, scope: Scope, ids: Sequence[str]) -> bool:
        return bool(await self._rows(queries.known(project, *_SOURCES[scope], ids)))

    async def spans(self, session_id: str, trace_ids: Sequence[str]) -> list[StoredSpan]:
        return [
            StoredSpan(
                row["trace_id"],
                row["span_id"],
                row["parent_span_id"],
                row["start_time"],
                row["end_time"],
                row["name"],
                row["span_kind"],
                row["status_code"] == "ERROR",
                orjson.loads(row["attributes"]) or {},
            )
            for row in await self._rows(queries.spans(session_id, trace_ids))
        ]

    async def _rows(self, query: Query) -> list[Row]:
        return await self._client.query(query.sql, query.parameters)
