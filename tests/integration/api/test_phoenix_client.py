"""Phoenix's own Python client against the API on a real port, over real ClickHouse and real Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from phoenix.client import AsyncClient, Client

from services.query_api.app import build_app
from services.query_api.store import ClickHouseStore
from services.shared.clickhouse import AsyncClickHouse, ClickHouse
from services.shared.clock import SystemClock
from services.shared.http import Server
from services.shared.live import LiveView
from services.shared.telemetry import Telemetry
from tests.support.live import update
from tests.support.redis import redis_server
from tests.support.rollups import turn, usage, window
from tests.support.stored_rollups import insert_rollups, remove_rollups


@pytest.fixture
async def base_url(engine: ClickHouse) -> AsyncIterator[str]:
    """`stored-000` to `stored-149`, two turns each, and `open`, which only Redis has."""
    remove_rollups(engine)
    names = [f"stored-{number:03}" for number in range(150)]
    windows = [
        window(name, first_seen=n, turn_count=2, usage=usage(prompt=7, completion=5)) for n, name in enumerate(names)
    ]
    turns = [turn(name, trace=2 * n + k + 1, start=k) for n, name in enumerate(names) for k in range(2)]
    insert_rollups(engine, [*windows, *turns, window("a/b c", project="other"), turn("a/b c", project="other")])
    clock = SystemClock()
    with redis_server() as redis_url:
        live = LiveView(redis_url, clock, 3600)
        await live.apply([update([window("open", is_open=True, first_seen=900)], [turn("open", trace=999)])])
        server = Server(build_app(ClickHouseStore(AsyncClickHouse(engine)), live, Telemetry(), clock), "127.0.0.1", 0)
        await server.start()
        yield f"http://127.0.0.1:{server.port}"
        await server.stop()
        await live.close()


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[AsyncClient]:
    """It never closes connections itself."""
    async with httpx.AsyncClient(base_url=base_url) as http:
        yield AsyncClient(http_client=http)


async def test_the_client_lists_every_session_stored_and_open(client: AsyncClient) -> None:
    sessions = await client.sessions.list(project_name="p1")
    assert [s["session_id"] for s in sessions] == [*(f"stored-{n:03}" for n in range(150)), "open"]
    assert {len(s["traces"]) for s in sessions} == {1, 2}
    some = await client.sessions.list(project_name="p1", limit=120)
    assert [s["session_id"] for s in some] == [f"stored-{n:03}" for n in range(120)]


async def test_the_client_that_blocks_does_the_same(base_url: str) -> None:
    def ask() -> list[str]:
        with httpx.Client(base_url=base_url) as http:
            client = Client(http_client=http)
            listed = client.sessions.list(project_name="p1", limit=2)
            return [client.sessions.get(session_id=s["session_id"])["session_id"] for s in listed]

    assert await asyncio.to_thread(ask) == ["stored-000", "stored-001"]


async def test_the_client_gets_a_session_by_its_name_and_by_its_id(client: AsyncClient) -> None:
    by_name: Any = await client.sessions.get(session_id="stored-007")
    assert (by_name["session_id"], by_name["token_count_total"]) == ("stored-007", 12)
    assert [t["trace_id"] for t in by_name["traces"]] == [f"{15:032x}", f"{16:032x}"]
    assert await client.sessions.get(session_id=by_name["id"]) == by_name
    assert (await client.sessions.get(session_id="open"))["session_id"] == "open"
    sessions = await client.sessions.list(project_id=by_name["project_id"], limit=8)
    assert sessions[-1] == by_name


async def test_the_client_is_told_what_does_not_exist(client: AsyncClient) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="404 Not Found"):
        await client.sessions.get(session_id="nobody")
    with pytest.raises(httpx.HTTPStatusError, match="404 Not Found"):
        await client.sessions.list(project_name="nothing")


async def test_the_client_knows_projects(client: AsyncClient) -> None:
    assert [p["name"] for p in await client.projects.list()] == ["other", "p1", "default"]
    project = await client.projects.get(project_name="other")
    assert project["name"] == "other"
    (session,) = await client.sessions.list(project_id=project["id"])
    assert session["session_id"] == "a/b c"


async def test_a_slash_in_an_id_survives_a_real_server(base_url: str, client: AsyncClient) -> None:
    """The Python client refuses such ids before it sends them; the id from a list works there, too."""
    async with httpx.AsyncClient(base_url=base_url) as http:
        answer = await http.get("/v1/sessions/a%2Fb%20c")
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert data["session_id"] == "a/b c"
        assert (await http.get("/v1/sessions/a%2Fb%20c/turns")).status_code == 200
    assert await client.sessions.get(session_id=data["id"]) == data
