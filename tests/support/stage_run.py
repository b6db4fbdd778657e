"""Runs the `window` stage through a log as the edge does: checkpoints, crashes, restarts, what readers see."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import orjson

from services.sessionizer.engine.policy import Policy
from services.sessionizer.keyed_stage import KeyedStage
from services.sessionizer.stage import Flush, InputRecord, Moment, Output, Stage
from services.sessionizer.window_stage import SWEPT_WINDOWS, window_stage
from services.shared.model.live import LiveUpdate
from services.shared.model.session_key import SessionKey
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, encode_spans, encode_watermark
from tests.support.streams import MAX_IDENTITIES, Fate

Row = dict[str, Any]

TOPIC = "rollups"
PARTITIONS = 3
MAX_RECORD_BYTES = 512_000


@dataclass
class Published:
    """The rows of some output records, in order."""

    windows: list[Row] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    annotations: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, outputs: Iterable[Output]) -> "Published":
        rows = cls()
        for output in outputs:
            assert len(output.value) < MAX_RECORD_BYTES
            assert output.topic == TOPIC
            assert 0 <= output.partition < PARTITIONS
            decoded = complete(rollups.decode(output.value))
            assert output.key == SessionKey(decoded["project"], decoded["session_id"]).encode()
            rows.turns += decoded.pop("turns", [])
            rows.annotations += decoded.pop("annotations", [])
            if decoded["type"] == "window":
                rows.windows.append(decoded)
        return rows


@dataclass
class Tables:
    """What ClickHouse holds: upserts by version. `contents` proves that one version has one content."""

    windows: dict[str, Row] = field(default_factory=dict)
    turns: dict[tuple[str, str], Row] = field(default_factory=dict)
    contents: dict[tuple[str, ...], Row] = field(default_factory=dict)

    def apply(self, published: Published) -> None:
        for row in published.windows:
            self._check((row["window_id"], str(row["version"])), without_duplicates(row))
            known = self.windows.get(row["window_id"])
            if known is None or known["version"] <= row["version"]:
                self.windows[row["window_id"]] = row
        for row in published.turns:
            self._check((row["window_id"], row["trace_id"], str(row["version"])), row)
            name = row["window_id"], row["trace_id"]
            if name not in self.turns or self.turns[name]["version"] <= row["version"]:
                self.turns[name] = row

    def _check(self, name: tuple[str, ...], row: Row) -> None:
        assert self.contents.setdefault(name, row) == row, f"two contents of {name}"

    def living_windows(self) -> dict[str, Row]:
        """Windows that are not retracted, the counter of duplicates apart."""
        return {name: without_duplicates(row) for name, row in self.windows.items() if not row["is_deleted"]}

    def living_turns(self) -> dict[tuple[str, str], Row]:
        return {name: row for name, row in self.turns.items() if not row["is_deleted"]}


@dataclass
class LiveView:
    """What Redis holds when the updates are applied in order."""

    windows: dict[str, Row] = field(default_factory=dict)
    turns: dict[tuple[str, str], Row] = field(default_factory=dict)

    def apply(self, updates: Iterable[LiveUpdate]) -> None:
        for update in updates:
            gone = {*update.removed}
            for window_id, value in update.windows.items():
                row = complete(orjson.loads(value))
                assert (row["window_id"], row["project"], row["session_id"]) == (
                    window_id,
                    update.project,
                    update.session_id,
                )
                self.windows[window_id] = row
                if row["is_deleted"]:
                    gone.add(window_id)
            for name, value in update.turns.items():
                window_id, _, trace_id = name.partition("/")
                of_window = {**self.windows[window_id], "turns": [orjson.loads(value)]}
                [self.turns[window_id, trace_id]] = complete(of_window)["turns"]
            self.windows = {name: row for name, row in self.windows.items() if name not in gone}
            self.turns = {name: row for name, row in self.turns.items() if name[0] not in gone}


def without_duplicates(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "duplicate_span_count"}


class StageRun:
    """One partition's worker and everything durable around it."""

    def __init__(
        self,
        policy: Policy,
        *,
        max_identities: int = MAX_IDENTITIES,
        swept_windows: int = SWEPT_WINDOWS,
        between_slices: Iterator[Fate] | None = None,
        is_watched: bool = True,
    ) -> None:
        self.policy = policy
        self.max_identities = max_identities
        self.swept_windows = swept_windows
        self.is_watched = is_watched
        self.between_slices = between_slices or repeat(Fate.NOTHING)
        self.epoch = 1
        self.tables = Tables()
        self.live = LiveView()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.folded: list[InputRecord] = []
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.position = 0  # where the stage began
        self.stage = self._new_stage()
        self.stage.restored()

    def _new_stage(self) -> KeyedStage[Any]:
        return window_stage(
            self.policy,
            partition=0,
            rollups_topic=TOPIC,
            rollups_partitions=PARTITIONS,
            epoch=self.epoch,
            is_watched=self.is_watched,
            max_identities=self.max_identities,
            swept_windows=self.swept_windows,
        )

    def fold(self, timestamp: int, record: SpansRecord | WatermarkRecord) -> int:
        """Returns the offset of the record."""
        value = encode_spans(record.groups) if isinstance(record, SpansRecord) else encode_watermark(record)
        kafka_record = InputRecord(offset=len(self.folded), timestamp=timestamp, key=None, value=value)
        self.folded.append(kafka_record)
        while not self.stage.fold(kafka_record):
            self.befall(next(self.between_slices))
        return kafka_record.offset

    def prepare(self, *, drain: bool = False) -> Flush:
        """A flush that is not committed yet."""
        now = self.folded[-1].timestamp if self.folded else 0
        return self.stage.flush(Moment(now=now, caught_up=False, drain=drain))

    def commit(self, flush: Flush) -> Published:
        for key, value in flush.changes:
            assert len(key) + len(value or b"") < MAX_RECORD_BYTES
        self.changelog += flush.changes
        self.counts += flush.counts
        published = Published.of(flush.outputs)
        self.tables.apply(published)
        self.live.apply(flush.live)
        return published

    def flush(self, *, drain: bool = False) -> Published:
        return self.commit(self.prepare(drain=drain))

    def befall(self, fate: Fate) -> None:
        """Let the fate happen between two slices of a record."""
        assert fate not in (Fate.DRAIN, Fate.RESTART), "embedded mode stops between records"
        if fate is Fate.FLUSH:
            self.flush()
        elif fate is not Fate.NOTHING:
            if fate is Fate.LOSE_FLUSH:
                self.prepare()
            self._take_over(compacted=False)
            for record in self.folded[self.position : -1]:
                fold(self.stage, record)

    def crash(self, *, compacted: bool = False) -> None:
        """A new worker takes over: reads the changelog and goes on from the position in it."""
        self._take_over(compacted=compacted)
        for record in self.folded[self.position :]:
            fold(self.stage, record)

    def _take_over(self, *, compacted: bool) -> None:
        self.stage = self._new_stage()
        entries = compact(self.changelog) if compacted else self.changelog
        self.stage.restore(entries[: len(entries) // 2])
        self.stage.restore(entries[len(entries) // 2 :])
        self.position = self.stage.restored() or 0

    def restart(self, policy: Policy) -> Published:
        """A clean stop and start of embedded mode: the state in one file, the log anew, the next epoch."""
        published = self.flush(drain=True)
        entries = list(self.stage.snapshot())
        for key, value in entries:
            assert len(key) + len(value) < MAX_RECORD_BYTES
        self.epoch += 1
        self.policy = policy
        self.folded = []
        self.changelog = list(entries)
        self.stage = self._new_stage()
        self.stage.restore(entries)
        assert not self.stage.restored()
        return published


def fold(stage: Stage, record: InputRecord) -> None:
    """All of a record, whatever it takes."""
    while not stage.fold(record):
        pass


def compact(entries: Iterable[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    """What log compaction leaves: of each key the last record, in the order of the log, tombstones gone."""
    last: dict[bytes, bytes | None] = {}
    for key, value in entries:
        last.pop(key, None)
        last[key] = value
    return [(key, value) for key, value in last.items() if value is not None]


def run(stage_run: StageRun, fate: Fate, later: Policy) -> Published | None:
    """Let the fate happen; the rows that a flush committed, if there was one. A restart is with policy `later`."""
    match fate:
        case Fate.NOTHING:
            return None
        case Fate.FLUSH | Fate.DRAIN:
            return stage_run.flush(drain=fate is Fate.DRAIN)
        case Fate.CRASH:
            stage_run.crash(compacted=len(stage_run.folded) % 2 == 0)
            return None
        case Fate.LOSE_FLUSH:
            stage_run.prepare()
            stage_run.crash(compacted=len(stage_run.folded) % 2 == 1)
            return None
        case Fate.RESTART:
            return stage_run.restart(later)
