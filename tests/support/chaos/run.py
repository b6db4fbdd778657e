"""One seed: traffic in, faults at random on the way, a verdict at the end.

Which faults, where and in which order follows from the seed; when exactly they hit follows from the machine as well.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from services.sessionizer.engine.policy import Policy
from services.shared.settings import Settings
from tests.support.chaos.crash_points import STAGES, CrashPoint, crash_points
from tests.support.chaos.replay import groups_of_log, judge_states, judge_waiting, names_in, spans_in
from tests.support.chaos.site import (
    GAP,
    LATENESS,
    PARTITIONS,
    ChaosSite,
    ForkedService,
    Surroundings,
)
from tests.support.chaos.trap import Plan, has_sprung
from tests.support.chaos.verdict import (
    SpanName,
    Verdict,
    judge_content,
    judge_route,
    judge_versions,
)
from tests.support.comparison import living
from tests.support.eventually import NotInTimeError, eventually
from tests.support.kafka.log import committed_offset, read_all
from tests.support.otlp import HOUR
from tests.support.reference import reference_windows
from tests.support.rollup_log import rollup_records
from tests.support.traffic import Traffic, make_traffic

SESSIONS, SPANS = 120, 2_400
_BLOCK = 25  # records that come in any order
_BROKER_FAULTS = 0.3  # share of seeds with one
POLICY = Policy(gap=GAP, allowed_lateness=LATENESS)

CHECKPOINT = tuple(p for p in crash_points() if p.coroutine in ("TransactionalWriter.commit", "Partition.checkpoint"))
"""What every owner passes again and again, whatever it has to write."""
TAKE_OVER = tuple(
    point
    for point in crash_points()
    if point.coroutine in ("TransactionalWriter.start", "Worker._take_over", "Worker._position", "committed_position")
    and "partition_counts" not in point.awaited
)
"""What every new owner passes."""

KINDS = (
    *("SIGKILL", "SIGKILL in a checkpoint", "SIGKILL in a take-over", "SIGSTOP", "SIGSTOP in a checkpoint", "SIGTERM"),
    *("broker restart", "broker SIGKILL", "sink SIGKILL", "Redis killed"),
    *("ClickHouse down", "ClickHouse answers 500", "ClickHouse slow", "ClickHouse answer lost"),
)
"""Every kind of fault, as verdicts name them."""

End = Callable[[], None]
"""Ends a fault of a neighbour, once it was felt, and counts it."""


def _all_is_well() -> End:
    return lambda: None


def hush(text: str) -> None:
    """Says nothing."""
    del text


class SeedRun:
    """`run` once."""

    def __init__(
        self, seed: int, folder: Path, around: Surroundings, *, faults: int = 4, say: Callable[[str], None] = hush
    ) -> None:
        self.seed, self.verdict = seed, Verdict()
        self._random = random.Random(seed)
        self._folder, self._around, self._faults = folder, around, faults
        self._name, self._say = f"chaos-{seed}", say
        self._traffic = self._made_traffic()
        self._site: ChaosSite

    def run(self) -> Verdict:
        """Raises where something did not happen that must, a fault included."""
        try:
            return self._run()
        finally:
            self._around.heal()

    def _run(self) -> Verdict:
        with ChaosSite(self._folder, self._name, self._around) as self._site:
            self._site.start()
            steps = self._planned()
            for (neighbour, fault), part in zip(steps, _parts(self._shaken(), len(steps)), strict=True):
                end = neighbour()
                self._site.send(part)
                fault()
                end()
            self._finish()
            with self._around.broker_in_use:
                self._judge()
        happened, planned = self.verdict.faults.total(), sum(2 - (n is _all_is_well) for n, _ in steps)
        assert happened == planned, f"{planned} faults were planned: {self.verdict.line()}"
        return self.verdict

    # What is sent

    def _made_traffic(self) -> Traffic:
        """Three hours that ended three hours ago: every window is over as soon as all is read."""
        begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the broker's clock is this one
        return make_traffic(
            seed=self.seed,
            sessions=SESSIONS,
            spans=SPANS,
            begin=begin,
            length=3 * HOUR,
            gap=GAP,
            largest_batch=20,
            is_scattered=True,
        )

    def _shaken(self) -> list[bytes]:
        """The records of the traffic, some sent again later, neighbours in any order."""
        records = list(self._traffic.records)
        self.verdict.again = len(records) // 10
        for record in self._random.sample(records, self.verdict.again):
            records.insert(self._random.randrange(len(records)), record)
        mixed: list[bytes] = []
        for start in range(0, len(records), _BLOCK):
            block = records[start : start + _BLOCK]
            mixed += self._random.sample(block, len(block))
        return mixed

    # What goes wrong

    def _planned(self) -> list[tuple[Callable[[], End], Callable[[], None]]]:
        """Steps: what is wrong with a neighbour from its beginning to its end, and what hits the workers meanwhile."""
        workers = [self._kill, self._die_in_checkpoint, self._die_in_take_over, self._sleep_in_checkpoint]
        workers += [self._sleep, self._stop, self._die_in_checkpoint]
        neighbours = [self._clickhouse_down, self._clickhouse_fails, self._clickhouse_slow, self._answers_lost]
        neighbours += [self._redis_down, self._sink_killed]
        chosen = [self._die_in_checkpoint, *self._random.sample(workers, self._faults - 1)]
        if self._random.random() < _BROKER_FAULTS:
            chosen.append(self._random.choice([self._broker_stopped, self._broker_killed]))
        self._random.shuffle(chosen)
        beside = [*self._random.sample(neighbours, len(chosen) // 2)]
        beside += [_all_is_well] * (len(chosen) - len(beside))
        self._random.shuffle(beside)
        return list(zip(beside, chosen, strict=True))

    def _count(self, kind: str) -> None:
        assert kind in KINDS, kind
        self.verdict.faults[kind] += 1
        self._say(f"  {kind}")

    def _pick(self) -> ForkedService:
        return self._random.choice(self._site.workers)

    def _kill(self) -> None:
        """SIGKILL at any moment of the work on what was just sent."""
        self._wait_for_work()
        self._pick().process.signal(SIGKILL)
        self._count("SIGKILL")

    def _die_in_checkpoint(self) -> None:
        self._spring(CHECKPOINT, SIGKILL, "SIGKILL in a checkpoint")

    def _sleep_in_checkpoint(self) -> None:
        victim = self._spring(CHECKPOINT, SIGSTOP, "SIGSTOP in a checkpoint")
        self._wake(victim)

    def _die_in_take_over(self) -> None:
        """A worker joins and dies while it takes over, so the next rebalance begins during a recovery."""
        plan = Plan(self._random.choice(STAGES), self._random.choice(TAKE_OVER))
        joining = self._site.start_worker(plan)
        self._await_trap(joining, plan)
        self._count("SIGKILL in a take-over")

    def _spring(self, points: Sequence[CrashPoint], number: Signals, kind: str) -> ForkedService:
        plan = Plan(self._random.choice(STAGES), self._random.choice(points), number, self._random.randrange(6))
        victim = self._pick()
        self._site.set_trap(victim, plan)
        self._await_trap(victim, plan)
        self._count(kind)
        return victim

    def _await_trap(self, victim: ForkedService, plan: Plan) -> None:
        self._site.wait(lambda: has_sprung(victim.trap), within=60.0, what=f"{victim.name}: {plan}")

    def _sleep(self) -> None:
        self._wait_for_work()
        victim = self._pick()
        victim.process.signal(SIGSTOP)
        self._wake(victim)
        self._count("SIGSTOP")

    def _wake(self, victim: ForkedService) -> None:
        """Once others own everything that it believes to own."""
        self._site.wait_until_owned(without=victim)
        victim.process.signal(SIGCONT)

    def _stop(self) -> None:
        self._wait_for_work()
        victim = self._pick()
        self._site.workers.remove(victim)
        _stop(victim)
        self._site.start_worker()
        self._count("SIGTERM")

    def _clickhouse_down(self) -> End:
        return self._clickhouse("ClickHouse down", down=True)

    def _clickhouse_fails(self) -> End:
        return self._clickhouse("ClickHouse answers 500", status=500)

    def _clickhouse_slow(self) -> End:
        return self._clickhouse("ClickHouse slow", delay=1.5)

    def _answers_lost(self) -> End:
        return self._clickhouse("ClickHouse answer lost", lose_answers=1)

    def _clickhouse(self, kind: str, **faults: object) -> End:
        """It is over when the sink has felt it."""
        # The client tries again by itself where an answer is lost, and a slow one is no error: an insert will do.
        is_error = "down" in faults or "status" in faults
        metric = "spanloom_sink_errors_total" if is_error else "spanloom_sink_rows_total"

        def felt() -> float:
            return sum(value for (name, *_), value in self._site.sink.metrics().items() if name == metric)

        before = felt()
        self._around.clickhouse.set_faults(**faults)

        def end() -> None:
            self._site.wait(lambda: felt() > before, within=60.0, what=f"the sink feels: {kind}")
            self._around.clickhouse.set_faults()
            self._count(kind)

        return end

    def _redis_down(self) -> End:
        def missed() -> float:
            return sum(worker.metric("spanloom_live_errors_total") for worker in self._site.workers)

        before = missed()
        self._around.redis.kill()

        def end() -> None:
            self._site.wait(lambda: missed() > before, within=60.0, what="a worker misses Redis")
            self._around.redis.start()
            self._count("Redis killed")

        return end

    def _sink_killed(self) -> End:
        self._site.sink.process.kill()

        def end() -> None:
            self._site.start_sink()
            self._count("sink SIGKILL")

        return end

    def _broker_stopped(self) -> None:
        self._wait_for_work()
        with self._around.broker_in_use:
            self._around.kafka.stop()
            self._around.kafka.start()
        self._count("broker restart")

    def _broker_killed(self) -> None:
        self._wait_for_work()
        with self._around.broker_in_use:
            self._around.kafka.kill()
            self._around.kafka.start()
        self._count("broker SIGKILL")

    def _wait_for_work(self) -> None:
        """Until some of what was sent is routed."""
        site = self._site
        wanted = site.sent - self._random.randrange(1, 100)
        site.wait(lambda: site.routed() >= wanted, within=90.0, what=f"{wanted} records routed")

    # What became of it

    def _finish(self) -> None:
        """Until all windows are closed; if they never are, the verdict says what is missing. Then everybody stops."""
        site = self._site

        def look() -> bool:
            (row,) = site.store.query(
                "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open"
                " FROM session_windows FINAL WHERE is_deleted = 0"
            )
            return (row["spans"], row["open"]) == (self._traffic.spans, 0)

        try:
            site.wait(look, within=90.0, what="all windows closed")
        except NotInTimeError as error:
            self.verdict.findings.append(str(error))
        for worker in site.workers:
            worker.process.signal(SIGCONT)
            _stop(worker)

    def _judge(self) -> None:
        site, verdict = self._site, self.verdict
        kafka, topic = site.installation.bootstrap, site.installation.rollups_topic
        rollup_log = read_all(kafka, topic, PARTITIONS)
        ends = {record.partition: record.offset for record in rollup_log}

        def stored() -> bool:
            group = f"{site.name}-rollup-sink"
            return all((committed_offset(kafka, group, topic, n) or 0) > end for n, end in ends.items())

        eventually(stored, within=60.0, what="the sink has stored all rollups")
        assert site.sink.process.stop(within=30.0) == 0
        windows = site.store.query("SELECT * FROM session_windows")
        turns = site.store.query("SELECT * FROM session_turns")
        judge_content(verdict, reference_windows(self._traffic.groups(), POLICY), windows, turns)
        settings = Settings.model_validate(site.settings)
        log = read_all(kafka, settings.session_spans_topic, PARTITIONS)
        judge_route(verdict, self._sent_spans(), spans_in(groups_of_log(log)))
        judge_versions(verdict, rollup_records(kafka, topic, PARTITIONS))
        if not verdict.findings:
            by_id = {row["window_id"]: row for row in living(windows, ("window_id",))}
            judge_states(verdict, settings, log, self._traffic.facts, by_id)
            judge_waiting(verdict, settings, read_all(kafka, settings.trace_spans_topic, PARTITIONS))

    def _sent_spans(self) -> Counter[SpanName]:
        """Copies of each span with a session, as they stand in the spans topic."""
        installation = self._site.installation
        records = read_all(installation.bootstrap, installation.spans_topic, PARTITIONS)
        missing = Counter(self._traffic.records) - Counter(record.value or b"" for record in records)
        assert not missing, "acknowledged records are not in Kafka"
        keys = {(span.trace_id, span.span_id): key for key, span in self._traffic.facts}
        names = (name for record in records for name in names_in(record.value or b""))
        return Counter((keys[name], *name) for name in names if name in keys)


def _stop(worker: ForkedService) -> None:
    """SIGTERM. Just after a fault of the broker the last checkpoint may fail, which is an end as good as any."""
    status = worker.process.stop(within=60.0)
    has_begun = "metrics and health" in worker.process.log.read_text()
    assert status in (0, 1) or (status == -SIGTERM and not has_begun), f"status {status}\n{worker.process.tail()}"
    assert "a bug ended it" not in worker.process.log.read_text(), worker.process.tail()


def _parts(records: list[bytes], count: int) -> list[list[bytes]]:
    size = -(-len(records) // count)
    return [records[start : start + size] for start in range(0, count * size, size)]
