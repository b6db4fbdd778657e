"""The tables that sessions are cut again into, beside those that everyone reads.

`session_windows_reprocess_<run>` and `session_turns_reprocess_<run>`, sorted by session like the tables that
answer for one session. What is known of the run is the comment of the first.
"""

from collections.abc import Iterator, Sequence

from services.migrate.migrations import on_cluster
from services.reprocess.run import Run
from services.reprocess.sessions import FIRST_EPOCH, Row
from services.shared.clickhouse import ClickHouse
from services.shared.errors import SettingsError
from services.sink.rows import COLUMNS, TURNS, WINDOWS, Values, columns

WINDOWS_BY_SESSION = "session_windows_by_session"
_MIDDLE = "_reprocess_"
_LIKE = {WINDOWS: WINDOWS_BY_SESSION, TURNS: TURNS}
_PAGE = 2_000


def shadow(table: str, run_name: str) -> str:
    """The shadow of a table."""
    return f"{table}{_MIDDLE}{run_name}"


class ShadowTables:
    """The shadow tables of one database. Every method blocks and raises what `ClickHouse` raises."""

    def __init__(self, client: ClickHouse, cluster: str) -> None:
        self._client, self._on_cluster = client, on_cluster(cluster)

    def runs(self) -> list[str]:
        """Names of the runs whose tables are there."""
        rows = self._client.query(
            "SELECT name FROM system.tables WHERE database = {database:String} AND startsWith(name, {start:String})",
            {"database": self._client.database, "start": shadow(WINDOWS, "")},
        )
        return sorted(row["name"].removeprefix(shadow(WINDOWS, "")) for row in rows)

    def next_epoch(self) -> int:
        """An epoch that no version has, here or in any shadow table."""
        highest = FIRST_EPOCH - 1
        for table in (WINDOWS, *(shadow(WINDOWS, run) for run in self.runs())):
            (row,) = self._client.query(f"SELECT bitShiftRight(max(version), 48) AS epoch FROM `{table}`")  # noqa: S608 - a name of ours
            highest = max(highest, row["epoch"])
        return highest + 1

    def make(self, run: Run) -> None:
        """New, empty tables. Raises `SettingsError` when the name is taken."""
        if run.name in self.runs():
            raise SettingsError(f"there is a run {run.name} already: choose another name, or drop it first")
        for table, like in _LIKE.items():
            comment = f"COMMENT '{_escaped(run.encode())}'" if table == WINDOWS else ""
            self._client.command(f"CREATE TABLE `{shadow(table, run.name)}` {self._on_cluster} AS `{like}` {comment}")

    def run(self, name: str) -> Run:
        """What is known of a run. Raises `SettingsError` when there is none of this name."""
        rows = self._client.query(
            "SELECT comment FROM system.tables WHERE database = {database:String} AND name = {name:String}",
            {"database": self._client.database, "name": shadow(WINDOWS, name)},
        )
        if not rows:
            raise SettingsError(f"there is no run {name}; there are: {', '.join(self.runs()) or 'none'}")
        return Run.decode(rows[0]["comment"])

    def drop(self, name: str) -> None:
        """Remove the tables of a run. Does nothing when there are none."""
        for table in reversed(_LIKE):
            self._client.command(f"DROP TABLE IF EXISTS `{shadow(table, name)}` {self._on_cluster} SYNC")

    def insert(self, run: Run, table: str, rows: Sequence[Values], number: int) -> None:
        """Insert rows; `number` tells this insert from others of the run."""
        self._client.insert(shadow(table, run.name), columns(table, rows), f"{run.name}/{run.epoch}/{table}/{number}")


def windows_in_order(client: ClickHouse, table: str) -> Iterator[Row]:
    """Windows at their last versions, deleted ones left out, by session id, project and start; a page in memory."""
    names = ", ".join(COLUMNS[WINDOWS])
    session_id = project = ""
    skip = -1  # rows of the session at which the page before ended
    while True:
        rows = client.query(
            f"""
            SELECT {names} FROM `{table}` FINAL
            WHERE session_id >= {{session_id:String}}
                AND (session_id > {{session_id:String}} OR project >= {{project:String}})
            ORDER BY session_id, project, window_start, window_id
            LIMIT {{limit:UInt32}} OFFSET {{skip:UInt32}}
            """,  # noqa: S608 - names of ours
            {"session_id": session_id, "project": project, "limit": _PAGE, "skip": max(skip, 0)},
        )
        yield from rows
        if len(rows) < _PAGE:
            return
        last = (rows[-1]["session_id"], rows[-1]["project"])
        of_last = sum((row["session_id"], row["project"]) == last for row in rows)
        skip = of_last + (skip if last == (session_id, project) and skip > 0 else 0)
        session_id, project = last


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
