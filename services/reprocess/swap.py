"""Puts windows that were cut again in the place of those that are there, while everyone goes on reading and writing.

Of each session the old windows are retired and the new ones added by one INSERT a table, so a reader sees either.
A table is never exchanged as a whole: what the live sink wrote meanwhile would be lost.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from services.reprocess.sessions import Pair, Row, replacement
from services.reprocess.shadow_tables import WINDOWS_BY_SESSION, shadow
from services.shared.clickhouse import ClickHouse
from services.sink.rows import TURNS, WINDOWS

_BATCH_BYTES = 24 << 10  # of ids: they are parameters, which are part of a URL
_ID_BYTES = 20
_EXAMPLES = 10


@dataclass(slots=True)
class Replaced:
    """What was done."""

    sessions: int = 0
    retired: int = 0
    added: int = 0
    unlike: list[Pair] = field(default_factory=list)  # the first sessions left alone, for their spans differ in number
    unlike_count: int = 0


@dataclass(slots=True)
class _Batch:
    retired: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    size: int = 0


class Swap:
    """Replaces in one database what a run cut again. It can be done again: what is replaced already stays."""

    def __init__(self, client: ClickHouse, run_name: str, echo: Callable[[str], None]) -> None:
        self._client, self._run_name, self._echo = client, run_name, echo
        self._columns = {
            table: ", ".join(f"`{name}`" for name in client.column_types(table)) for table in (WINDOWS, TURNS)
        }

    def replace(self, pairs: Iterator[Pair], *, unlike_too: bool) -> Replaced:
        """Replace session by session. One whose spans are not as many on both sides is left, unless `unlike_too`."""
        done, batch = Replaced(), _Batch()
        for pair in pairs:
            if not unlike_too and _spans(pair.before) != _spans(pair.after):
                done.unlike_count += 1
                done.unlike += [pair] if len(done.unlike) < _EXAMPLES else []
                continue
            retired, added = replacement(pair)
            if not retired and not added:
                continue
            batch.retired += retired
            batch.added += added
            batch.sessions.append(pair.key.session_id)
            batch.size += len(pair.key.session_id.encode()) + _ID_BYTES * (len(retired) + len(added))
            if batch.size >= _BATCH_BYTES:
                self._write(batch, done)
                batch = _Batch()
        self._write(batch, done)
        return done

    def _write(self, batch: _Batch, done: Replaced) -> None:
        if not batch.sessions:
            return
        for table, current in ((TURNS, TURNS), (WINDOWS, WINDOWS_BY_SESSION)):
            names = self._columns[table]
            retired = names.replace("`version`", "version + 1").replace("`is_deleted`", "toUInt8(1)")
            self._client.command(
                f"""
                INSERT INTO `{table}` ({names}) SETTINGS max_partitions_per_insert_block = 0
                SELECT {retired} FROM `{current}` FINAL
                WHERE session_id IN {{sessions:Array(String)}} AND window_id IN {{retired:Array(String)}}
                UNION ALL
                SELECT {names} FROM `{shadow(table, self._run_name)}` FINAL
                WHERE session_id IN {{sessions:Array(String)}} AND window_id IN {{added:Array(String)}}
                """,  # noqa: S608 - names of ours
                {"sessions": batch.sessions, "retired": batch.retired, "added": batch.added},
            )
        done.sessions += len(batch.sessions)
        done.retired += len(batch.retired)
        done.added += len(batch.added)
        self._echo(f"replaced {done.sessions} sessions")


def _spans(rows: Sequence[Row]) -> int:
    return sum(row["span_count"] for row in rows)
