"""The API while its real redis-server is killed, stopped and started again."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from services.query_api.app import build_app
from services.query_api.store import ClickHouseStore
from services.sessionizer.live_feed import LiveFeed
from services.shared.clickhouse import AsyncClickHouse, ClickHouse
from services.shared.clock import SystemClock
from services.shared.live import READ_TIMEOUT, LiveView
from services.shared.telemetry import Telemetry
from tests.support.eventually import eventually_async
from tests.support.live import update
from tests.support.redis import RedisServer
from tests.support.rollups import window
from tests.support.stored_rollups import insert_rollups

OLD, NEW = window(version=1, end=10, is_open=True), window(version=2, end=60, is_open=True)


class Site:
    """ClickHouse has the session's first version, Redis its second one."""

    def __init__(self, clickhouse: ClickHouse, redis: RedisServer) -> None:
        insert_rollups(clickhouse, [OLD])
        clock = SystemClock()
        self.redis, self.telemetry = redis, Telemetry()
        self.reader = LiveView(self.redis.url, clock, 3600, timeout=READ_TIMEOUT)
        self.writer = LiveView(self.redis.url, clock, 3600)
        self._store = AsyncClickHouse(clickhouse)
        app = build_app(ClickHouseStore(self._store), self.reader, self.telemetry, clock)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")

    async def ended_at(self) -> tuple[str, bool]:
        """When the session ended, as the API says, and whether live values are missing."""
        answer = await self.client.get("/v1/sessions/s1")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert ("x-spanloom-live" in answer.headers) == body.get("is_live_missing", False)
        return body["data"]["end_time"], "is_live_missing" in body

    async def until_live(self, expected: str) -> None:
        async def look() -> bool:
            return await self.ended_at() == (expected, False)

        await eventually_async(look, within=60, what="live values again")


@pytest.fixture
async def site(clickhouse: ClickHouse) -> AsyncIterator[Site]:
    with RedisServer() as redis:
        site = Site(clickhouse, redis)
        await site.writer.apply([update([NEW])])
        yield site
        await site.client.aclose()
        await site.reader.close()
        await site.writer.close()


async def test_a_redis_that_is_killed_and_comes_back_empty(site: Site) -> None:
    fresh, missing = await site.ended_at()
    assert not missing
    feed = LiveFeed(site.writer, site.telemetry)
    running = asyncio.ensure_future(feed.run())
    site.redis.kill()
    for _ in range(5):
        stored, missing = await site.ended_at()
        assert missing
        assert stored < fresh
    feed.put([update([NEW])])
    await feed.drained()
    assert site.telemetry.registry.get_sample_value("spanloom_live_errors_total") == 1

    site.redis.start()
    await site.until_live(stored)  # it is empty: the value is ClickHouse's until the session changes

    async def is_fresh_after_a_change() -> bool:
        feed.put([update([NEW])])
        await feed.drained()
        return await site.ended_at() == (fresh, False)

    await eventually_async(is_fresh_after_a_change, within=60, what="the writer goes on")
    running.cancel()


async def test_of_many_requests_to_a_redis_that_hangs_few_wait_for_it(site: Site) -> None:
    fresh, _ = await site.ended_at()
    site.redis.pause()
    begin = time.monotonic()
    took = []
    for _ in range(40):
        started = time.monotonic()
        _, missing = await site.ended_at()
        assert missing
        took.append(time.monotonic() - started)
    waited = sum(seconds >= READ_TIMEOUT for seconds in took)
    # One at first, then one a pause: 0.5 s, 1 s, 2 s.
    assert 1 <= waited <= 2 + (time.monotonic() - begin) / 0.5
    assert max(took) < 3.0
    site.redis.resume()
    await site.until_live(fresh)


async def test_the_first_requests_at_the_same_time_all_wait_no_longer_than_the_timeout(site: Site) -> None:
    site.redis.pause()
    started = time.monotonic()
    answers = await asyncio.gather(*(site.ended_at() for _ in range(20)))
    assert all(missing for _, missing in answers)
    assert time.monotonic() - started < 5.0, "clients give up after five seconds"
    site.redis.resume()
