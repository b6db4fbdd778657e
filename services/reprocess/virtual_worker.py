"""The worker's stages over a log that is read from its beginning to its end, in one process and in no time.

Kafka is lists here and the clock is the log: a record is folded at its own timestamp, and between records the
stages are asked once a second, as the worker asks them, what time it is in their sources. So watermarks, and with them
windows, come out as they would have if a worker with these settings had been there.
"""

from collections import Counter
from collections.abc import Sequence

from services.sessionizer.pipeline import PartitionCounts, StageDefinition
from services.sessionizer.stage import InputRecord, Moment, Output, Stage
from services.shared.records.source_record import SourceRecord

TICK = 10**9
"""How often stages are asked while records come."""

SILENT_TICK = 5 * 10**9
"""How often they are asked in silence: log time goes on by no more than this from one record to the next."""

_HEAVY = 4 << 20  # bytes of backlog of one stage
_LAST_FLUSH_TICKS = 60


class _Lane:
    """One partition of one stage, and how far its log goes."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.end = 0  # the next offset


class VirtualWorker:
    """`stages` in the order of the flow, the first one reads the source. What reaches `rollups_topic` is the result."""

    def __init__(self, stages: Sequence[StageDefinition], counts: PartitionCounts, rollups_topic: str) -> None:
        source, *later = stages
        self._source_topic, self._rollups_topic = source.topic, rollups_topic
        self._sources = [source.build(number) for number in range(counts[source.topic])]
        self._lanes = {
            stage.topic: [_Lane(stage.build(number)) for number in range(counts[stage.topic])] for stage in later
        }
        self._now: int | None = None
        self._next_tick = 0
        self._has_heard = False
        self._ticks = 0
        self._rollups: list[bytes] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    @property
    def now(self) -> int | None:
        """Virtual time (ns); None before the first record."""
        return self._now

    def feed(self, record: SourceRecord) -> None:
        """The next record of the source, in the order of time over all partitions."""
        if self._now is None:
            self._now, self._next_tick = record.timestamp, record.timestamp + TICK
        self.pass_time(record.timestamp)
        stage = self._sources[record.partition]
        is_whole = stage.fold(InputRecord(record.offset, record.timestamp, record.key, record.value, record.headers))
        assert is_whole, "the first stage has no sweeps"
        self._has_heard = True
        if stage.backlog > _HEAVY:
            self._flush(stage)
            self._flush_heavy()

    def pass_time(self, until: int) -> None:
        """Nothing more comes before `until`. A time that is past already changes nothing."""
        if self._now is None:
            return
        while self._next_tick <= until:
            self._now = max(self._now, self._next_tick)
            self._tick()
            self._next_tick += TICK if self._has_heard else SILENT_TICK
            self._has_heard = False
        self._now = max(self._now, until)

    def finish(self) -> None:
        """The log has ended: every stage hands out all it has, open windows included."""
        if self._now is None:
            return
        for stage in self._sources:
            self._flush(stage, drain=True)
        for lanes in self._lanes.values():
            for lane in lanes:
                self._flush(lane.stage, drain=True)

    def take_rollups(self) -> list[bytes]:
        """Records of the rollups topic since the last call, in their order."""
        rollups, self._rollups = self._rollups, []
        return rollups

    def _tick(self) -> None:
        """Time goes through all stages in the order of the flow; the last one publishes now and then only."""
        for stage in self._sources:
            self._flush(stage)
        *between, last = self._lanes.values()
        for lanes in between:
            for lane in lanes:
                self._flush(lane.stage)
        self._ticks += 1
        if self._ticks % _LAST_FLUSH_TICKS == 0:
            for lane in last:
                self._flush(lane.stage)
        self._flush_heavy()

    def _flush_heavy(self) -> None:
        for lanes in self._lanes.values():
            for lane in lanes:
                if lane.stage.backlog > _HEAVY:
                    self._flush(lane.stage)

    def _flush(self, stage: Stage, *, drain: bool = False) -> None:
        """What a checkpoint would make durable; outputs reach their readers at once."""
        assert self._now is not None
        flush = stage.flush(Moment(self._now, caught_up=True, drain=drain))
        self.counts.update(flush.counts)
        for output in flush.outputs:
            if output.topic == self._rollups_topic:
                self._rollups.append(output.value)
            elif output.topic in self._lanes:
                self._append(self._lanes[output.topic][output.partition], output)
            # else a dead letter: it is one already, and is counted

    def _append(self, lane: _Lane, output: Output) -> None:
        assert self._now is not None
        record = InputRecord(lane.end, self._now, output.key, output.value, output.headers)
        lane.end += 1
        while not lane.stage.fold(record):
            self._flush(lane.stage)
