"""Runs the `resolve` stage through a log as the edge does: checkpoints, crashes, restarts, and what it writes."""

from collections import Counter
from collections.abc import Iterable

from services.sessionizer.engine.resolve import ResolvePolicy
from services.sessionizer.keyed_stage import KeyedStage
from services.sessionizer.resolve_stage import resolve_stage
from services.sessionizer.span_outputs import SessionSpansOutput
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.shared.records import session_spans
from services.shared.records.session_spans import WatermarkRecord
from services.shared.records.trace_spans import (
    BindingGroup,
    TraceGroup,
    TracesRecord,
    WaitingGroup,
    encode_traces,
    encode_watermark,
)
from tests.support.resolve_model import Released
from tests.support.stage_run import compact

PARTITIONS = 3
"""Of `session_spans`."""
SIBLINGS = 2
"""Partitions of `trace_spans`."""
LARGEST = 512 << 10


class ResolveRun:
    """One partition's worker and everything durable around it."""

    def __init__(self, policy: ResolvePolicy, *, swept_traces: int = 2) -> None:
        self.policy, self.swept_traces = policy, swept_traces
        self.epoch = 1
        self.folded: list[InputRecord] = []
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.written: list[Output] = []
        self.flushes_between_slices = False
        self.slices = 0
        self.stage = self._new_stage()
        self.stage.restored()

    def _new_stage(self) -> KeyedStage[bytes]:
        return resolve_stage(
            self.policy,
            SessionSpansOutput("session_spans", PARTITIONS),
            source="trace_spans/1",
            siblings=SIBLINGS,
            epoch=self.epoch,
            swept_traces=self.swept_traces,
        )

    def fold(self, timestamp: int, record: TracesRecord | WatermarkRecord) -> None:
        if isinstance(record, WatermarkRecord):
            value = encode_watermark(record)
        else:
            value = encode_traces((*record.bindings, *record.waiting))
        self.folded.append(InputRecord(len(self.folded), timestamp, None, value))
        self._apply(self.folded[-1])

    def add(self, *groups: TraceGroup, timestamp: int) -> None:
        """One record of these groups."""
        bindings = tuple(group for group in groups if isinstance(group, BindingGroup))
        waiting = tuple(group for group in groups if isinstance(group, WaitingGroup))
        self.fold(timestamp, TracesRecord(bindings, waiting))

    def _apply(self, record: InputRecord) -> None:
        while not self.stage.fold(record):
            self.slices += 1
            if self.flushes_between_slices:
                self.flush()

    def prepare(self, *, drain: bool = False) -> Flush:
        """A flush that is not committed yet."""
        now = self.folded[-1].timestamp if self.folded else 0
        return self.stage.flush(Moment(now=now, caught_up=False, drain=drain))

    def flush(self, *, drain: bool = False) -> list[Output]:
        """Commit; what it wrote."""
        flush = self.prepare(drain=drain)
        for key, value in flush.changes:
            assert len(key) + len(value or b"") < LARGEST
        assert all(len(output.value) <= LARGEST for output in flush.outputs)
        self.changelog += flush.changes
        self.counts += flush.counts
        self.written += flush.outputs
        return list(flush.outputs)

    def crash(self, *, compacted: bool = False) -> None:
        """A new worker takes over: reads the changelog and goes on from the position in it."""
        self.stage = self._new_stage()
        entries = compact(self.changelog) if compacted else self.changelog
        self.stage.restore(entries[: len(entries) // 2])
        self.stage.restore(entries[len(entries) // 2 :])
        for record in self.folded[self.stage.restored() or 0 :]:
            self._apply(record)

    def restart(self) -> None:
        """A clean stop and start of embedded mode: the states in one file, the log anew, the next epoch."""
        self.flush(drain=True)
        entries = list(self.stage.snapshot())
        self.epoch += 1
        self.folded = []
        self.changelog = list(entries)
        self.stage = self._new_stage()
        self.stage.restore(entries)
        assert not self.stage.restored()

    def outcomes(self) -> dict[str, int]:
        """Spans by what became of them, as far as it is committed."""
        return {
            outcome: count
            for (metric, outcome), count in self.counts.items()
            if metric == "spanloom_resolved_spans_total"
        }


def released(outputs: Iterable[Output]) -> list[Released]:
    """The items of all records of spans, in order; each is where it belongs."""
    found: list[Released] = []
    for output in outputs:
        record = session_spans.decode(output.value)
        if isinstance(record, WatermarkRecord):
            continue
        for group in record.groups:
            assert output.partition == group.key.partition(PARTITIONS)
            found += [(group.key, group.record_time, item) for item in group.items]
    return found


def watermarks(outputs: Iterable[Output]) -> list[tuple[int, WatermarkRecord]]:
    """The watermark records, by partition, in order."""
    decoded = ((output.partition, session_spans.decode(output.value)) for output in outputs)
    return [(partition, record) for partition, record in decoded if isinstance(record, WatermarkRecord)]
