"""One sink: reads a topic, turns batches of records into rows, inserts them, and only then commits.

    poll until the batch is full or old ─► rows ─► insert, table by table ─► dead letters ─► commit

Inserting is idempotent (rows replace each other by key and version, and a batch has a token), so
what was inserted and not committed may be read and inserted again. While ClickHouse does not
take a batch nothing else is read: memory is bounded by one batch and Kafka keeps the rest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from services.shared.clickhouse import Columns, RefusedRowsError
from services.shared.clock import Clock
from services.shared.errors import PermanentError, SpanloomError, TransientError
from services.shared.records.source_record import Place, SourceRecord
from services.shared.room import Room
from services.shared.telemetry import Telemetry
from services.sink.batch import Batch, BatchRows, Conversion, Row, convert
from services.sink.rows import columns

_log = logging.getLogger(__name__)
_SECOND = 10**9
_POLL_RECORDS = 1_000  # looked at for their size before more are taken
_REASON_LENGTH = 1_000

_T = TypeVar("_T")


class Source(Protocol):
    """Where records come from (`KafkaSource`). Every method may raise `TransientError`."""

    async def start(self) -> None: ...
    async def poll(self, seconds: float, max_records: int) -> list[SourceRecord]: ...
    async def commit(self, positions: Mapping[Place, int]) -> None: ...
    async def behind(self) -> int: ...
    async def stop(self) -> None: ...


class Store(Protocol):
    """Where rows go (`AsyncClickHouse`)."""

    async def insert(self, table: str, columns: Columns, token: str) -> None: ...


class DeadLetters(Protocol):
    """Where records go that will never be rows (`DeadLetterTopic`)."""

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full, and how long a failed call waits. Durations in seconds."""

    rows: int = 10_000  # records of a batch; rows of an insert
    size: int = 16 << 20  # bytes of a batch; a larger record goes alone
    flush_interval: float = 0.5
    first_pause: float = 0.25
    longest_pause: float = 15.0


class StoppedError(SpanloomError):
    """A stop was asked for while a neighbour did not answer. What was not committed is read again at the next start."""


class Sink:
    """See the module. `reader` is its name in `room`, in metrics and in logs; `scope` goes into every token."""

    def __init__(
        self,
        reader: str,
        conversion: Conversion,
        *,
        scope: str,
        source: Source,
        store: Store,
        dead_letters: DeadLetters,
        room: Room,
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
        service_version: str = "",
    ) -> None:
        self.reader = reader
        self._conversion, self._scope = conversion, scope
        self._source, self._store, self._dead_letters = source, store, dead_letters
        self._room, self._clock, self._telemetry, self._limits = room, clock, telemetry, limits
        self._version = service_version
        self.is_ready = False

    async def run(self, stop: asyncio.Event, *, to_end: bool = False) -> None:
        """Work until `stop` is set, then insert what was read; with `to_end`, all there is to read.

        A neighbour that does not answer is waited for, for ever, until `stop`: then one last
        attempt is made, and what it does not get done stays in Kafka.
        """
        try:
            await self._patiently("start", self._source.start, stop)
            self.is_ready = True
            while not stop.is_set():
                await self._flush(await self._fill(stop), stop)
            while to_end and await self._patiently("end", self._source.behind, stop) > 0:
                await self._flush(await self._fill(stop), stop)
        except StoppedError as error:
            _log.warning("%s: stopped without its last batch, which stays in Kafka: %s", self.reader, error)
        finally:
            self.is_ready = False
            await self._source.stop()
            await self._dead_letters.stop()

    async def _fill(self, stop: asyncio.Event) -> Batch:
        """Read until the batch is full, or `flush_interval` after its first record (or its start, without any)."""
        batch, limits = Batch(), self._limits
        deadline = self._clock.monotonic() + limits.flush_interval
        while len(batch.records) < limits.rows and batch.size < limits.size:
            rest = max(0.0, deadline - self._clock.monotonic())
            most = min(_POLL_RECORDS, limits.rows - len(batch.records))
            records = await self._patiently("poll", partial(self._source.poll, rest, most), stop)
            if records and not batch.records:
                deadline = self._clock.monotonic() + limits.flush_interval
            batch.add(records)
            if stop.is_set() or self._clock.monotonic() >= deadline:
                break
        return batch

    async def _flush(self, batch: Batch, stop: asyncio.Event) -> None:
        if not batch.records:
            return
        rows = await asyncio.to_thread(convert, batch, self._conversion, self._scope)
        for table, of_table in rows.rows.items():
            for number, start in enumerate(range(0, len(of_table), self._limits.rows)):
                chunk = of_table[start : start + self._limits.rows]
                await self._insert(table, chunk, f"{rows.token}/{table}/{number}", stop)
        await self._put_aside_unreadable(rows, stop)
        positions = batch.positions()
        await self._commit(positions)
        for (topic, partition), position in positions.items():
            self._room.passed(self.reader, topic, partition, position)
        newest = max(record.timestamp for record in batch.records)
        self._telemetry.set("spanloom_sink_lag_seconds", (self._clock.now() - newest) / _SECOND, self.reader)

    async def _insert(self, table: str, rows: Sequence[Row], token: str, stop: asyncio.Event) -> None:
        """Insert all rows but those that are refused for good; their records become dead letters."""
        data = await asyncio.to_thread(columns, table, [row.values for row in rows])
        try:
            await self._patiently("insert", lambda: self._timed_insert(table, data, token), stop)
        except RefusedRowsError as error:
            if len(rows) == 1:
                await self._put_aside(rows[0].record, "refused_row", f"{table}: {error}", stop)
                return
            half = len(rows) // 2
            await self._insert(table, rows[:half], f"{token}.0", stop)
            await self._insert(table, rows[half:], f"{token}.1", stop)

    async def _timed_insert(self, table: str, data: Columns, token: str) -> None:
        started = self._clock.monotonic()
        await self._store.insert(table, data, token)
        count = len(next(iter(data.values())))
        telemetry = self._telemetry
        telemetry.observe("spanloom_sink_insert_seconds", self._clock.monotonic() - started, self.reader, table)
        telemetry.observe("spanloom_sink_batch_rows", count, self.reader, table)
        telemetry.count("spanloom_sink_rows_total", self.reader, table, by=count)

    async def _put_aside_unreadable(self, rows: BatchRows, stop: asyncio.Event) -> None:
        for record, unreadable in rows.unreadable:
            if unreadable.is_ours:
                await self._put_aside(record, unreadable.reason, unreadable.detail, stop)
            else:
                self._telemetry.count("spanloom_sink_records_without_rows_total", self.reader, "skipped")

    async def _put_aside(self, record: SourceRecord, reason: str, detail: str, stop: asyncio.Event) -> None:
        """Write a dead letter. It is on the broker before the record is committed."""
        headers = {
            "reason": reason,
            "detail": detail[:_REASON_LENGTH],
            "source_topic": record.topic,
            "source_partition": str(record.partition),
            "source_offset": str(record.offset),
            "service_version": self._version,
        }
        _log.error(
            "%s: %s/%d@%d to the dead letters: %s: %s",
            *(self.reader, record.topic, record.partition, record.offset, reason, detail[:_REASON_LENGTH]),
        )
        await self._patiently("dead_letter", lambda: self._dead_letters.put(record, headers), stop)
        self._telemetry.count("spanloom_sink_records_without_rows_total", self.reader, "dead_letter")

    async def _commit(self, positions: Mapping[Place, int]) -> None:
        try:
            await self._source.commit(positions)
        except TransientError as error:
            # The next commit covers this one, and reading again changes nothing.
            self._telemetry.count("spanloom_sink_errors_total", self.reader)
            _log.warning("%s: %s", self.reader, error)

    async def _patiently(self, doing: str, call: Callable[[], Awaitable[_T]], stop: asyncio.Event) -> _T:
        """Call until it succeeds. Raises `RefusedRowsError` at once, `StoppedError` for a failure after `stop`."""
        pause = self._limits.first_pause
        while True:
            try:
                return await call()
            except RefusedRowsError:
                raise
            except (TransientError, PermanentError) as error:
                # Permanent but no row's fault (no table, no right): it needs a person, and nothing is lost till then.
                self._telemetry.count("spanloom_sink_errors_total", self.reader)
                if stop.is_set():
                    raise StoppedError(str(error)) from error
                _log.warning("%s: %s failed, trying again in %.2f s: %s", self.reader, doing, pause, error)
            try:
                async with asyncio.timeout(pause):
                    await stop.wait()
            except TimeoutError:
                pause = min(2 * pause, self._limits.longest_pause)
