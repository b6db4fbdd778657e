"""The same data in Phoenix and here: answers equal to the recorded ones, field by field and in their order.

`phoenix/` holds requests and responses recorded from Phoenix 20.26.1. What differs by design is
normalised on both sides: GlobalIDs and cursors are opaque, so only their type is compared.
"""

import base64
import re
from collections.abc import AsyncIterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from services.query_api.app import build_app
from services.query_api.store import ClickHouseStore
from services.shared.clickhouse import AsyncClickHouse, ClickHouse
from services.shared.model.rollup import TurnRollup, Usage, WindowRollup, WindowState
from services.shared.telemetry import Telemetry
from tests.support.clock import ManualClock
from tests.support.live import FakeLiveView
from tests.support.rollups import at
from tests.support.stored_rollups import insert_rollups, remove_rollups

RECORDED = Path(__file__).parent / "phoenix"
SECOND = 10**9


@cache
def recorded(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = orjson.loads((RECORDED / f"{name}.json").read_bytes())
    return sample


def rollups_of(project: str, session: dict[str, Any], first_seen_at: int) -> list[WindowRollup | TurnRollup]:
    """The rollups that make this recorded session."""
    common: dict[str, Any] = {
        "project": project,
        "session_id": session["session_id"],
        "window_id": "0" * 16,
        "version": 1 << 48,
        "first_seen_at": first_seen_at,
    }
    start, end = _nanoseconds(session["start_time"]), _nanoseconds(session["end_time"])
    window = WindowRollup(
        **common,
        state=WindowState.CLOSED,
        opened_at=start,
        window_start=start,
        window_end=end,
        turn_count=len(session["traces"]),
        usage=Usage(
            prompt_tokens=session["token_count_prompt"],
            completion_tokens=session["token_count_completion"],
            total_tokens=session["token_count_total"],
        ),
    )
    return [
        window,
        *(
            TurnRollup(
                **common,
                trace_id=trace["trace_id"],
                opened_at=start,
                started_at=_nanoseconds(trace["start_time"]),
                ended_at=_nanoseconds(trace["end_time"]),
            )
            for trace in session["traces"]
        ),
    ]


def many_sessions() -> list[dict[str, Any]]:
    """`sess-many`: 25 sessions seen in the order of their names, each ten seconds before the one before."""
    known = {
        session["session_id"]: session
        for name in ("sessions_list_limit3", "sessions_list_desc_limit3", "sessions_list_desc_page2")
        for session in recorded(name)["body"]["data"]
    }
    template = known["many-00"]
    return [
        known.get(f"many-{number:02}", {**template, "session_id": f"many-{number:02}", "traces": []})
        for number in range(25)
    ]


@pytest.fixture(scope="module")
def filled(engine: ClickHouse) -> ClickHouse:
    remove_rollups(engine)
    rollups = rollups_of("sess-demo", recorded("session_by_session_id")["body"]["data"], at(1))
    rollups += rollups_of("sess-demo", recorded("session_unicode")["body"]["data"], at(2))
    rollups += rollups_of("sess-other", recorded("session_unicode")["body"]["data"], at(3))
    for number, session in enumerate(many_sessions()):
        rollups += rollups_of("sess-many", session, at(10 + number))
    insert_rollups(engine, rollups)
    return engine


@pytest.fixture
async def api(filled: ClickHouse) -> AsyncIterator[httpx.AsyncClient]:
    clock = ManualClock()
    app = build_app(ClickHouseStore(AsyncClickHouse(filled)), FakeLiveView(clock), Telemetry(), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


@pytest.mark.parametrize(
    "name",
    [
        "version",
        "healthz",
        "projects_list",
        "projects_list_limit2",
        "project_by_name",
        "project_404",
        "project_404_id",
        "session_by_session_id",
        "session_404",
        "session_404_gid",
        "sessions_list_limit3",
        "sessions_list_desc_limit3",
        "sessions_list_empty",
        "sessions_list_project404",
        "sessions_list_bad_cursor",
        "sessions_list_bad_order",
        "sessions_list_limit0",
    ],
)
async def test_an_answer_is_the_recorded_one(api: httpx.AsyncClient, name: str) -> None:
    sample = recorded(name)
    answer = await api.request(sample["request"]["method"], sample["request"]["url"])
    assert answer.status_code == sample["status"]
    for header in ("content-type", "x-phoenix-server-version"):
        assert answer.headers[header] == sample["headers"][header], header
    if isinstance(sample["body"], str):
        assert answer.text == sample["body"]
    else:
        assert _normal(answer.json()) == _normal(sample["body"])


async def test_a_session_of_two_projects_is_found_by_narrowing(api: httpx.AsyncClient) -> None:
    """Phoenix binds an id to its first project; here each project has its own."""
    sample = recorded("session_unicode")
    answer = await api.get(f"{sample['request']['url']}?project_identifier=sess-demo")
    assert _normal(answer.json()) == _normal(sample["body"])


async def test_the_next_page_is_the_recorded_one(api: httpx.AsyncClient) -> None:
    first = (await api.get(recorded("sessions_list_desc_limit3")["request"]["url"])).json()
    page = await api.get(
        "/v1/projects/sess-many/sessions", params={"limit": 3, "order": "desc", "cursor": first["next_cursor"]}
    )
    assert _normal(page.json()) == _normal(recorded("sessions_list_desc_page2")["body"])


async def test_a_global_id_from_an_answer_finds_what_it_names(api: httpx.AsyncClient) -> None:
    session = (await api.get("/v1/sessions/conv-alpha")).json()["data"]
    assert (await api.get(f"/v1/sessions/{session['id']}")).json()["data"] == session
    project = (await api.get(f"/v1/projects/{session['project_id']}")).json()["data"]
    assert project["name"] == "sess-demo"
    listed = (await api.get(f"/v1/projects/{session['project_id']}/sessions")).json()["data"]
    assert session in listed


def _normal(body: Any) -> bytes:
    """JSON text, so that the order of fields counts, with ids reduced to their type."""
    return orjson.dumps(_reduced(body))


def _reduced(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _reduced(item, key) for key, item in value.items()}
        case list():
            return [_reduced(item, name) for item in value]
        case str() if name == "next_cursor":
            return "a cursor"
        case str() if name in ("id", "project_id"):
            decoded = re.match(rb"(\w+):", base64.urlsafe_b64decode(value))
            assert decoded is not None, value
            return decoded[1].decode()
        case _:
            return value


def _nanoseconds(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1000
