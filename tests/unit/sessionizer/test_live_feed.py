import asyncio
from collections.abc import Sequence

from services.sessionizer.live_feed import LiveFeed
from services.sessionizer.stage import LiveUpdate
from services.shared.errors import TransientError
from services.shared.telemetry import Telemetry

UPDATE = LiveUpdate("shop", "s-1", 0)


class Redis:
    """Takes updates while `answers`, else refuses them; `held` keeps it from answering at all."""

    def __init__(self) -> None:
        self.taken: list[LiveUpdate] = []
        self.doubted: list[LiveUpdate] = []
        self.answers = True
        self.held = asyncio.Event()
        self.held.set()

    async def apply(self, updates: Sequence[LiveUpdate]) -> None:
        await self.held.wait()
        if not self.answers:
            raise TransientError("no answer")
        self.taken += updates

    def doubt(self, updates: Sequence[LiveUpdate]) -> None:
        self.doubted += updates


def errors(telemetry: Telemetry) -> float:
    return telemetry.registry.get_sample_value("spanloom_live_errors_total") or 0.0


async def test_updates_arrive_in_order() -> None:
    redis, telemetry = Redis(), Telemetry()
    feed = LiveFeed(redis, telemetry)
    running = asyncio.ensure_future(feed.run())
    other = LiveUpdate("shop", "s-2", 0)
    feed.put([UPDATE])
    feed.put([other])
    await feed.drained()
    running.cancel()
    assert redis.taken == [UPDATE, other]
    assert errors(telemetry) == 0


async def test_updates_that_redis_refuses_are_counted_and_the_next_ones_are_tried() -> None:
    redis, telemetry = Redis(), Telemetry()
    feed = LiveFeed(redis, telemetry)
    running = asyncio.ensure_future(feed.run())
    redis.answers = False
    feed.put([UPDATE, UPDATE])
    await feed.drained()
    redis.answers = True
    feed.put([UPDATE])
    await feed.drained()
    running.cancel()
    assert redis.taken == [UPDATE]
    assert errors(telemetry) == 2


async def test_a_redis_that_hangs_costs_a_bounded_number_of_updates_in_memory() -> None:
    redis, telemetry = Redis(), Telemetry()
    redis.held.clear()
    feed = LiveFeed(redis, telemetry)
    for _ in range(1_000):
        feed.put([UPDATE])
    kept = 1_000 - errors(telemetry)
    assert 0 < kept < 100
    assert len(redis.doubted) == errors(telemetry), "the writer must hear which updates never come"


async def test_a_redis_that_hangs_costs_a_bounded_number_of_bytes_in_memory() -> None:
    redis, telemetry = Redis(), Telemetry()
    redis.held.clear()
    feed = LiveFeed(redis, telemetry)
    large = LiveUpdate("shop", "s-1", 0, windows={"w": bytes(1 << 20)})
    for _ in range(100):
        feed.put([large])
    kept = 100 - errors(telemetry)
    assert 0 < kept <= 8


async def test_a_batch_larger_than_the_limit_is_handed_over_when_nothing_else_waits() -> None:
    redis, telemetry = Redis(), Telemetry()
    feed = LiveFeed(redis, telemetry)
    huge = LiveUpdate("shop", "s-1", 0, windows={"w": bytes(20 << 20)})
    running = asyncio.ensure_future(feed.run())
    feed.put([huge])
    await feed.drained()
    running.cancel()
    assert redis.taken == [huge]
