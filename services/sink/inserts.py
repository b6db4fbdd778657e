"""Rows into one ClickHouse: all of them go in, but those that it will never take.

    insert ─► refused ─► its halves ─► ... ─► one row: it is the bad one
           ─► too large for the server's memory, again and again ─► its halves
           ─► any other failure ─► the same insert again, with the same token

Of n rows of which k are bad, finding these takes about 2 k log2(n / k) more inserts, 2 n at most.
A bad row is an exception among good ones. When `most_in_a_row` are refused without a good one in
between, it is the table that does not fit (a migration is missing, a column was narrowed): then
nothing more is put aside, and the sink waits for a person.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.shared.clickhouse_errors import MemoryLimitError, RefusedRowsError
from services.shared.errors import PermanentError
from services.sink.batch import Row
from services.sink.patience import Patience
from services.sink.rows import Values

_MEMORY_ATTEMPTS = 3  # with pauses between them: somebody else may have had the memory

Insert = Callable[[str, Sequence[Values], str], Awaitable[None]]
"""Table, rows, token."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that does not fit, and what ClickHouse says of it."""

    row: Row
    detail: str


class _DoesNotFitError(PermanentError):
    """So many rows are refused that the table must be wrong, not the rows."""


class _TooMuchAtOnceError(Exception):
    """ClickHouse has not the memory for these rows at once."""


class Inserts:
    """Inserts of one sink, one at a time."""

    def __init__(self, insert: Insert, patience: Patience, *, most_in_a_row: int) -> None:
        self._insert, self._patience, self._most = insert, patience, most_in_a_row
        self._in_a_row: defaultdict[str, int] = defaultdict(int)  # refused ones since the last good one, by table

    async def put(self, table: str, rows: Sequence[Row], token: str, stop: asyncio.Event) -> list[Refused]:
        """Return when all rows are in but those in the answer. Raises `StoppedError`.

        `token` names exactly these rows. What is repeated is repeated with its token, parts have
        tokens of their own that follow from it.
        """

        async def attempt() -> list[Refused]:
            before = self._in_a_row[table]
            try:
                return await self._part(table, rows, token, stop)
            except _DoesNotFitError:
                self._in_a_row[table] = before  # the next attempt begins anew with all of these rows
                raise

        return await self._patience.call("insert", attempt, stop)

    async def _part(self, table: str, rows: Sequence[Row], token: str, stop: asyncio.Event) -> list[Refused]:
        failures = 0

        async def attempt() -> None:
            nonlocal failures
            try:
                await self._insert(table, [row.values for row in rows], token)
            except MemoryLimitError as error:
                failures += 1
                if failures >= _MEMORY_ATTEMPTS and len(rows) > 1:
                    raise _TooMuchAtOnceError from error
                raise

        try:
            await self._patience.call("insert", attempt, stop)
        except RefusedRowsError as error:
            if len(rows) == 1:
                return [self._refused(table, rows[0], error)]
        except _TooMuchAtOnceError:
            pass
        else:
            self._in_a_row[table] = 0
            return []
        half = len(rows) // 2
        return [
            *await self._part(table, rows[:half], f"{token}.0", stop),
            *await self._part(table, rows[half:], f"{token}.1", stop),
        ]

    def _refused(self, table: str, row: Row, error: RefusedRowsError) -> Refused:
        self._in_a_row[table] += 1
        if self._in_a_row[table] > self._most:
            raise _DoesNotFitError(
                f"{table} does not fit: more than {self._most} rows in a row were refused"
                f" (SPANLOOM_SINK_REFUSED_ROWS); the last: {error}"
            ) from error
        return Refused(row, f"{table}: {error}")
