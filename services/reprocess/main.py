"""`spanloom reprocess`: cuts sessions again from the log, beside the live pipeline, and compares or replaces.

read the log ─► stages ─► shadow tables ─► wait for the live pipeline ─► compare ─► replace
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from services.reprocess.comparison import Comparison, as_json, as_lines, judged
from services.reprocess.cutting import Brake, Cutting
from services.reprocess.live_pipeline import LivePipeline, LiveStates
from services.reprocess.run import Run, check_name
from services.reprocess.sessions import Ends, Pair, pairs
from services.reprocess.shadow_tables import WINDOWS_BY_SESSION, ShadowTables, shadow, windows_in_order
from services.reprocess.swap import Swap
from services.reprocess.virtual_worker import VirtualWorker
from services.sessionizer.pipeline import resolve_definition, route_definition, window_definition
from services.shared.clickhouse import ClickHouse, connect
from services.shared.clock import Clock, SystemClock
from services.shared.errors import SettingsError
from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings
from services.shared.topic_reader import Range, TopicReader
from services.sink.rows import WINDOWS

Echo = Callable[[str], None]

DIFFERENCES = 3
"""Exit code of a comparison that found some."""

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_ROLLUP_INTERVAL = 365 * _DAY  # only windows at their last version matter here
_HISTORY_BEGINS = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: at a time (ns), at offsets by partition, or (neither) where the log begins."""

    time: int | None = None
    offsets: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Tasks:
    """What to do. `start` None: with the tables of an earlier run of this name."""

    name: str
    start: Start | None
    compare: bool = False
    swap: bool = False
    unlike_too: bool = False
    drop: bool = False
    json: bool = False
    examples: int = 20
    max_rate: int | None = None  # bytes a second
    patience: float = 120.0  # seconds


def run(settings: Settings, tasks: Tasks, *, echo: Echo, tell: Echo, clock: Clock | None = None) -> int:
    """Do the tasks in their order. `echo` writes results, `tell` progress. Gives the exit code.

    Raises `SettingsError` for what cannot be done with these settings or arguments, before anything is changed.
    """
    if not settings.kafka_bootstrap or not settings.clickhouse_url:
        raise SettingsError(
            "reprocessing needs SPANLOOM_KAFKA_BOOTSTRAP and SPANLOOM_CLICKHOUSE_URL: embedded mode keeps no log"
        )
    with closing(connect(settings.clickhouse_url, timeout=600.0)) as client:
        return Reprocessing(settings, tasks, client, clock or SystemClock(), echo, tell).work()


class Reprocessing:
    """One call of the command."""

    def __init__(
        self, settings: Settings, tasks: Tasks, client: ClickHouse, clock: Clock, echo: Echo, tell: Echo
    ) -> None:
        self._settings, self._tasks, self._client, self._clock = settings, tasks, client, clock
        self._echo, self._tell = echo, tell
        self._tables = ShadowTables(client, settings.clickhouse_cluster)
        name = f"{settings.app_id}-reprocess"
        self._reader_name = name
        self._live = LivePipeline(settings, clock, name=name, patience=tasks.patience, echo=tell)

    def work(self) -> int:
        """Gives the exit code."""
        name, code = check_name(self._tasks.name), 0
        run = self._tables.run(name) if self._tasks.start is None else self._cut(name, self._tasks.start)
        if self._tasks.compare or self._tasks.swap:
            states = self._live.wait_until_past(run.ends)
            if self._tasks.compare:
                code = self._compare(run, states)
            if self._tasks.swap:
                code = self._swap(run, states)
        if self._tasks.drop:
            self._tables.drop(name)
            self._tell(f"dropped the tables of run {name}")
        return code

    def _cut(self, name: str, start: Start) -> Run:
        with TopicReader(self._settings.kafka_bootstrap, self._settings.spans_topic, name=self._reader_name) as reader:
            session_spans_ends = self._live.session_spans_ends()
            until = self._clock.now()
            whole = reader.all()
            begins = _begins(reader, start, whole)
            ends = {number: each.end for number, each in whole.items()}
            complete_from = self._complete_from(start, begins, whole)
            run = Run(name, self._tables.next_epoch(), begins, ends, complete_from, session_spans_ends)
            self._tables.make(run)
            worker = self._worker(len(whole), run.epoch)
            brake = Brake(self._tasks.max_rate, self._clock)
            cutting = Cutting(run, worker, self._tables, brake, self._clock, self._tell)
            figures = cutting.work(reader, until)
        rate = figures.size / max(figures.seconds, 1e-3) / 1e6
        self._tell(
            f"run {name}: {figures.records:,} records, {figures.size / 1e6:,.1f} MB in {figures.seconds:.1f} s"
            f" ({rate:.1f} MB/s), {figures.rows.get(WINDOWS, 0):,} rows of windows in {shadow(WINDOWS, name)}"
        )
        if complete_from is not None:
            since = datetime.fromtimestamp(complete_from / _SECOND, UTC).isoformat(timespec="seconds")
            self._tell(f"windows that start after {since} are complete; sessions are left as they are before that")
        return run

    def _worker(self, sources: int, epoch: int) -> VirtualWorker:
        """The worker's stages under these settings; one keyed partition does for all traces and sessions."""
        settings = self._settings
        counts = {spec.name: 1 for spec in topic_specs(settings)} | {settings.spans_topic: sources}
        # The limit is that of a partition, and here one is all of them.
        most_waiting = settings.resolve_max_bytes * settings.topic_partitions
        changed = {"snapshot_interval": _ROLLUP_INTERVAL, "resolve_max_bytes": most_waiting}
        settings = settings.model_copy(update=changed)
        stages = [
            route_definition(settings, counts),
            resolve_definition(settings, counts, epoch),
            window_definition(settings, counts, epoch),
        ]
        return VirtualWorker([stage for stage in stages if stage is not None], counts, settings.rollups_topic)

    def _complete_from(self, start: Start, begins: Mapping[int, int], whole: Mapping[int, Range]) -> int | None:
        """From when on the log that is read holds all spans and their silences, however far senders' clocks are ahead.

        None when nothing was ever before the records that are read.
        """
        times = []
        with TopicReader(self._settings.kafka_bootstrap, self._settings.spans_topic, name=self._reader_name) as reader:
            for number, begin in begins.items():
                if begin == _HISTORY_BEGINS:
                    continue
                if start.time is not None and begin > whole[number].begin:
                    times.append(start.time)  # what is before has an earlier timestamp
                    continue
                first = next(reader.read({number: Range(begin, whole[number].end)}), None)
                times.append(first.timestamp if first is not None else self._clock.now())
        gap = max(self._settings.gap, *self._settings.gap_by_project.values(), 0)
        # A trace may have been told its session just before.
        waits = 0 if self._settings.resolve == "off" else self._settings.resolve_timeout
        return max(times) + self._settings.max_future + max(gap, waits) if times else None

    def _sessions(self, run: Run, states: LiveStates, left_out: Counter[str]) -> Iterator[Pair]:
        before = windows_in_order(self._client, WINDOWS_BY_SESSION)
        after = windows_in_order(self._client, shadow(WINDOWS, run.name))
        ends = Ends(states.epoch, run.session_spans_ends)
        return judged(pairs(before, after), ends, run.complete_from, states, left_out)

    def _compare(self, run: Run, states: LiveStates) -> int:
        comparison = Comparison(self._tasks.examples)
        for pair in self._sessions(run, states, comparison.left_out):
            comparison.add(pair)
        if self._tasks.json:
            self._echo(as_json(comparison))
        else:
            for line in as_lines(comparison):
                self._echo(line)
        return DIFFERENCES if comparison.differences else 0

    def _swap(self, run: Run, states: LiveStates) -> int:
        left: Counter[str] = Counter()
        swap = Swap(self._client, run.name, self._tell)
        done = swap.replace(self._sessions(run, states, left), unlike_too=self._tasks.unlike_too)
        for pair in done.unlike:
            counts = [sum(row["span_count"] for row in rows) for rows in (pair.before, pair.after)]
            self._tell(
                f"left {pair.key.project!r} {pair.key.session_id!r}: {counts[0]} spans there, {counts[1]} cut again"
            )
        left["unlike"] = done.unlike_count
        told = ", ".join(f"{count} {why}" for why, count in sorted(left.items()) if count)
        self._tell(
            f"replaced {done.retired} windows of {done.sessions} sessions by {done.added}"
            + (f"; left: {told}" if told else "")
        )
        return 0


def _begins(reader: TopicReader, start: Start, whole: Mapping[int, Range]) -> dict[int, int]:
    if start.time is not None:
        return {number: each.begin for number, each in reader.since(start.time).items()}
    begins = {number: each.begin for number, each in whole.items()}
    for number, offset in (start.offsets or {}).items():
        if number not in whole:
            raise SettingsError(f"there is no partition {number}; there are {len(whole)}")
        if not whole[number].begin <= offset <= whole[number].end:
            raise SettingsError(
                f"partition {number} has offsets from {whole[number].begin} to {whole[number].end}, not {offset}"
            )
        begins[number] = offset
    return begins
