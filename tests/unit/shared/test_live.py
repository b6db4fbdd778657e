"""One contract for the live view in Redis and the one in memory, and what only Redis has."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.shared.errors import TransientError
from services.shared.live import LiveView, lifetime
from services.shared.model.live import LiveUpdate, Position
from services.shared.model.session_key import SessionKey
from tests.support.clock import SECOND, ManualClock
from tests.support.live import FakeLiveView, update
from tests.support.redis import redis_server
from tests.support.rollups import at, turn, usage, window

TTL = 3600
S1 = SessionKey("p1", "s1")
AnyView = LiveView | FakeLiveView


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["redis", "memory"])
async def view(request: pytest.FixtureRequest, redis_url: str, clock: ManualClock) -> AsyncIterator[AnyView]:
    view: AnyView = FakeLiveView(clock, TTL)
    if request.param == "redis":
        view = LiveView(redis_url, clock, TTL, prefix=f"test-{os.urandom(4).hex()}")
    yield view
    await view.close()


async def test_a_session_is_read_back_as_it_was_written(view: AnyView) -> None:
    w = window(
        models=["gpt-4o"],
        usage=usage(prompt=10, completion=3, cost="0.0038975"),
        total_cost_by_model={"gpt-4o": 3_897_500_000},
        turn_latency_buckets={3: 1},
        metadata={"tenant": "acme"},
    )
    t = turn(usage=usage(prompt=10, completion=3, cost="0.0038975"), time_to_first_token_ns=7)
    await view.apply([update([w], [t])])
    live = await view.sessions([S1, SessionKey("p1", "unknown")])
    assert list(live) == [S1]
    assert live[S1].windows == {w.window_id: w}
    assert live[S1].turns == {(t.window_id, t.trace_id): t}


async def test_a_later_update_replaces_what_it_names_and_keeps_the_rest(view: AnyView) -> None:
    await view.apply([update([window()], [turn(trace=1), turn(trace=2)])])
    await view.apply([update([window(version=2)], [turn(trace=2, version=2)])])
    live = (await view.sessions([S1]))[S1]
    assert [w.version for w in live.windows.values()] == [window(version=2).version]
    assert {t.trace_id[-1]: t.version for t in live.turns.values()} == {
        "1": turn(version=1).version,
        "2": turn(version=2).version,
    }


async def test_a_removed_window_is_gone_with_its_turns(view: AnyView) -> None:
    gone, kept = window(window_id="w1"), window(window_id="w2")
    await view.apply([update([gone, kept], [turn(window_id="w1"), turn(window_id="w2", trace=2)])])
    await view.apply([LiveUpdate("p1", "s1", at(0), removed=(gone.window_id,))])
    live = (await view.sessions([S1]))[S1]
    assert list(live.windows) == [kept.window_id]
    assert [window_id for window_id, _ in live.turns] == [kept.window_id]


async def test_a_session_without_windows_is_absent(view: AnyView) -> None:
    await view.apply([update([window()])])
    await view.apply([LiveUpdate("p1", "s1", at(0), removed=(window().window_id,))])
    assert await view.sessions([S1]) == {}


async def test_a_retraction_is_kept_and_hides_the_turns_of_its_window(view: AnyView) -> None:
    await view.apply([update([window(), window(window_id="w2")], [turn()])])
    await view.apply([update([window(version=5, is_deleted=True)])])
    live = (await view.sessions([S1]))[S1]
    assert live.windows[window().window_id].is_deleted
    assert live.turns == {}


async def test_a_window_that_is_removed_and_retracted_stays_as_its_retraction(view: AnyView) -> None:
    absorbed = window(version=5, is_deleted=True)
    await view.apply([update([window(), window(window_id="w2")], [turn()])])
    await view.apply([update([absorbed, window(window_id="w2", version=5)], removed=[absorbed.window_id])])
    live = (await view.sessions([S1]))[S1]
    assert live.windows[absorbed.window_id] == absorbed
    assert live.turns == {}


async def test_updates_of_one_call_apply_in_order(view: AnyView) -> None:
    await view.apply([update([window(version=1)]), update([window(version=2)])])
    assert (await view.sessions([S1]))[S1].windows[window().window_id].version == window(version=2).version


async def test_sessions_are_listed_by_first_sight_and_then_by_id(view: AnyView) -> None:
    names = {"c": 1.0, "a": 2.0, "b": 2.0, "é": 2.0, "z": 0.5}
    await view.apply([update([window(name, first_seen=seen)]) for name, seen in names.items()])
    everything = await view.page("p1", start=None, end=None, limit=10)
    assert [p.session_id for p in everything] == ["z", "c", "a", "b", "é"]
    assert everything[0] == Position(at(0.5), "z")
    assert await view.page("p1", start=None, end=None, limit=10, descending=True) == everything[::-1]
    assert await view.page("p1", start=everything[3], end=None, limit=10) == everything[3:]
    assert await view.page("p1", start=everything[1], end=everything[3], limit=10) == everything[1:4]
    assert await view.page("p1", start=everything[3], end=everything[1], limit=2, descending=True) == [
        everything[3],
        everything[2],
    ]
    assert await view.page("p2", start=None, end=None, limit=10) == []


async def test_more_sessions_of_one_moment_than_one_read_fetches_are_all_listed(view: AnyView) -> None:
    await view.apply([update([window(f"s{number:04}", first_seen=1)]) for number in range(2500)])
    first = await view.page("p1", start=None, end=None, limit=2400)
    rest = await view.page("p1", start=first[-1], end=None, limit=2400)
    assert [p.session_id for p in first + rest[1:]] == [f"s{number:04}" for number in range(2500)]


async def test_the_earliest_first_sight_of_a_session_is_its_place(view: AnyView) -> None:
    await view.apply([update([window(first_seen=1)])])
    await view.apply([update([window(window_id="w2", first_seen=9)])])
    assert await view.page("p1", start=None, end=None, limit=1) == [Position(at(1), "s1")]


async def test_projects_and_the_projects_of_a_session_id_are_known(view: AnyView) -> None:
    await view.apply([update([window(project="p2")]), update([window(project="p1")]), update([window("s2")])])
    assert await view.projects() == ["p1", "p2"]
    assert await view.projects_of("s1") == ["p1", "p2"]
    assert await view.projects_of("s2") == ["p1"]
    assert await view.projects_of("s3") == []


async def test_any_characters_may_be_in_names(view: AnyView) -> None:
    key = SessionKey("a:b/\n", "x/y:\u0000 é")
    w = window(key.session_id, project=key.project)
    await view.apply([update([w], [turn(key.session_id, project=key.project)])])
    live = await view.sessions([key])
    assert live[key].windows == {w.window_id: w}
    assert len(live[key].turns) == 1
    assert await view.projects_of(key.session_id) == [key.project]


async def test_a_session_that_is_not_written_any_more_leaves_the_lists(view: AnyView, clock: ManualClock) -> None:
    await view.apply([update([window("old")]), update([window("else", project="p2")])])
    clock.advance((TTL + 1) * 10**9)
    await view.apply([update([window("new")])])
    assert [p.session_id for p in await view.page("p1", start=None, end=None, limit=10)] == ["new"]
    assert await view.projects() == ["p1"]
    assert await view.projects_of("old") == []


async def test_cleared_means_empty(view: AnyView) -> None:
    await view.apply([update([window()], [turn()])])
    await view.clear()
    assert await view.sessions([S1]) == {}
    assert await view.projects() == []


async def test_every_key_has_a_lifetime(redis_url: str, clock: ManualClock) -> None:
    view = LiveView(redis_url, clock, TTL, prefix="lifetime")
    await view.apply([update([window()], [turn()])])
    redis = Redis.from_url(redis_url)
    keys = [key async for key in redis.scan_iter(match="lifetime:*")]
    assert len(keys) == 6
    for key in keys:
        assert 0 < await redis.ttl(key) <= TTL, key
    await redis.aclose()
    await view.close()


async def test_without_redis_every_call_says_so(tmp_path: Path, clock: ManualClock) -> None:
    view = LiveView(f"unix://{tmp_path}/none.socket", clock, TTL)
    with pytest.raises(TransientError):
        await view.apply([update([window()])])
    with pytest.raises(TransientError):
        await view.sessions([S1])
    with pytest.raises(TransientError):
        await view.page("p1", start=None, end=None, limit=1)
    with pytest.raises(TransientError):
        await view.projects()
    await view.close()


async def test_after_a_failed_write_older_values_of_the_session_do_not_come_back(clock: ManualClock) -> None:
    with redis_server() as url:
        socket = Path(url.removeprefix("unix://"))
        view = LiveView(url, clock, TTL)
        await view.apply([update([window(window_id="w1")], [turn(window_id="w1")])])
        hidden = socket.rename(socket.with_suffix(".hidden"))  # noqa: ASYNC240 - one rename, and nobody waits
        await view.close()
        with pytest.raises(TransientError):  # says that w1 is gone, but nobody hears it
            await view.apply([LiveUpdate("p1", "s1", at(0), removed=(window().window_id,))])
        hidden.rename(socket)
        clock.advance(SECOND)
        await view.apply([update([window(window_id="w2")])])
        assert list((await view.sessions([S1]))[S1].windows) == [window(window_id="w2").window_id]
        await view.close()


def test_the_lifetime_is_longer_than_a_window_is_held() -> None:
    assert lifetime(1800 * 10**9, 3600 * 10**9) == 1800 + 3600 + 600


async def test_updates_that_were_dropped_on_the_way_leave_no_older_values_behind(view: AnyView) -> None:
    await view.apply([update([window(window_id="w1")], [turn(window_id="w1")])])
    view.doubt([LiveUpdate("p1", "s1", at(0), removed=("w1".ljust(16, "0"),))])
    await view.apply([update([window(window_id="w2")])])
    assert list((await view.sessions([S1]))[S1].windows) == [window(window_id="w2").window_id]


async def test_an_outage_of_any_length_is_remembered_in_bounded_memory_and_older_values_do_not_come_back(
    redis_url: str, clock: ManualClock
) -> None:
    view = LiveView(redis_url, clock, TTL, prefix="long")
    await view.apply([update([window(window_id="w1")])])
    view.doubt([LiveUpdate("p1", f"other-{number}", 0) for number in range(150_000)])
    assert not view._unsure, "the names of all sessions are kept"
    await view.apply([update([window("s2")])])
    assert await view.sessions([S1]) == {}
    assert len(await view.sessions([SessionKey("p1", "s2")])) == 1
    await view.close()
