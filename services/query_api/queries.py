"""PURE: the SQL of the API, and its parameters. Every value is bound by the server, none is part of the text.

Rows are read at their newest version by `LIMIT 1 BY`, not by FINAL, which hides retractions:
the live view is merged by them (live_merge.py). On the sorting keys of the tables both are of the same
order of time (1.2 million windows: 100 sessions in 43 ms by LIMIT 1 BY, 87 ms by FINAL).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.live import Position
from services.shared.model.rollup import TurnRollup, Usage, WindowRollup

MOST_ANNOTATIONS = 100_000
"""Of the things that one request asks about."""
MOST_SPANS = 20_000
"""Of the turns of one page of a transcript; the last spans of longer ones are left out."""


@dataclass(frozen=True, slots=True)
class Query:
    """One SELECT."""

    sql: str
    parameters: Mapping[str, Any]


def ping() -> Query:
    """Whether the schema is there, not only a server."""
    return Query("SELECT project FROM projects LIMIT 1", {})


def projects() -> Query:
    """Every project, the newest first."""
    return Query(
        "SELECT project, min(first_seen_at) AS seen FROM projects GROUP BY project ORDER BY seen DESC, project DESC", {}
    )


def has_project(project: str) -> Query:
    return Query("SELECT project FROM projects WHERE project = {project:String} LIMIT 1", {"project": project})


def first_windows(project: str, start: Position | None, limit: int, *, descending: bool) -> Query:
    """Windows of a project in the order of first sight, with the first sight of their sessions.

    A session stands in lists where its first window stands: rows whose `first_seen_at` is later than
    `seen` are not its place and are for the caller to skip. Read in the order of the table's key,
    so a page costs what it shows and not what the project holds; a row can therefore come once for each
    version that ClickHouse has not merged yet. Retracted windows keep their place.
    """
    compare, direction = ("<", "DESC") if descending else (">", "ASC")
    order = f"first_seen_at {direction}, session_id {direction}"
    candidates = f"""
        SELECT session_id, first_seen_at
        FROM session_windows
        WHERE project = {{project:String}}
        {"AND " + _FROM_START.format(time="first_seen_at", compare=compare) if start else ""}
        ORDER BY {order}
        LIMIT {{limit:UInt32}}"""  # noqa: S608 - an operator and a direction of ours, no value
    sql = f"""
        WITH candidates AS ({candidates})
        SELECT candidates.session_id AS session_id, candidates.first_seen_at AS first_seen_at, firsts.seen AS seen
        FROM candidates
        INNER JOIN (
            SELECT session_id, min(first_seen_at) AS seen
            FROM session_windows_by_session
            WHERE project = {{project:String}} AND session_id IN (SELECT session_id FROM candidates)
            GROUP BY session_id
        ) AS firsts ON firsts.session_id = candidates.session_id
        ORDER BY {order}"""  # noqa: S608 - as above
    return Query(sql, _page_parameters(project, start, limit))


def first_sights(project: str, start: Position | None, limit: int, *, descending: bool) -> Query:
    """The same answer as far as it is one, from all windows of the project at once.

    For pages on which `first_windows` finds hardly any first window, such as the newest page of a
    project whose users come back to old sessions. Costs 50 ms for each 200,000 sessions.
    """
    compare, direction = ("<", "DESC") if descending else (">", "ASC")
    sql = f"""
        SELECT session_id, min(first_seen_at) AS seen
        FROM session_windows
        WHERE project = {{project:String}}
        GROUP BY session_id
        {"HAVING " + _FROM_START.format(time="seen", compare=compare) if start else ""}
        ORDER BY seen {direction}, session_id {direction}
        LIMIT {{limit:UInt32}}"""  # noqa: S608 - an operator and a direction of ours, no value
    return Query(sql, _page_parameters(project, start, limit))


def stored_sessions(project: str, session_ids: Sequence[str]) -> Query:
    """Which of these sessions ClickHouse has rows of."""
    return Query(
        "SELECT DISTINCT session_id FROM session_windows_by_session"
        " WHERE project = {project:String} AND session_id IN {session_ids:Array(String)}",
        {"project": project, "session_ids": list(session_ids)},
    )


def windows(session_ids: Sequence[str], project: str | None = None, *, whole: bool) -> Query:
    """The newest version of every window of these sessions, retractions included; of every project or one.

    `whole`: all columns; else those that lists show, which takes a third of the time.
    """
    columns = _WINDOW_COLUMNS if whole else _WINDOW_OUTLINE
    return _newest(columns, "session_windows_by_session", "window_id", session_ids, project)


def turns(session_ids: Sequence[str], project: str | None = None, *, whole: bool) -> Query:
    """The newest version of every turn of these sessions, likewise."""
    columns = _TURN_COLUMNS if whole else _TURN_OUTLINE
    return _newest(columns, "session_turns", "window_id, trace_id", session_ids, project)


def annotations(project: str, scope: Scope, of: str, ids: Sequence[str]) -> Query:
    """Annotations at their last version, the newest first, of the things whose column `of` is among `ids`."""
    sql = f"""
        SELECT {", ".join(AnnotationRollup.__dataclass_fields__)}
        FROM annotations FINAL
        WHERE project = {{project:String}} AND scope = {{scope:String}} AND {of} IN {{ids:Array(String)}}
        ORDER BY ingested_at DESC, {of}, span_id, name, identifier
        LIMIT {MOST_ANNOTATIONS}"""  # noqa: S608 - names of ours
    return Query(sql, {"project": project, "scope": scope.value, "ids": list(ids)})


def known(project: str, table: str, of: str, ids: Sequence[str]) -> Query:
    """Whether a table has a row of any of these things: `of` is the column that names them."""
    sql = f"SELECT 1 AS found FROM {table} WHERE project = {{project:String}} AND {of} IN {{ids:Array(String)}} LIMIT 1"  # noqa: S608 - names of ours
    return Query(sql, {"project": project, "ids": list(ids)})


def spans(session_id: str, trace_ids: Sequence[str]) -> Query:
    """Stored spans of these traces, but for those that name another session; whatever project they name."""
    return Query(
        f"""
        SELECT trace_id, span_id, parent_span_id, start_time, end_time, name, span_kind, status_code, attributes
        FROM spans FINAL
        WHERE trace_id IN {{trace_ids:Array(String)}} AND session_id IN ('', {{session_id:String}})
        ORDER BY start_time, span_id
        LIMIT {MOST_SPANS}""",  # noqa: S608 - a number of ours
        {"session_id": session_id, "trace_ids": list(trace_ids)},
    )


def _page_parameters(project: str, start: Position | None, limit: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {"project": project, "limit": limit}
    return parameters | {"start_at": start.first_seen_at, "start_id": start.session_id} if start else parameters


def _newest(columns: str, table: str, identity: str, session_ids: Sequence[str], project: str | None) -> Query:
    of_project = "project = {project:String} AND " if project is not None else ""
    sql = f"""
        SELECT {columns}
        FROM {table}
        WHERE {of_project}session_id IN {{session_ids:Array(String)}}
        ORDER BY version DESC
        LIMIT 1 BY project, session_id, {identity}"""  # noqa: S608 - names of ours
    parameters: dict[str, Any] = {"session_ids": list(session_ids)}
    if project is not None:
        parameters["project"] = project
    return Query(sql, parameters)


def _columns(rollup: type[WindowRollup | TurnRollup]) -> str:
    return ", ".join(
        [name for name in rollup.__dataclass_fields__ if name != "usage"] + list(Usage.__dataclass_fields__)
    )


_FROM_START = """{time} {compare}= fromUnixTimestamp64Nano({{start_at:Int64}}, 'UTC')
        AND ({time} {compare} fromUnixTimestamp64Nano({{start_at:Int64}}, 'UTC')
             OR session_id {compare}= {{start_id:String}})"""
_WINDOW_COLUMNS = _columns(WindowRollup)
_WINDOW_OUTLINE = (
    "project, session_id, window_id, version, is_deleted, state, first_seen_at, window_start, window_end,"
    " turn_count, prompt_tokens, completion_tokens"
)
_TURN_COLUMNS = _columns(TurnRollup)
_TURN_OUTLINE = (
    "project, session_id, window_id, trace_id, opened_at, first_seen_at, version, is_deleted, started_at, ended_at"
)
