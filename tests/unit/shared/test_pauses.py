import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from services.shared.pauses import watch_pauses
from services.shared.telemetry import Telemetry
from tests.support.clock import SECOND, ManualClock
from tests.support.eventually import eventually_async


class Watch:
    """The watch over a loop whose clock a test moves."""

    def __init__(self) -> None:
        self.clock, self.telemetry = ManualClock(), Telemetry()

    def sample(self, cause: str, part: str) -> float:
        return self.telemetry.registry.get_sample_value(f"spanloom_pause_seconds_{part}", {"cause": cause}) or 0.0

    async def until(self, look: Callable[[], bool], what: str) -> None:
        async def answer() -> bool:
            return look()

        await eventually_async(answer, within=60.0, what=what, every=0.001)


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.ensure_future(watch_pauses(watch.telemetry, watch.clock))
    await asyncio.sleep(0)
    yield watch
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_tick_that_comes_late_shows_by_how_much() -> None:
    async with watching() as watch:
        watch.clock.advance(SECOND)
        await watch.until(lambda: watch.sample("loop", "count") >= 2, "two ticks")
        assert 0.9 < watch.sample("loop", "sum") < 1.0


async def test_a_long_collection_of_garbage_is_seen_and_a_short_one_is_not() -> None:
    async with watching() as watch:

        def take_long(phase: str, info: dict[str, int]) -> None:
            del info
            if phase == "stop":
                watch.clock.advance(SECOND)

        gc.collect()
        gc.callbacks.insert(0, take_long)
        gc.collect()
        gc.callbacks.remove(take_long)
        await watch.until(lambda: watch.sample("collector", "count") > 0, "a collection")
        assert (watch.sample("collector", "count"), watch.sample("collector", "sum")) == (1, 1)


async def test_a_watch_that_has_ended_hears_no_collections() -> None:
    before = list(gc.callbacks)
    async with watching():
        assert len(gc.callbacks) == len(before) + 1
    assert gc.callbacks == before
