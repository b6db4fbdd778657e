"""What is done to an installation: to its workers, its sink, and the neighbours they depend on."""

from collections.abc import Callable, Sequence
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from tests.support.chaos.crash_points import STAGES, CrashPoint, crash_points
from tests.support.chaos.site import PATIENCE, ChaosSite, ForkedService
from tests.support.chaos.trap import Plan, has_sprung, set_trap

_ATTEMPTS = 5
_UNDER_WAY = 40  # records of a step after which something goes wrong at the latest
_BROKER_FAULTS = 0.3  # share of runs with one

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


def all_is_well() -> End:
    """Nothing happens to any neighbour."""
    return lambda: None


class Faults:
    """Of one run. Each happens when it is called, and is told to `count` by its kind when it has happened."""

    def __init__(self, site: ChaosSite, random: Random, count: Callable[[str], None]) -> None:
        self._site, self._around, self._random, self._count = site, site.around, random, count

    def planned(self, of_workers: int) -> list[tuple[Callable[[], End], Callable[[], None]]]:
        """Steps: what is wrong with a neighbour from its beginning to its end, and what hits the workers meanwhile."""
        workers = [self._kill, self._die_in_checkpoint, self._die_in_take_over, self._sleep_in_checkpoint]
        workers += [self._sleep, self._stop, self._die_in_checkpoint]
        neighbours = [self._clickhouse_down, self._clickhouse_fails, self._clickhouse_slow, self._answers_lost]
        neighbours += [self._redis_down, self._sink_killed]
        chosen = [self._die_in_checkpoint, *self._random.sample(workers, of_workers - 1)]
        if self._random.random() < _BROKER_FAULTS:
            chosen.append(self._random.choice([self._broker_stopped, self._broker_killed]))
        self._random.shuffle(chosen)
        beside = [*self._random.sample(neighbours, len(chosen) // 2)]
        beside += [all_is_well] * (len(chosen) - len(beside))
        self._random.shuffle(beside)
        return list(zip(beside, chosen, strict=True))

    def _pick(self) -> ForkedService:
        self._site.keep()  # nobody picks one that is dead
        return self._random.choice(self._site.workers)

    def _kill(self) -> None:
        """SIGKILL at any moment of the work on what was just sent."""
        self._wait_for_work()
        self._pick().process.kill()
        self._count("SIGKILL")

    def _die_in_checkpoint(self) -> None:
        self._spring(CHECKPOINT, SIGKILL, "SIGKILL in a checkpoint")

    def _sleep_in_checkpoint(self) -> None:
        victim = self._spring(CHECKPOINT, SIGSTOP, "SIGSTOP in a checkpoint")
        self._wake(victim)

    def _die_in_take_over(self) -> None:
        """A worker joins and dies while it takes over, so the next rebalance begins during a recovery."""
        plan = Plan(self._random.choice(STAGES), self._random.choice(TAKE_OVER))
        self._fallen(lambda: self._site.start_worker(plan), plan)
        self._count("SIGKILL in a take-over")

    def _spring(self, points: Sequence[CrashPoint], number: Signals, kind: str) -> ForkedService:
        plan = Plan(self._random.choice(STAGES), self._random.choice(points), number, self._random.randrange(6))

        def chosen() -> ForkedService:
            worker = self._pick()
            set_trap(worker.trap, plan)
            return worker

        victim = self._fallen(chosen, plan)
        self._count(kind)
        return victim

    def _fallen(self, choose: Callable[[], ForkedService], plan: Plan) -> ForkedService:
        """A worker that has come to the point. One that ends before it does, fenced for example, is no such fault."""
        for _ in range(_ATTEMPTS):
            victim = choose()
            if self._falls(victim, plan):
                return victim
        raise AssertionError(f"{_ATTEMPTS} workers ended before they came to: {plan}\n{victim.process.tail()}")

    def _falls(self, victim: ForkedService, plan: Plan) -> bool:
        def look() -> bool:
            return has_sprung(victim.trap) or not victim.process.is_running

        self._site.wait(look, f"{victim.name}: {plan}")
        if plan.signal is SIGKILL:
            victim.process.wait(PATIENCE)
        return has_sprung(victim.trap)

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
        stop(victim)
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
            self._site.wait(lambda: felt() > before, f"the sink feels: {kind}")
            self._around.clickhouse.set_faults()
            self._count(kind)

        return end

    def _redis_down(self) -> End:
        def missed() -> float:
            return sum(worker.metric("spanloom_live_errors_total") for worker in self._site.workers)

        before = missed()
        self._around.redis.kill()

        def end() -> None:
            self._site.wait(lambda: missed() > before, "a worker misses Redis")
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
        """Until some of what is being sent is routed."""
        site = self._site
        wanted = site.sent + self._random.randrange(1, _UNDER_WAY)
        site.wait(lambda: site.routed() >= wanted, f"{wanted} records routed")


def stop(worker: ForkedService) -> None:
    """SIGTERM. Just after a fault of the broker the last checkpoint may fail, which is an end as good as any."""
    status = worker.process.stop(within=PATIENCE)
    has_begun = "metrics and health" in worker.process.log.read_text()
    assert status in (0, 1) or (status == -SIGTERM and not has_begun), f"status {status}\n{worker.process.tail()}"
    assert "a bug ended it" not in worker.process.log.read_text(), worker.process.tail()
