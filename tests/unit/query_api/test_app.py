"""The API over HTTP: routes, shapes of ours, errors, headers and metrics."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
from pydantic import TypeAdapter

from services.query_api import bodies, ids, shapes
from services.query_api.app import build_app
from services.shared.errors import PermanentError, TransientError
from services.shared.model.session_key import SessionKey
from services.shared.telemetry import Telemetry
from tests.support.clock import ManualClock
from tests.support.live import FakeLiveView, update
from tests.support.rollups import turn, usage, window
from tests.support.store import FakeStore

ODD_IDS = ["a/b c", "a/turns", "%2F", "?#&=+", "é😀", "a\nb", "  padded", "a%2Fb", "summary", "UHJv"]


class Setup:
    def __init__(self, *, raises: bool = True) -> None:
        clock = ManualClock()
        self.store, self.live, self.telemetry = FakeStore(), FakeLiveView(clock), Telemetry()
        app = build_app(self.store, self.live, self.telemetry, clock)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=raises), base_url="http://api"
        )

    async def get(self, path: str, status: int = 200) -> httpx.Response:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
async def api() -> AsyncIterator[Setup]:
    setup = Setup()
    yield setup
    await setup.client.aclose()


@pytest.mark.parametrize("session_id", ODD_IDS)
async def test_any_session_id_can_be_asked_for(api: Setup, session_id: str) -> None:
    api.store.add(window(session_id), turn(session_id))
    by_name = (await api.get(f"/v1/sessions/{quote(session_id, safe='')}")).json()["data"]
    assert by_name["session_id"] == session_id
    assert (await api.get(f"/v1/sessions/{quote(by_name['id'], safe='')}")).json()["data"] == by_name
    turns = await api.get(f"/v1/sessions/{quote(session_id, safe='')}/turns")
    assert len(turns.json()["data"]) == 1


@pytest.mark.parametrize("project", ODD_IDS)
async def test_any_project_name_can_be_asked_for(api: Setup, project: str) -> None:
    api.store.add(window(project=project))
    data = (await api.get(f"/v1/projects/{quote(project, safe='')}")).json()["data"]
    assert data["name"] == project
    for identifier in (project, data["id"]):
        sessions = (await api.get(f"/v1/projects/{quote(identifier, safe='')}/sessions")).json()["data"]
        assert [s["project_id"] for s in sessions] == [data["id"]]


async def test_a_summary_says_everything(api: Setup) -> None:
    api.store.add(
        window(
            usage=usage(prompt=10, completion=3, cost="0.0038975"),
            total_cost_by_model={"gpt-4o": 3_897_500_000},
            user_ids=["ann"],
            first_input="hi",
            last_output="bye",
            metadata={"tenant": "acme"},
            metadata_at={"tenant": 1},
        ),
        turn(),
    )
    data = (await api.get("/v1/sessions/s1/summary")).json()["data"]
    TypeAdapter(shapes.SessionSummary).validate_python(data, strict=True)
    assert list(data) == list(shapes.SessionSummary.__annotations__)
    assert (data["state"], data["close_reason"], data["turn_count"]) == ("closed", "idle", 1)
    assert data["usage"]["total_cost"] == "0.003897500000"
    assert data["total_cost_by_model"] == {"gpt-4o": "0.003897500000"}
    assert (data["user_ids"], data["metadata"]) == (["ann"], {"tenant": "acme"})
    assert (data["first_input"], data["last_output"]) == ("hi", "bye")
    assert [w["window_id"] for w in data["windows"]] == ["w100000000000000"]


async def test_turns_are_read_page_by_page_with_their_texts(api: Setup) -> None:
    api.store.add(window(turn_count=5), *(turn(trace=n, start=n, usage=usage(prompt=n)) for n in range(1, 6)))
    seen, cursor = [], ""
    while True:
        body = (await api.get(f"/v1/sessions/s1/turns?limit=2{cursor}")).json()
        TypeAdapter(bodies.TurnsBody).validate_python(body, strict=True)
        seen += body["data"]
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert [t["input"] for t in seen] == [f"question {n}" for n in range(1, 6)]
    assert [t["usage"]["prompt_tokens"] for t in seen] == [1, 2, 3, 4, 5]
    assert list(seen[0]) == list(shapes.TurnData.__annotations__)
    assert (await api.get("/v1/sessions/s1/turns?cursor=x", 422)).text == "Invalid cursor format: x"


async def test_a_project_identifier_narrows(api: Setup) -> None:
    api.store.add(window(project="p1", end=10), window(project="p2", end=20))
    for path in ("/v1/sessions/s1", "/v1/sessions/s1/summary"):
        ask = [path, f"{path}?project_identifier=p1", f"{path}?project_identifier={ids.project_gid('p1')}"]
        found = [(await api.get(one)).json()["data"]["project_id"] for one in ask]
        assert found == [ids.project_gid("p2"), ids.project_gid("p1"), ids.project_gid("p1")]
    gid = ids.session_gid(SessionKey("p1", "s1"))
    assert (await api.get(f"/v1/sessions/{gid}")).json()["data"]["project_id"] == ids.project_gid("p1")
    await api.get(f"/v1/sessions/{gid}?project_identifier=p2", 404)
    await api.get("/v1/sessions/s1?project_identifier=p3", 404)


async def test_an_open_session_is_there_before_clickhouse_has_it(api: Setup) -> None:
    await api.live.apply([update([window(is_open=True)], [turn()])])
    (listed,) = (await api.get("/v1/projects/p1/sessions")).json()["data"]
    assert listed == (await api.get("/v1/sessions/s1")).json()["data"]
    assert (await api.get("/v1/sessions/s1/summary")).json()["data"]["state"] == "open"
    assert [p["name"] for p in (await api.get("/v1/projects")).json()["data"]] == ["p1", "default"]


async def test_without_redis_answers_say_so_in_a_field_and_in_a_header(api: Setup) -> None:
    api.store.add(window(), turn())
    shape_of: dict[str, type] = {
        "/v1/sessions/s1": bodies.SessionBody,
        "/v1/sessions/s1/summary": bodies.SummaryBody,
        "/v1/sessions/s1/turns": bodies.TurnsBody,
        "/v1/projects": bodies.ProjectsBody,
        "/v1/projects/p1/sessions": bodies.SessionsBody,
    }
    for path, shape in shape_of.items():
        api.live.is_down = False
        fresh = await api.get(path)
        assert "x-spanloom-live" not in fresh.headers
        assert "is_live_missing" not in fresh.json(), "with Redis an answer is what Phoenix answers, and nothing else"
        api.live.is_down = True
        answer = await api.get(path)
        assert answer.headers["x-spanloom-live"] == "missing", path
        assert answer.json() == {**fresh.json(), "is_live_missing": True}
        TypeAdapter(shape).validate_python(answer.json(), strict=True)
    await api.get("/readyz")
    assert "spanloom_live_missing_total 5.0" in (await api.get("/metrics")).text


async def test_without_clickhouse_clients_are_asked_to_come_again(api: Setup) -> None:
    api.store.fault = TransientError("ClickHouse: query: nobody there")
    for path in ("/v1/projects", "/v1/projects/p1", "/v1/projects/p1/sessions", "/v1/sessions/s1"):
        answer = await api.get(path, 503)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert int(answer.headers["retry-after"]) >= 1
    assert "ClickHouse" in (await api.get("/readyz", 503)).text
    await api.get("/healthz")


async def test_what_a_person_must_repair_is_a_503_that_says_what(api: Setup) -> None:
    api.store.fault = PermanentError("ClickHouse: query: no table projects: run `spanloom migrate`")
    assert "spanloom migrate" in (await api.get("/v1/projects", 503)).text
    assert "spanloom migrate" in (await api.get("/readyz", 503)).text


async def test_a_bug_is_a_500_in_plain_text_and_is_counted() -> None:
    setup = Setup(raises=False)
    setup.store.fault = ZeroDivisionError()
    answer = await setup.get("/v1/projects", 500)
    assert answer.text == "Internal Server Error"
    assert answer.headers["x-phoenix-server-version"] == "20.26.1"
    assert 'route="/v1/projects",status="500"} 1.0' in (await setup.get("/metrics")).text
    await setup.client.aclose()


async def test_every_answer_names_the_version_that_clients_look_for(api: Setup) -> None:
    for path, status in [("/healthz", 200), ("/v1/nope", 404), ("/v1/projects?limit=0", 422), ("/v1/projects/x", 404)]:
        assert (await api.get(path, status)).headers["x-phoenix-server-version"] == "20.26.1", path
    assert (await api.client.post("/v1/projects")).status_code == 405


async def test_projects_are_listed_page_by_page(api: Setup) -> None:
    api.store.add(*(window(project=f"p{n}", first_seen=n) for n in range(4)))
    first = (await api.get("/v1/projects?limit=3")).json()
    assert [p["name"] for p in first["data"]] == ["p3", "p2", "p1"]
    rest = (await api.get(f"/v1/projects?limit=3&cursor={first['next_cursor']}")).json()
    assert [p["name"] for p in rest["data"]] == ["p0", "default"]
    assert rest["next_cursor"] is None
    assert [p["name"] for p in (await api.get("/v1/projects?name_contains=P2")).json()["data"]] == ["p2"]
    assert (await api.get("/v1/projects?cursor=zzz", 422)).text == "Invalid cursor format: zzz"


async def test_a_filter_is_refused_and_not_ignored(api: Setup) -> None:
    api.store.add(window())
    await api.get("/v1/projects/p1/sessions?filter=num_traces > 3", 400)
    await api.get("/v1/projects/p1/sessions?filter=", 200)


async def test_an_answer_has_at_most_a_thousand_sessions(api: Setup) -> None:
    api.store.add(*(window(f"s{n:04}") for n in range(1200)))
    body = (await api.get("/v1/projects/p1/sessions?limit=100000")).json()
    assert len(body["data"]) == 1000
    rest = (await api.get(f"/v1/projects/p1/sessions?cursor={body['next_cursor']}&limit=5000")).json()
    assert len(rest["data"]) == 200
    assert rest["next_cursor"] is None


async def test_requests_are_counted_by_route_and_not_by_path(api: Setup) -> None:
    api.store.add(window("a"))
    await api.get("/v1/sessions/a")
    await api.get("/v1/sessions/nobody", 404)
    await api.get("/somewhere/else", 404)
    metrics = (await api.get("/metrics")).text
    for route, status in [("/v1/sessions/{session_identifier}", 200), ("/v1/sessions/{session_identifier}", 404)]:
        assert f'spanloom_http_requests_total{{route="{route}",status="{status}"}} 1.0' in metrics
    assert 'spanloom_http_requests_total{route="other",status="404"} 1.0' in metrics
    assert "nobody" not in metrics
