"""One sink: reads a topic, turns batches of records into rows, inserts them, and only then commits.

    poll until the batch is full or old ─► rows ─► insert, table by table ─► dead letters ─► commit

While a full batch goes in, the next one is read and made into rows: neither this process nor ClickHouse waits for the
other. Inserting is idempotent (rows replace each other by key and version, and a batch has a token), so
what was inserted and not committed may be read and inserted again. While ClickHouse does not
take a batch nothing more is read: memory is bounded by two batches and Kafka keeps the rest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from services.shared.clickhouse import Columns
from services.shared.clock import Clock
from services.shared.errors import TransientError
from services.shared.model.outcome import SinkOutcome
from services.shared.records.source_record import Place, SourceRecord
from services.shared.room import Room
from services.shared.telemetry import Telemetry
from services.sink.batch import Batch, BatchRows, Block, Converter, Row, rows_token
from services.sink.inserts import Inserts, Refused
from services.sink.patience import Patience, Pause, Pauses, StoppedError, pause
from services.sink.rows import Values, columns

_log = logging.getLogger(__name__)
_SECOND = 10**9
_POLL_RECORDS = 1_000  # looked at for their size before more are taken
_REASON_LENGTH = 1_000


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
    async def insert_block(self, table: str, columns: Sequence[str], data: bytes | bytearray, token: str) -> None: ...


class DeadLetters(Protocol):
    """Where records go that will never be rows (`DeadLetterTopic`)."""

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full, how long a failed call waits, and when a table is taken for one that does not fit."""

    rows: int = 30_000  # records of a batch; rows of an insert
    size: int = 16 << 20  # bytes of a batch; a larger record goes alone
    flush_interval: float = 0.5  # seconds
    refused_rows: int = 100  # in a row
    pauses: Pauses = field(default_factory=Pauses)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch with its rows, which `token` names."""

    batch: Batch
    rows: BatchRows
    token: str


class Sink:
    """See the module. `reader` is its name in `room`, in metrics and in logs."""

    def __init__(
        self,
        reader: str,
        converter: Converter,
        *,
        source: Source,
        store: Store,
        dead_letters: DeadLetters,
        room: Room,
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
        service_version: str = "",
        pause: Pause = pause,
    ) -> None:
        self.reader = reader
        self._converter = converter
        self._source, self._store, self._dead_letters = source, store, dead_letters
        self._room, self._clock, self._telemetry, self._limits = room, clock, telemetry, limits
        self._version = service_version

        def patience(doing: str) -> Patience:
            blocked = partial(room.blocked, f"{reader}: {doing}")
            return Patience(reader, limits.pauses, clock=clock, telemetry=telemetry, told=blocked, pause=pause)

        self._reading, self._inserting = patience("reading"), patience("inserting")
        self._inserts = Inserts(
            self._insert_rows, self._insert_block, self._inserting, most_in_a_row=limits.refused_rows
        )
        self._is_running = False
        self._owed: dict[Place, int] = {}  # positions that could not be committed

    @property
    def is_ready(self) -> bool:
        """Whether it reads and nothing waits for a person. ClickHouse or Kafka may be away for a while."""
        return self._is_running and not (self._reading.needs_a_person or self._inserting.needs_a_person)

    async def run(self, stop: asyncio.Event, *, to_end: bool = False) -> None:
        """Work until `stop` is set, then insert what was read; with `to_end`, all there is to read.

        A neighbour that does not answer is waited for, for ever, until `stop`: then one last
        attempt is made, and what it does not get done stays in Kafka. With `to_end` nothing stays
        anywhere, so the neighbour is waited for as before, until this is cancelled.
        """
        given_up = asyncio.Event() if to_end else stop
        try:
            await self._reading.call("join its group", self._source.start, given_up)
            self._is_running = True
            while not stop.is_set():
                await self._pass_on(stop, given_up)
            while to_end and await self._reading.call("find its end", self._source.behind, given_up) > 0:
                await self._pass_on(stop, given_up)
        except* StoppedError as errors:
            _log.warning(
                "%s: stopped without its last batch, which stays in Kafka: %s", self.reader, errors.exceptions[0]
            )
        finally:
            self._is_running = False
            await self._source.stop()
            await self._dead_letters.stop()

    async def _pass_on(self, stop: asyncio.Event, given_up: asyncio.Event) -> None:
        """Read a batch and insert it; and while it is a full one, the next."""
        ready = await self._prepare(stop, given_up)
        while self._is_full(ready.batch) and not stop.is_set():
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._prepare(stop, given_up))
                await self._flush(ready, given_up)
            ready = following.result()
        await self._flush(ready, given_up)

    async def _prepare(self, stop: asyncio.Event, given_up: asyncio.Event) -> _Ready:
        batch = await self._fill(stop, given_up)
        return _Ready(batch, *await asyncio.to_thread(self._converter.convert, batch.records, self._limits.rows))

    async def _fill(self, stop: asyncio.Event, given_up: asyncio.Event) -> Batch:
        """Read until the batch is full, or `flush_interval` after its first record (or its start, without any)."""
        batch, limits = Batch(), self._limits
        deadline = self._clock.monotonic() + limits.flush_interval
        while not self._is_full(batch):
            rest = max(0.0, deadline - self._clock.monotonic())
            most = min(_POLL_RECORDS, limits.rows - len(batch.records))
            records = await self._reading.call("read", partial(self._source.poll, rest, most), given_up)
            if records and not batch.records:
                deadline = self._clock.monotonic() + limits.flush_interval
            batch.add(records)
            if stop.is_set() or self._clock.monotonic() >= deadline:
                break
        return batch

    def _is_full(self, batch: Batch) -> bool:
        return len(batch.records) >= self._limits.rows or batch.size >= self._limits.size

    async def _flush(self, ready: _Ready, stop: asyncio.Event) -> None:
        batch, rows, token = ready.batch, ready.rows, ready.token
        if not batch.records:
            await self._commit({})
            return
        refused: list[Refused] = []
        for block in rows.blocks:
            whole = rows_token(token, block.table, block.first, block.count)
            refused += await self._inserts.put_block(block, partial(self._rows_of, batch), whole, stop)
        for table, of_table in rows.rows.items():
            for first in range(0, len(of_table), self._limits.rows):
                chunk = of_table[first : first + self._limits.rows]
                whole = rows_token(token, table, first, len(chunk))
                refused += await self._inserts.put(table, chunk, whole, stop)
        await self._put_aside_refused(refused, stop)
        await self._put_aside_unreadable(rows, stop)
        positions = batch.positions()
        await self._commit(positions)
        for (topic, partition), position in positions.items():
            self._room.passed(self.reader, topic, partition, position)
        newest = max(record.timestamp for record in batch.records)
        self._telemetry.set("spanloom_sink_lag_seconds", (self._clock.now() - newest) / _SECOND, self.reader)

    async def _rows_of(self, batch: Batch, block: Block) -> Sequence[Row]:
        return await asyncio.to_thread(self._converter.rows_of, block, batch.records)

    async def _insert_rows(self, table: str, rows: Sequence[Values], token: str) -> None:
        data = await asyncio.to_thread(columns, table, rows)
        await self._timed(table, len(rows), self._store.insert(table, data, token))

    async def _insert_block(self, block: Block, token: str) -> None:
        insert = self._store.insert_block(block.table, block.columns, block.data, token)
        await self._timed(block.table, block.count, insert)

    async def _timed(self, table: str, rows: int, insert: Awaitable[None]) -> None:
        started = self._clock.monotonic()
        await insert
        telemetry = self._telemetry
        telemetry.observe("spanloom_sink_insert_seconds", self._clock.monotonic() - started, self.reader, table)
        telemetry.observe("spanloom_sink_batch_rows", rows, self.reader, table)
        telemetry.count("spanloom_sink_rows_total", self.reader, table, by=rows)

    async def _put_aside_refused(self, refused: Sequence[Refused], stop: asyncio.Event) -> None:
        """A record becomes one dead letter, however many of its rows are refused; its other rows are in."""
        details: dict[tuple[Place, int], list[Refused]] = {}
        for one in refused:
            record = one.row.record
            details.setdefault(((record.topic, record.partition), record.offset), []).append(one)
        for of_record in details.values():
            more = f" (and {len(of_record) - 1} more rows of this record)" if len(of_record) > 1 else ""
            first = of_record[0]
            await self._put_aside(first.row.record, SinkOutcome.REFUSED_ROW, f"{first.detail}{more}", stop)

    async def _put_aside_unreadable(self, rows: BatchRows, stop: asyncio.Event) -> None:
        for record, unreadable in rows.unreadable:
            if unreadable.is_ours:
                await self._put_aside(record, unreadable.reason, unreadable.detail, stop)
            else:
                self._count(SinkOutcome.SKIPPED)

    async def _put_aside(self, record: SourceRecord, reason: SinkOutcome, detail: str, stop: asyncio.Event) -> None:
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
        await self._inserting.call("write a dead letter", lambda: self._dead_letters.put(record, headers), stop)
        self._count(reason)

    def _count(self, outcome: SinkOutcome) -> None:
        self._telemetry.count("spanloom_sink_records_without_rows_total", self.reader, outcome)

    async def _commit(self, positions: Mapping[Place, int]) -> None:
        """A position whose commit fails is owed: reading again changes nothing, but others look at the group's lag."""
        positions = {**self._owed, **positions}
        if not positions:
            return
        try:
            await self._source.commit(positions)
        except TransientError as error:
            self._owed = positions
            self._telemetry.count("spanloom_sink_errors_total", self.reader, "transient")
            _log.warning("%s: %s", self.reader, error)
        else:
            self._owed = {}
