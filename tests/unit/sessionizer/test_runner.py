import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.sessionizer.partition import Partition
from services.sessionizer.runner import StageRunner
from services.sessionizer.stage import LiveUpdate
from services.shared.kafka import FencedError
from services.shared.telemetry import Telemetry
from tests.support.stages import EchoStage, ManualClock, QueueSource, RecordingWriter, record


class Bench:
    """One runner over fakes. `settle` gives its loop as many turns as it needs to come to rest."""

    def __init__(self) -> None:
        self.clock, self.source, self.telemetry = ManualClock(), QueueSource(), Telemetry()
        self.stages: dict[int, EchoStage] = {}
        self.writers: dict[int, RecordingWriter] = {}
        self.live: list[LiveUpdate] = []
        self.passed: dict[int, int] = {}
        self.hold_loading = asyncio.Event()
        self.hold_loading.set()
        self.runner = StageRunner(
            "route",
            self.source,
            self._take_over,
            checkpoint_interval=1.0,
            live=self.live.extend,
            passed=self.passed.__setitem__,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    async def _take_over(self, number: int) -> Partition:
        await self.hold_loading.wait()
        self.stages[number], self.writers[number] = EchoStage(), RecordingWriter()
        return Partition(
            number, "route", self.stages[number], self.writers[number], 0, clock=self.clock, telemetry=self.telemetry
        )

    async def own(self, *numbers: int) -> None:
        assert await self.runner.take(numbers, kept=set(self.runner.owned) & set(numbers))
        await self.runner.resume()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.ensure_future(self.runner.run())
        yield task
        task.cancel()
        await asyncio.wait({task})

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


async def test_what_was_folded_is_committed_with_its_position_at_the_next_checkpoint() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        await bench.settle()
        bench.source.put({0: [record(0, b"a"), record(1, b"b")]})
        await bench.settle()
        assert bench.writers[0].commits == []
        bench.clock.advance(1.0)
        await bench.settle()
    assert bench.writers[0].commits == [([b"a", b"b"], 2)]
    assert bench.passed == {0: 2}


async def test_a_stage_that_is_behind_commits_a_quarter_as_often() -> None:
    bench = Bench()
    await bench.own(0, 1)
    bench.source.ended = {0}
    commits = bench.writers[0].commits

    async def fold(number: int, offset: int, *, seconds_before: float) -> None:
        bench.clock.advance(seconds_before)
        bench.source.put({number: [record(offset)]})
        await bench.settle()

    async with bench.running():
        await fold(0, 0, seconds_before=10.0)
        assert [position for _, position in commits] == [1]
        await fold(0, 1, seconds_before=3.9)
        assert [position for _, position in commits] == [1]
        await fold(0, 2, seconds_before=0.1)
        assert [position for _, position in commits] == [1, 3]
        bench.source.ended = {1}
        await fold(0, 3, seconds_before=0.9)
        bench.source.ended = {0}  # not both at once, but each since the last checkpoint
        await fold(0, 4, seconds_before=0.1)
    assert [position for _, position in commits] == [1, 3, 5]


async def test_counts_of_a_stage_are_counted_whatever_their_label_says() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        bench.source.put({0: [record(0)]})
        await bench.settle()
        bench.clock.advance(1.0)
        await bench.settle()
    counted = bench.telemetry.registry.get_sample_value
    assert counted("spanloom_unpriced_calls_total", {"model": ""}) == counted("spanloom_windows_expired_total", {}) != 0


async def test_a_heavy_backlog_does_not_wait_for_the_checkpoint() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        await bench.settle()
        bench.source.put({0: [record(0, b"heavy"), record(1, b"b")]})
        await bench.settle()
    assert bench.writers[0].commits == [([b"heavy"], 1)]


async def test_parts_of_a_record_are_committed_with_the_position_at_the_record() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        bench.source.put({0: [record(0, b"a"), record(1, b"long"), record(2, b"b")]})
        await bench.settle()
        bench.clock.advance(1.0)
        await bench.settle()
    assert bench.writers[0].commits == [([b"a", b"part"], 1), ([b"part"], 1), ([b"long", b"b"], 3)]
    assert bench.stages[0].folded == [0, 1, 2]


async def test_a_pause_does_not_wait_for_the_end_of_a_long_record() -> None:
    bench = Bench()
    await bench.own(0, 1)
    folding = asyncio.Event()

    def fold_slowly() -> None:
        bench.clock.advance(0.1)  # longer than a slice, so others get a turn
        folding.set()

    bench.stages[0].while_folding = fold_slowly
    async with bench.running():
        bench.source.put({0: [record(0, b"long")], 1: [record(0)]})
        await folding.wait()
        await bench.runner.pause()
        assert bench.stages[0].folded == bench.stages[1].folded == []
        assert bench.writers[0].commits[-1][1] == 0
        assert not any(stage.moments[-1].caught_up for stage in bench.stages.values())
        await bench.runner.take({0, 1}, kept={0, 1})
        await bench.runner.resume()
        assert bench.source.assigned == {0: 0, 1: 0}


async def test_a_record_below_the_position_is_not_folded_again() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        bench.source.put({0: [record(0), record(1)]})
        await bench.settle()
        bench.source.put({0: [record(1), record(2)]})
        await bench.settle()
    assert bench.stages[0].folded == [0, 1, 2]


async def test_a_process_that_stood_still_asks_anew_where_the_log_ends() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        bench.source.put({0: [record(0)]})
        await bench.settle()
        bench.source.assigned = {}
        bench.clock.advance(1.0)
        await bench.settle()
        assert bench.source.assigned == {}
        bench.clock.advance(6.0)
        await bench.settle()
    assert bench.source.assigned == {0: 1}


async def test_pausing_commits_what_was_folded_and_stops_fetching() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        bench.source.put({0: [record(0)]})
        await bench.settle()
        await bench.runner.pause()
        bench.source.put({0: [record(1)]})
        await bench.settle()
    assert bench.writers[0].commits[-1][1] == 1
    assert bench.source.assigned == {}
    assert bench.stages[0].folded == [0]


async def test_a_kept_partition_goes_on_with_its_state_and_a_lost_one_is_closed() -> None:
    bench = Bench()
    await bench.own(0, 1)
    kept, lost = bench.stages[0], bench.writers[1]
    await bench.runner.pause()
    assert await bench.runner.take({0, 2}, kept={0})
    await bench.runner.resume()
    assert bench.runner.owned[0].stage is kept
    assert lost.stopped
    assert bench.source.assigned == {0: 0, 2: 0}


async def test_a_partition_that_is_not_kept_is_loaded_again() -> None:
    bench = Bench()
    await bench.own(0)
    before = bench.stages[0]
    await bench.runner.pause()
    assert await bench.runner.take({0}, kept=set())
    assert bench.runner.owned[0].stage is not before


async def test_a_runner_is_ready_only_when_its_states_are_read_back() -> None:
    bench = Bench()
    bench.hold_loading.clear()
    owning = asyncio.ensure_future(bench.own(0))
    await bench.settle()
    assert not bench.runner.is_flowing
    bench.hold_loading.set()
    await owning
    assert bench.runner.is_flowing


async def test_a_revoke_while_loading_abandons_the_loads() -> None:
    bench = Bench()
    bench.hold_loading.clear()
    taking = asyncio.ensure_future(bench.runner.take({0}, kept=set()))
    await bench.settle()
    await bench.runner.pause()
    assert await taking is False
    assert bench.runner.owned == {}


async def test_a_drain_while_loading_does_not_wait_for_the_loads() -> None:
    bench = Bench()
    bench.hold_loading.clear()
    taking = asyncio.ensure_future(bench.runner.take({0}, kept=set()))
    await bench.settle()
    assert await bench.runner.drain() == []
    assert await taking is False
    assert bench.source.closed


async def test_a_bug_in_a_stage_ends_the_runner_before_it_commits() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running() as task:
        await bench.settle()
        bench.source.put({0: [record(0, b"broken")]})
        bench.clock.advance(1.0)
        with pytest.raises(ZeroDivisionError):
            await task
    assert bench.writers[0].commits == []


async def test_a_fenced_owner_ends_its_runner() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running() as task:
        await bench.settle()
        bench.writers[0].refuse = FencedError("a newer owner has taken over")
        bench.source.put({0: [record(0)]})
        bench.clock.advance(1.0)
        with pytest.raises(FencedError):
            await task
    assert bench.passed.get(0, 0) == 0


async def test_a_drain_commits_everything_once_and_gives_the_partitions_back() -> None:
    bench = Bench()
    await bench.own(0)
    async with bench.running() as task:
        bench.source.put({0: [record(0, b"a")]})
        await bench.settle()
        partitions = await bench.runner.drain()
        await task
    assert [p.number for p in partitions] == [0]
    assert bench.stages[0].moments[-1].drain
    assert bench.writers[0].commits[-1][1] == 1
    assert bench.writers[0].stopped
    assert bench.source.closed
    assert await bench.runner.drain() == []


async def test_a_resume_that_comes_when_the_partitions_are_being_taken_away_again_starts_nothing() -> None:
    """Two rebalances on each other's heels: the first one's last step comes after the second one's first."""
    bench = Bench()
    await bench.own(0)
    async with bench.running():
        await bench.runner.pause()
        assert await bench.runner.take({0}, kept={0})
        await bench.runner.pause()
        await bench.runner.resume()
        assert bench.source.assigned == {}
        assert await bench.runner.take({1}, kept=())
        await bench.runner.resume()
        bench.source.put({1: [record(0)]})
        await bench.settle()
        assert bench.runner.is_flowing
    assert bench.stages[1].folded == [0]


async def test_a_resume_that_waits_while_the_partitions_are_taken_away_starts_nothing() -> None:
    bench = Bench()
    await bench.own(0)
    await bench.runner.pause()
    assert await bench.runner.take({0}, kept={0})
    async with bench.runner._lock:
        resuming = asyncio.ensure_future(bench.runner.resume())
        await bench.settle()
        pausing = asyncio.ensure_future(bench.runner.pause())
        await bench.settle()
    await asyncio.gather(resuming, pausing)
    assert not bench.runner.is_flowing
    assert bench.source.assigned == {}
