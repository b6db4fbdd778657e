"""Reads the log, lets the stages cut sessions, writes what they publish into the shadow tables."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.reprocess.run import Run
from services.reprocess.shadow_tables import ShadowTables
from services.reprocess.virtual_worker import VirtualWorker
from services.shared.clock import Clock
from services.shared.errors import PermanentError
from services.shared.records.source_record import SourceRecord
from services.shared.topic_reader import Range, TopicReader
from services.sink.rows import ANNOTATIONS, Unreadable, Values, rollup_rows

_INSERT_ROWS = 10_000
_REPORT_EVERY = 10.0  # seconds
_SECOND = 10**9


class Brake:
    """Holds back so that no more than `rate` bytes a second pass, over any second or more; without one, nothing."""

    def __init__(self, rate: int | None, clock: Clock) -> None:
        self._rate, self._clock = rate, clock
        self._free_at = clock.monotonic()

    def pass_by(self, size: int) -> None:
        """Wait until so many bytes may pass."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - 1.0) + size / self._rate
        if self._free_at > now:
            threading.Event().wait(self._free_at - now)


@dataclass(slots=True)
class Figures:
    """What was read and written."""

    records: int = 0
    size: int = 0  # bytes
    rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Cutting:
    """One run over the log. `worker` is new and `tables` are made and empty."""

    def __init__(
        self,
        run: Run,
        worker: VirtualWorker,
        tables: ShadowTables,
        brake: Brake,
        clock: Clock,
        echo: Callable[[str], None],
    ) -> None:
        self._run, self._worker, self._tables, self._brake = run, worker, tables, brake
        self._clock, self._echo = clock, echo
        self._rows: dict[str, list[Values]] = {}
        self._inserts = 0
        self._figures = Figures()

    def work(self, reader: TopicReader, until: int) -> Figures:
        """Read everything between the run's offsets, and let time go on to `until` (ns) after the last record."""
        started = reported = self._clock.monotonic()
        for record in reader.read(_ranges(self._run.begins, self._run.ends)):
            self._brake.pass_by(_size(record))
            self._worker.feed(record)
            self._take_rows()
            self._figures.records += 1
            self._figures.size += _size(record)
            if self._clock.monotonic() - reported >= _REPORT_EVERY:
                reported = self._clock.monotonic()
                self._report(record.timestamp, reported - started)
        self._worker.pass_time(until)
        self._worker.finish()
        self._take_rows()
        for table in list(self._rows):
            self._insert(table)
        self._figures.seconds = self._clock.monotonic() - started
        return self._figures

    def _take_rows(self) -> None:
        for value in self._worker.take_rollups():
            converted = rollup_rows(value, 0)
            if isinstance(converted, Unreadable):
                raise PermanentError(f"a rollup of our own cannot be read: {converted.reason}: {converted.detail}")
            for table, values in converted:
                if table == ANNOTATIONS:
                    continue  # what judges said does not depend on how sessions are cut
                rows = self._rows.setdefault(table, [])
                rows.append(values)
                if len(rows) >= _INSERT_ROWS:
                    self._insert(table)

    def _insert(self, table: str) -> None:
        rows = self._rows.pop(table)
        self._inserts += 1
        self._tables.insert(self._run, table, rows, self._inserts)
        self._figures.rows[table] = self._figures.rows.get(table, 0) + len(rows)

    def _report(self, timestamp: int, seconds: float) -> None:
        figures = self._figures
        at = datetime.fromtimestamp(timestamp / _SECOND, UTC).isoformat(timespec="seconds")
        rate = figures.size / seconds / 1e6
        self._echo(f"at {at}: {figures.records:,} records, {figures.size / 1e6:,.0f} MB, {rate:.1f} MB/s")


def _ranges(begins: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Range]:
    return {number: Range(begins[number], end) for number, end in ends.items()}


def _size(record: SourceRecord) -> int:
    return len(record.value or b"")
