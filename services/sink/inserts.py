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
from services.sink.batch import Block, Row
from services.sink.patience import Patience
from services.sink.rows import Values

_MEMORY_ATTEMPTS = 3  # with pauses between them: somebody else may have had the memory

Insert = Callable[[str, Sequence[Values], str], Awaitable[None]]
"""Table, rows, token."""

InsertBlock = Callable[[Block, str], Awaitable[None]]
"""Block, token."""

RowsOf = Callable[[Block], Awaitable[Sequence[Row]]]
"""The rows of a block, for which nobody asks as a rule."""


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

    def __init__(self, insert: Insert, insert_block: InsertBlock, patience: Patience, *, most_in_a_row: int) -> None:
        self._insert, self._insert_block, self._patience, self._most = insert, insert_block, patience, most_in_a_row
        self._in_a_row: defaultdict[str, int] = defaultdict(int)  # refused ones since the last good one, by table

    async def put(self, table: str, rows: Sequence[Row], token: str, stop: asyncio.Event) -> list[Refused]:
        """Return when all rows are in but those in the answer. Raises `StoppedError`.

        `token` names exactly these rows. What is repeated is repeated with its token, parts have
        tokens of their own that follow from it.
        """
        return await self._fitting(table, lambda: self._part(table, rows, token, stop), stop)

    async def put_block(self, block: Block, rows_of: RowsOf, token: str, stop: asyncio.Event) -> list[Refused]:
        """The same of a block, under the token that its rows would have."""

        async def attempt() -> list[Refused]:
            refusal = await self._whole(lambda: self._insert_block(block, token), block.count, stop)
            if refusal is None:
                self._in_a_row[block.table] = 0
                return []
            return await self._apart(block.table, await rows_of(block), token, refusal, stop)

        return await self._fitting(block.table, attempt, stop)

    async def _fitting(
        self, table: str, put: Callable[[], Awaitable[list[Refused]]], stop: asyncio.Event
    ) -> list[Refused]:
        """Wait for a person where it is the table that does not fit."""

        async def attempt() -> list[Refused]:
            before = self._in_a_row[table]
            try:
                return await put()
            except _DoesNotFitError:
                self._in_a_row[table] = before  # the next attempt begins anew with all of these rows
                raise

        return await self._patience.call("insert", attempt, stop)

    async def _part(self, table: str, rows: Sequence[Row], token: str, stop: asyncio.Event) -> list[Refused]:
        refusal = await self._whole(lambda: self._insert(table, [row.values for row in rows], token), len(rows), stop)
        if refusal is None:
            self._in_a_row[table] = 0
            return []
        return await self._apart(table, rows, token, refusal, stop)

    async def _whole(
        self, insert: Callable[[], Awaitable[None]], count: int, stop: asyncio.Event
    ) -> RefusedRowsError | _TooMuchAtOnceError | None:
        """Insert so many rows at once; why they have to be taken apart if they are not taken so."""
        failures = 0

        async def attempt() -> None:
            nonlocal failures
            try:
                await insert()
            except MemoryLimitError as error:
                failures += 1
                if failures >= _MEMORY_ATTEMPTS and count > 1:
                    raise _TooMuchAtOnceError from error
                raise

        try:
            await self._patience.call("insert", attempt, stop)
        except (RefusedRowsError, _TooMuchAtOnceError) as error:
            return error
        return None

    async def _apart(
        self,
        table: str,
        rows: Sequence[Row],
        token: str,
        refusal: RefusedRowsError | _TooMuchAtOnceError,
        stop: asyncio.Event,
    ) -> list[Refused]:
        """Half by half, down to the row that it is."""
        if len(rows) == 1 and isinstance(refusal, RefusedRowsError):
            return [self._refused(table, rows[0], refusal)]
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
