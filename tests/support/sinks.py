"""Around a sink without Kafka and ClickHouse: a source of given records, tables in memory, dead letters in a list."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.shared.clickhouse import Columns
from services.shared.clickhouse_errors import RefusedRowsError
from services.shared.errors import TransientError
from services.shared.records.source_record import Place, SourceRecord
from tests.support.clock import SECOND, ManualClock
from tests.support.native_block import rows_of_block


def source_record(value: bytes | None, offset: int = 0, partition: int = 0, timestamp: int = 0) -> SourceRecord:
    return SourceRecord("rollups", partition, offset, timestamp, b"key", value)


@dataclass
class Journal:
    """What the fakes were told, in order."""

    events: list[tuple[str, Any]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


async def _turn_of_the_loop() -> None:
    """Let every other task that is ready run once, as a real poll does."""
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn


class FakeSource:
    """Gives out its records once; `at_end` is called when there are no more, then polls wait for ever."""

    def __init__(
        self, records: list[SourceRecord], journal: Journal, at_end: Callable[[], None] = lambda: None
    ) -> None:
        self._records, self._journal, self._at_end = records, journal, at_end
        self.position = 0
        self.committed: dict[Place, int] = {}
        self.failures: list[str] = []
        self.commit_failures = 0
        self.is_running = False

    async def start(self) -> None:
        if self.failures:
            raise TransientError(self.failures.pop())
        self.is_running = True

    async def poll(self, seconds: float, max_records: int) -> list[SourceRecord]:
        assert self.is_running
        await _turn_of_the_loop()
        found = self._records[self.position : self.position + max_records]
        self.position += len(found)
        self._journal.events.append(("poll", len(found)))
        if self.position == len(self._records):
            self._at_end()
        return found

    async def commit(self, positions: Mapping[Place, int]) -> None:
        self._journal.events.append(("commit", dict(positions)))
        if self.commit_failures:
            self.commit_failures -= 1
            raise TransientError("no commit today")
        self.committed |= positions

    async def behind(self) -> int:
        return len(self._records) - self.position

    async def stop(self) -> None:
        self.is_running = False


class FakeStore:
    """Tables in memory, with ClickHouse's rule for tokens. `refuses` says which rows it will never take."""

    def __init__(self, journal: Journal, refuses: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> None:
        self._journal, self._refuses = journal, refuses
        self.rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.tokens: list[str] = []
        self.failures: list[Exception] = []
        self.fault: Callable[[int], Exception | None] = lambda rows: None
        """What an insert of so many rows raises; `None`: it goes in."""
        self.on_failure: Callable[[], None] = lambda: None
        self.largest = 0

    async def insert(self, table: str, columns: Columns, token: str) -> None:
        values = zip(*columns.values(), strict=True)
        self._insert(table, [dict(zip(columns, row, strict=True)) for row in values], token)

    async def insert_block(self, table: str, columns: Sequence[str], data: bytes | bytearray, token: str) -> None:
        self._insert(table, [dict(zip(columns, row, strict=True)) for row in rows_of_block(data)], token)

    def _insert(self, table: str, rows: list[dict[str, Any]], token: str) -> None:
        if self.failures:
            self._journal.events.append(("insert failed", table))
            self.on_failure()
            raise self.failures.pop(0)
        if (fault := self.fault(len(rows))) is not None:
            self._journal.events.append(("insert failed", table))
            raise fault
        self.largest = max(self.largest, len(rows))
        if any(self._refuses(row) for row in rows):
            self._journal.events.append(("insert refused", len(rows)))
            raise RefusedRowsError(f"one of {len(rows)} rows")
        self._journal.events.append(("insert", table))
        if token not in self.tokens:
            self.rows[table] += rows
        self.tokens.append(token)


class Naps:
    """Pauses that take no time but a clock's; they are remembered."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.seconds: list[float] = []

    async def __call__(self, seconds: float, stop: asyncio.Event) -> None:
        await _turn_of_the_loop()
        self.seconds.append(seconds)
        if not stop.is_set():
            self._clock.advance(round(seconds * SECOND))


class FakeDeadLetters:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.letters: list[tuple[SourceRecord, dict[str, str]]] = []
        self.failures = 0

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        self._journal.events.append(("dead letter", record.offset))
        if self.failures:
            self.failures -= 1
            raise TransientError("no dead letters today")
        self.letters.append((record, dict(headers)))

    async def stop(self) -> None:
        pass
