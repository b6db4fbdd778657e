import pytest

from services.sessionizer.partition import BACKLOG_LIMIT, Partition
from services.sessionizer.stage import Moment
from services.shared.telemetry import Telemetry
from tests.support.stages import EchoStage, ManualClock, RecordingWriter, record

MOMENT = Moment(0, caught_up=False)


class Bench:
    """One partition whose flushes take as long as a test says."""

    def __init__(self) -> None:
        self.clock, self.stage = ManualClock(), EchoStage()
        self.seconds = 0.0
        self.stage.while_flushing = lambda: self.clock.advance(self.seconds)
        self.partition = Partition(
            0, "window", self.stage, RecordingWriter(), 0, clock=self.clock, telemetry=Telemetry()
        )

    async def flush(self, backlog: int, seconds: float) -> None:
        self.stage.backlog, self.seconds = backlog, seconds
        await self.partition.checkpoint(MOMENT)

    def is_heavy(self, backlog: int) -> bool:
        self.stage.backlog = backlog
        return self.partition.is_heavy


@pytest.mark.parametrize(
    ("backlog", "seconds", "limit"),
    [
        (BACKLOG_LIMIT, 0.05, BACKLOG_LIMIT),
        (BACKLOG_LIMIT, 0.2, BACKLOG_LIMIT // 2),
        (BACKLOG_LIMIT, 60.0, BACKLOG_LIMIT // 4),
        (1_000, 60.0, BACKLOG_LIMIT),
    ],
    ids=["quick", "slow", "slowest", "nothing to learn from"],
)
async def test_the_slower_a_flush_the_less_waits_for_the_next_one(backlog: int, seconds: float, limit: int) -> None:
    bench = Bench()
    await bench.flush(backlog, seconds)
    assert not bench.is_heavy(limit)
    assert bench.is_heavy(limit + 1)


async def test_a_machine_that_is_quick_again_may_collect_more_again() -> None:
    bench = Bench()
    await bench.flush(BACKLOG_LIMIT, 60.0)
    await bench.flush(BACKLOG_LIMIT // 4, 0.025)
    assert not bench.is_heavy(BACKLOG_LIMIT)


async def test_what_is_below_the_position_was_applied_before() -> None:
    bench = Bench()
    assert bench.partition.fold(record(3))
    assert bench.partition.fold(record(2))
    assert (bench.stage.folded, bench.partition.position) == ([3], 4)
