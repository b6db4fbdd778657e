"""One owned input partition: its stage, the right to write, and its position.

Each checkpoint is one Kafka transaction of the partition's own producer: outputs, changed
states, the meta record and the input offset become visible together or not at all. Starting
that producer fences every older owner, so it happens before anything is read
(decisions/0002-one-transaction-per-partition.md).
"""

import asyncio

from services.sessionizer.stage import Flush, InputRecord, Moment, Stage
from services.shared.clock import Clock
from services.shared.kafka import PartitionWriter
from services.shared.telemetry import METRICS, Telemetry

_OF_A_PARTITION = (
    *("spanloom_open_windows", "spanloom_held_windows"),
    *("spanloom_waiting_spans", "spanloom_waiting_bytes", "spanloom_bound_traces"),
)
"""Gauges that a stage alone has: their only label is the partition."""

BACKLOG_LIMIT = 32 << 20
"""Bytes waiting for a checkpoint above which it comes early, so that memory stays bounded."""


class Partition:
    """Used by one task at a time. `position` is the next offset to fold."""

    def __init__(
        self,
        number: int,
        stage_name: str,
        stage: Stage,
        writer: PartitionWriter,
        position: int,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.number, self.stage, self.position = number, stage, position
        self._stage_name, self._writer, self._clock, self._telemetry = stage_name, writer, clock, telemetry
        self._committed = position
        self._checkpointed = clock.monotonic()

    def fold(self, record: InputRecord) -> bool:
        """Apply the next record. One below the position was applied before and changes nothing.

        False: only a part of it is applied (`Stage.fold`); call again with the same record.
        """
        if record.offset < self.position:
            return True
        if not self.stage.fold(record):
            return False
        self.position = record.offset + 1
        return True

    @property
    def is_heavy(self) -> bool:
        """Whether so much waits for the checkpoint that it must not wait for its time."""
        return self.stage.backlog > BACKLOG_LIMIT

    async def checkpoint(self, moment: Moment, turns: asyncio.Lock) -> Flush:
        """Make everything since the last checkpoint durable. Any failure raises and is final for this owner.

        `turns` is of all that share a thread: one flush is made at a time, while the ones before are being written.
        """
        async with turns:
            started, position = self._clock.monotonic(), self.position
            is_prepared = False
            while not is_prepared:
                is_prepared = self.stage.prepare(moment)
                await asyncio.sleep(0)  # others get a turn
            flush = self.stage.flush(moment)
        if not flush.is_empty or position != self._committed:
            await self._writer.commit(flush.outputs, flush.changes, position)
            self._committed = position
            self._telemetry.observe("spanloom_checkpoint_seconds", self._clock.monotonic() - started, self._stage_name)
            for kind, records in (("output", flush.outputs), ("change", flush.changes)):
                self._telemetry.count("spanloom_checkpoint_records_total", self._stage_name, kind, by=len(records))
        self._checkpointed = self._clock.monotonic()
        for (metric, label), increment in flush.counts.items():
            self._telemetry.count(metric, *([label] if METRICS[metric].labels else []), by=increment)
        return flush

    def report(self) -> None:
        """Set the gauges of this partition."""
        number = str(self.number)
        age = self._clock.monotonic() - self._checkpointed
        self._telemetry.set("spanloom_checkpoint_age_seconds", age, self._stage_name, number)
        gauges = self.stage.gauges
        for name in _OF_A_PARTITION:
            if name in gauges:
                self._telemetry.set(name, gauges[name], number)
        if (watermark := gauges.get("spanloom_watermark_seconds")) is not None:
            self._telemetry.set("spanloom_watermark_seconds", watermark, self._stage_name, number)
            lag = self._clock.now() / 1e9 - watermark
            self._telemetry.set("spanloom_watermark_lag_seconds", lag, self._stage_name, number)

    async def close(self) -> None:
        """Give up the right to write. What was not committed is forgotten."""
        await self._writer.stop()
        number = str(self.number)
        gauges = self.stage.gauges
        self._telemetry.remove("spanloom_checkpoint_age_seconds", self._stage_name, number)
        for name in _OF_A_PARTITION:
            if name in gauges:
                self._telemetry.remove(name, number)
        if "spanloom_watermark_seconds" in gauges:
            for name in ("spanloom_watermark_seconds", "spanloom_watermark_lag_seconds"):
                self._telemetry.remove(name, self._stage_name, number)
