"""Lists and sessions out of ClickHouse and the live view, whichever of the two has them."""

import pytest

from services.query_api.reader import Page, Reader
from services.shared.model.live import LiveUpdate, Position
from tests.support.clock import ManualClock
from tests.support.live import FakeLiveView, update
from tests.support.rollups import at, turn, usage, window
from tests.support.store import FakeStore


class Setup:
    def __init__(self) -> None:
        self.store, self.live = FakeStore(), FakeLiveView(ManualClock(), 3600)

    @property
    def reader(self) -> Reader:
        """A new one, as for each request."""
        return Reader(self.store, self.live)

    async def names(self, limit: int = 100, *, descending: bool = False) -> list[str]:
        """Everything, page by page."""
        names: list[str] = []
        start: Position | None = None
        while True:
            page = await self.reader.page("p1", start, limit, descending=descending)
            names += [s.key.session_id for s in page.sessions]
            assert len(page.sessions) <= limit
            if page.next is None:
                return names
            start = page.next


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_a_list_has_stored_and_live_sessions_in_the_order_of_first_sight(setup: Setup) -> None:
    setup.store.add(*(window(name, first_seen=seen) for name, seen in [("a", 1), ("c", 3), ("e", 5)]))
    await setup.live.apply([update([window(name, first_seen=seen)]) for name, seen in [("b", 2), ("d", 4), ("f", 6)]])
    for limit in (1, 2, 3, 5, 6, 7):
        assert await setup.names(limit) == list("abcdef"), limit
        assert await setup.names(limit, descending=True) == list("fedcba"), limit


async def test_a_session_in_both_is_listed_once_where_clickhouse_has_it(setup: Setup) -> None:
    setup.store.add(window("a", "w1", first_seen=1), window("b", first_seen=2), window("c", first_seen=3))
    await setup.live.apply([update([window("a", "w2", first_seen=9, version=5)])])
    for limit in (1, 2, 10):
        assert await setup.names(limit) == list("abc")
    page = await setup.reader.page("p1", None, 10, descending=False)
    assert [len(s.windows) for s in page.sessions] == [2, 1, 1]


async def test_pages_stay_stable_while_sessions_grow(setup: Setup) -> None:
    setup.store.add(*(window(f"s{n}", first_seen=n) for n in range(6)))
    first = await setup.reader.page("p1", None, 3, descending=False)
    setup.store.add(window("s0", "w2", first_seen=50, version=7), window("s5", version=9, end=500, first_seen=5))
    await setup.live.apply([update([window("s4", version=8, first_seen=4, is_open=True)])])
    rest = await setup.reader.page("p1", first.next, 10, descending=False)
    assert [s.key.session_id for s in first.sessions + rest.sessions] == [f"s{n}" for n in range(6)]


async def test_a_list_shows_live_values(setup: Setup) -> None:
    setup.store.add(window(version=1, usage=usage(prompt=1)), turn(trace=1))
    await setup.live.apply([update([window(version=2, usage=usage(prompt=5), end=60)], [turn(trace=2, start=50)])])
    (session,) = (await setup.reader.page("p1", None, 10, descending=False)).sessions
    assert session.usage.prompt_tokens == 5
    assert session.ended_at == at(60)
    assert [t.trace_id[-1] for t in session.turns] == ["1", "2"]


async def test_a_session_whose_windows_are_all_gone_is_not_listed(setup: Setup) -> None:
    setup.store.add(window("a", first_seen=1, is_deleted=True), window("b", first_seen=2))
    assert await setup.names() == ["b"]


async def test_more_live_sessions_than_one_read_fetches_are_found_behind_stored_ones(setup: Setup) -> None:
    setup.store.add(*(window(f"s{n:04}", first_seen=0) for n in range(1500)))
    await setup.live.apply([update([window(f"s{n:04}", first_seen=5)]) for n in range(1500)])
    await setup.live.apply([update([window("t", first_seen=6)])])
    page = await setup.reader.page("p1", Position(at(0), "s1495"), 10, descending=False)
    assert [s.key.session_id for s in page.sessions] == ["s1495", "s1496", "s1497", "s1498", "s1499", "t"]


async def test_a_session_id_of_two_projects_is_the_one_with_the_latest_activity(setup: Setup) -> None:
    setup.store.add(window(project="p1", end=10), window(project="p2", end=20))
    await setup.live.apply([update([window(project="p3", end=15)])])
    assert (found := await setup.reader.session("s1", None)) is not None
    assert found.key.project == "p2"
    await setup.live.apply([update([window(project="p1", end=30, version=2)])])
    assert (found := await setup.reader.session("s1", None)) is not None
    assert found.key.project == "p1"
    assert (found := await setup.reader.session("s1", "p3")) is not None
    assert found.key.project == "p3"
    assert await setup.reader.session("s1", "p4") is None
    assert await setup.reader.session("s2", None) is None


async def test_projects_are_the_stored_and_the_live_ones_and_always_default(setup: Setup) -> None:
    assert await setup.reader.projects() == ["default"]
    setup.store.add(window(project="old", first_seen=1), window(project="new", first_seen=2))
    await setup.live.apply([update([window(project="live")]), update([window(project="old")])])
    assert await setup.reader.projects() == ["live", "new", "old", "default"]
    assert await setup.reader.has_project("live")
    assert await setup.reader.has_project("old")
    assert await setup.reader.has_project("default")
    assert not await setup.reader.has_project("nope")


async def test_without_redis_clickhouse_answers_and_the_reader_says_so(setup: Setup) -> None:
    setup.store.add(window(version=1), turn())
    await setup.live.apply([update([window(version=2, end=60)]), update([window("live", project="p2")])])
    setup.live.is_down = True
    reader = setup.reader
    page = await reader.page("p1", None, 10, descending=False)
    assert [s.ended_at for s in page.sessions] == [at(10)]
    assert not reader.is_live
    reader = setup.reader
    assert (found := await reader.session("s1", None)) is not None
    assert (found.ended_at, reader.is_live) == (at(10), False)
    assert await setup.reader.projects() == ["p1", "default"]
    assert not await setup.reader.has_project("p2")


async def test_with_redis_the_reader_says_nothing(setup: Setup) -> None:
    setup.store.add(window())
    reader = setup.reader
    await reader.page("p1", None, 10, descending=False)
    assert reader.is_live


async def test_no_redis_at_all_is_like_one_that_is_away(setup: Setup) -> None:
    setup.store.add(window())
    reader = Reader(setup.store, None)
    page: Page = await reader.page("p1", None, 10, descending=False)
    assert len(page.sessions) == 1
    assert not reader.is_live


async def test_a_session_that_left_the_live_view_is_read_from_clickhouse(setup: Setup) -> None:
    await setup.live.apply([update([window(version=3)], [turn(version=3)])])
    setup.store.add(window(version=3), turn(version=3))
    await setup.live.apply([LiveUpdate("p1", "s1", at(0), removed=(window().window_id,))])
    assert (found := await setup.reader.session("s1", None)) is not None
    assert len(found.turns) == 1
