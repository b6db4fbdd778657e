"""One contract for what the API reads: ClickHouse in the process and over HTTP, and the fake of the unit tests."""

from collections.abc import AsyncIterator, Callable

import pytest

from services.query_api.session import merge_session
from services.query_api.store import ClickHouseStore, Store
from services.shared.clickhouse import AsyncClickHouse, ClickHouse, connect
from services.shared.errors import TransientError
from services.shared.model.live import Position
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.records.rollup_fields import picodollars
from tests.support.ports import free_ports
from tests.support.rollups import at, turn, usage, window
from tests.support.store import FakeStore
from tests.support.stored_rollups import insert_rollups, remove_rollups

Add = Callable[..., None]
_SAME_NAMES = (
    *("first_seen_at", "active_ns", "user_ids", "environment", "service_names", "agent_names", "models", "tags"),
    *("session_attributes", "metadata", "turn_count", "error_turn_count", "span_count", "tool_call_count"),
    *("error_count", "late_span_count", "duplicate_span_count", "total_tokens_by_model"),
    *("first_input", "last_output", "last_error"),
)


@pytest.fixture(params=["engine", "server", "memory"])
async def stored(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, Add]]:
    if request.param == "memory":
        fake = FakeStore()
        yield fake, fake.add
        return
    client: ClickHouse = request.getfixturevalue(request.param)
    remove_rollups(client)

    def add(*rollups: WindowRollup | TurnRollup) -> None:
        for rollup in rollups:  # one insert each: versions meet in the table, not in a batch
            insert_rollups(client, [rollup])

    yield ClickHouseStore(AsyncClickHouse(client)), add


async def test_windows_come_back_as_they_were_published(stored: tuple[Store, Add]) -> None:
    store, add = stored
    whole = window(
        user_ids=["ann", "bob"],
        environment="production",
        environment_at=at(3),
        service_names=["api"],
        agent_names=["router"],
        models=["gpt-4o"],
        tags=["a'b", "c\\d", "é\n"],
        session_attributes={"session.type": "chat"},
        session_attributes_at={"session.type": at(2)},
        metadata={"tenant": "acme"},
        metadata_at={"tenant": at(1)},
        usage=usage(prompt=10, completion=3, cost="123456789012345.000000000001", cache_read_tokens=4),
        total_tokens_by_model={"gpt-4o": 13},
        prompt_tokens_by_model={"gpt-4o": 10},
        completion_tokens_by_model={"gpt-4o": 3},
        total_cost_by_model={"gpt-4o": 3_897_500_000},
        prompt_cost_by_model={"gpt-4o": 3_000_000_000},
        completion_cost_by_model={"gpt-4o": 897_500_000},
        turn_latency_p50_ns=5,
        turn_latency_buckets={1000: 2, 63: 1},
        first_input="hi",
        first_input_at=at(0) + 7,
        last_output="bye",
        last_output_at=at(9),
        last_error="boom",
        last_error_at=at(8),
        is_late=True,
        duplicate_span_count=2,
    )
    add(whole)
    assert await store.windows(["s1"]) == [whole]


async def test_turns_come_back_as_they_were_published(stored: tuple[Store, Add]) -> None:
    store, add = stored
    first = turn(trace=1, usage=usage(prompt=3, cost="0.0038975"), model="gpt-4o", has_error=True, error_count=1)
    second = turn(trace=2, time_to_first_token_ns=0)
    add(window(), first, second)
    assert sorted(await store.turns(["s1"]), key=lambda t: t.trace_id) == [first, second]


async def test_the_highest_version_counts_in_whatever_order_it_came(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(window(version=2, turn_count=2), window(version=3, turn_count=3), window(version=1, turn_count=1))
    add(turn(version=5, output="new"), turn(version=4, output="old"))
    assert [w.turn_count for w in await store.windows(["s1"])] == [3]
    assert [t.output for t in await store.turns(["s1"])] == ["new"]


async def test_retractions_are_read_too(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(window(version=1), window(version=4, is_deleted=True))
    assert [(w.is_deleted, w.version) for w in await store.windows(["s1"])] == [
        (True, window(version=4, is_deleted=True).version)
    ]


async def test_an_outline_has_what_lists_show(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(window(usage=usage(prompt=10, completion=3)), turn())
    (outline,) = await store.windows(["s1"], "p1", whole=False)
    (times,) = await store.turns(["s1"], "p1", whole=False)
    session = merge_session([window(usage=usage(prompt=10, completion=3))], [turn()])
    shown = merge_session([outline], [times])
    assert shown.key == session.key
    assert (shown.started_at, shown.ended_at, shown.state) == (session.started_at, session.ended_at, session.state)
    assert (shown.usage.prompt_tokens, shown.usage.completion_tokens) == (10, 3)
    assert [(t.trace_id, t.started_at, t.ended_at) for t in shown.turns] == [
        (t.trace_id, t.started_at, t.ended_at) for t in session.turns
    ]


async def test_a_session_id_is_found_in_all_projects_or_in_one(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(window(project="p1"), window(project="p2"), window("s2", project="p2"), turn(project="p1"), turn(project="p2"))
    assert sorted(w.project for w in await store.windows(["s1"])) == ["p1", "p2"]
    assert [w.project for w in await store.windows(["s1"], "p2")] == ["p2"]
    assert sorted(t.project for t in await store.turns(["s1"])) == ["p1", "p2"]
    assert [t.project for t in await store.turns(["s1"], "p1")] == ["p1"]
    assert await store.windows(["s1"], "p3") == []


async def test_sessions_stand_where_they_were_first_seen_however_they_grow(stored: tuple[Store, Add]) -> None:
    store, add = stored
    for number, name in enumerate(["c", "a", "b", "é", "d"]):
        add(window(name, first_seen=number // 2))
    add(window("c", "w2", first_seen=100), window("a", version=9, first_seen=0), window("d", "w2", first_seen=50))
    add(window("other", project="p2", first_seen=0))
    order = [Position(at(n), name) for n, name in [(0, "a"), (0, "c"), (1, "b"), (1, "é"), (2, "d")]]
    assert await store.positions("p1", None, 10) == order
    assert await store.positions("p1", None, 10, descending=True) == order[::-1]
    for start in range(5):
        assert await store.positions("p1", order[start], 2) == order[start : start + 2]
        assert await store.positions("p1", order[start], 2, descending=True) == order[: start + 1][::-1][:2]
    assert await store.positions("p1", Position(at(1), "c"), 1) == [order[3]]
    assert await store.positions("nope", None, 10) == []


async def test_a_page_is_full_whatever_versions_and_windows_its_sessions_have(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(*(window("busy", f"w{n}", first_seen=n) for n in range(20)))
    add(*(window("busy", "w0", first_seen=0, version=n) for n in range(2, 9)))
    add(*(window(f"s{n:02}", first_seen=25 + n) for n in range(6)))
    add(window("s01", "wx", first_seen=90, version=2), window("busy", "wx", first_seen=91, version=30))
    names = ["busy", *(f"s{n:02}" for n in range(6))]
    for limit in (1, 2, 5, 7, 9):  # the smaller, the more often what stands in the way is more than is read at once
        assert [p.session_id for p in await store.positions("p1", None, limit)] == names[:limit], limit
        newest = await store.positions("p1", None, limit, descending=True)
        assert [p.session_id for p in newest] == names[::-1][:limit], limit
        after = await store.positions("p1", newest[-1], limit, descending=True)
        assert [p.session_id for p in after] == names[::-1][len(newest) - 1 :][:limit], limit


async def test_a_session_keeps_its_place_when_its_first_window_is_absorbed(stored: tuple[Store, Add]) -> None:
    store, add = stored
    add(window("s1", "w1", first_seen=1), window("s1", "w2", first_seen=5), window("s2", first_seen=3))
    add(window("s1", "w1", first_seen=1, version=9, is_deleted=True))
    assert [p.session_id for p in await store.positions("p1", None, 10)] == ["s1", "s2"]


async def test_it_is_known_which_sessions_and_projects_are_stored(stored: tuple[Store, Add]) -> None:
    store, add = stored
    await store.ping()
    add(window("s1", first_seen=5), window("s2", project="p2", first_seen=9), window("s3", first_seen=1))
    assert await store.stored("p1", ["s1", "s2", "s3", "s4"]) == {"s1", "s3"}
    assert await store.projects() == ["p2", "p1"]
    assert await store.has_project("p1")
    assert not await store.has_project("p3")


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE session_windows; --",
        "{project:String}",
        "a\\' OR 1=1",
        "%s %(x)s",
        "\t\n\r",
        "\\N",
        "é😀",
        "a\0b",
    ],
)
async def test_names_are_values_and_never_sql(stored: tuple[Store, Add], name: str) -> None:
    store, add = stored
    add(window(name, project=name), turn(name, project=name), window("other", project=name))
    assert [w.session_id for w in await store.windows([name], name)] == [name]
    assert [t.session_id for t in await store.turns([name], name)] == [name]
    assert {p.session_id for p in await store.positions(name, None, 10)} == {name, "other"}
    assert [p.session_id for p in await store.positions(name, Position(at(10), name), 1)] == [name]
    assert await store.stored(name, [name, "x"]) == {name}
    assert await store.has_project(name)


async def test_a_server_that_is_away_is_a_transient_error() -> None:
    (port,) = free_ports(1)
    store = ClickHouseStore(AsyncClickHouse(connect(f"http://127.0.0.1:{port}")))
    with pytest.raises(TransientError):
        await store.ping()


def test_the_view_of_sessions_says_the_same_as_the_api(engine: ClickHouse) -> None:
    """Two windows that share a trace, written out of order, with everything that can differ."""
    remove_rollups(engine)
    windows = [
        window(
            window_id=name,
            version=version,
            start=start,
            end=end,
            first_seen=start,
            turn_count=2,
            error_turn_count=1,
            span_count=version,
            tool_call_count=1,
            error_count=2,
            late_span_count=1,
            duplicate_span_count=3,
            user_ids=["ann", name],
            environment=name,
            environment_at=at(end),
            models=["gpt-4o", name],
            tags=[name],
            session_attributes={"session.name": name, f"session.{name}": "x"},
            session_attributes_at={"session.name": at(50), f"session.{name}": at(1)},
            metadata={"tenant": name},
            metadata_at={"tenant": at(100 - start)},
            usage=usage(prompt=version, completion=2, cost="0.000000000003"),
            total_tokens_by_model={"gpt-4o": version, name: 1},
            total_cost_by_model={name: 3},
            turn_latency_buckets={100: 1, 700 + version: 3},
            first_input=f"in {name}",
            first_input_at=at(start),
            last_output=f"out {name}",
            last_output_at=at(end),
        )
        for name, version, start, end in [("w2", 5, 60, 130), ("w1", 4, 0, 70)]
    ]
    turns = [
        turn(window_id="w1", trace=1, start=0, end=20),
        turn(window_id="w1", trace=2, start=50, end=70, has_error=True),
        turn(window_id="w2", trace=2, start=60, end=80, has_error=True),
        turn(window_id="w2", trace=3, start=100, end=130),
    ]
    insert_rollups(engine, [*windows, *turns])
    (row,) = engine.query("SELECT * FROM sessions WHERE project = 'p1' AND session_id = 's1'")
    session = merge_session(windows, turns)
    assert (row["state"], row["close_reason"]) == (session.state, session.close_reason)
    assert (row["started_at"], row["last_activity_at"]) == (session.started_at, session.ended_at)
    for name in _SAME_NAMES:
        assert row[name] == getattr(session, name), name
    for name in session.usage.__dataclass_fields__:
        value = row[name]
        assert (picodollars(value) if name.endswith("_cost") else value) == getattr(session.usage, name), name
    assert {p: row[f"turn_latency_{p}_ns"] for p in ("p50", "p95", "p99")} == session.turn_latency_ns
    assert {m: picodollars(c) for m, c in row["total_cost_by_model"].items()} == session.total_cost_by_model
