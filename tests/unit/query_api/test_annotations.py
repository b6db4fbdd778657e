"""Annotations over HTTP, in Phoenix's words."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.query_api import annotation_shapes as shapes
from services.query_api.app import build_app
from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.telemetry import Telemetry
from tests.support.clock import ManualClock
from tests.support.live import FakeLiveView, update
from tests.support.rollups import at, turn, window
from tests.support.store import FakeStore

TRACE, SPAN = "0a" * 16, "0b" * 8


class Setup:
    def __init__(self) -> None:
        clock = ManualClock()
        self.store, self.live = FakeStore(), FakeLiveView(clock)
        app = build_app(self.store, self.live, Telemetry(), clock)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")

    async def get(self, path: str, status: int = 200) -> httpx.Response:
        answer = await self.client.get(f"/v1/projects/p1/{path}")
        assert answer.status_code == status, answer.text
        return answer

    async def data(self, path: str) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = (await self.get(path)).json()["data"]
        return data


@pytest.fixture
async def api() -> AsyncIterator[Setup]:
    setup = Setup()
    setup.store.add(window("s1"), turn("s1"))
    yield setup
    await setup.client.aclose()


def annotation(name: str = "quality", **more: Any) -> AnnotationRollup:
    said: dict[str, Any] = {
        "project": "p1",
        "session_id": "s1",
        "scope": Scope.SESSION,
        "version": 1,
        "annotator_kind": "LLM",
        "ingested_at": at(1),
    }
    return AnnotationRollup(**said | {"name": name} | more)


async def test_a_session_annotation_has_the_shape_of_phoenix(api: Setup) -> None:
    api.store.add(annotation(label="good", score=0.5, identifier="run-1", metadata='{"a": 1}'))

    [found] = await api.data("session_annotations?session_ids=s1")

    assert list(found)[:9] == list(shapes.AnnotationData.__annotations__)[:9]
    assert found | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "created_at": "",
        "updated_at": "",
        "source": "API",
        "user_id": None,
        "name": "quality",
        "annotator_kind": "LLM",
        "result": {"label": "good", "score": 0.5, "explanation": None},
        "metadata": {"a": 1},
        "identifier": "run-1",
        "session_id": "s1",
    }
    assert found["created_at"].endswith("+00:00")


async def test_a_known_session_without_annotations_has_an_empty_list(api: Setup) -> None:
    assert (await api.get("session_annotations?session_ids=s1&session_ids=ghost")).json() == {
        "data": [],
        "next_cursor": None,
    }


async def test_a_session_that_only_the_live_view_knows_is_known(api: Setup) -> None:
    await api.live.apply([update([window("fresh")])])

    assert await api.data("session_annotations?session_ids=fresh") == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("session_annotations?session_ids=ghost", "None of the supplied session_ids exist in this project"),
        ("trace_annotations?trace_ids=ghost", "None of the supplied trace_ids exist in this project"),
        ("span_annotations?span_ids=ghost", "None of the supplied span_ids exist in this project"),
    ],
)
async def test_without_anything_known_there_is_no_list(api: Setup, path: str, text: str) -> None:
    assert (await api.get(path, 404)).text == text


async def test_without_ids_the_question_cannot_be_read(api: Setup) -> None:
    await api.get("session_annotations", 422)
    await api.get("session_annotations?session_ids=s1&limit=0", 422)
    await api.get("session_annotations?session_ids=s1&cursor=x", 422)


async def test_what_is_said_of_a_session_is_not_said_of_its_traces_and_spans(api: Setup) -> None:
    api.store.add(
        annotation("of the session"),
        annotation("of the trace", scope=Scope.TRACE, trace_id=TRACE),
        annotation("of the span", scope=Scope.SPAN, trace_id=TRACE, span_id=SPAN),
    )

    for path, name, of in (
        ("session_annotations?session_ids=s1", "of the session", {"session_id": "s1"}),
        (f"trace_annotations?trace_ids={TRACE}", "of the trace", {"trace_id": TRACE}),
        (f"span_annotations?span_ids={SPAN}", "of the span", {"span_id": SPAN}),
    ):
        [found] = await api.data(path)
        assert found["name"] == name
        assert found.items() >= of.items()


async def test_names_and_identifiers_choose(api: Setup) -> None:
    api.store.add(annotation("note"), annotation("quality", identifier="i"), annotation("quality"))

    async def chosen(query: str) -> list[tuple[str, str]]:
        found = await api.data(f"session_annotations?session_ids=s1&{query}")
        return [(row["name"], row["identifier"]) for row in found]

    assert await chosen("exclude_annotation_names=note") == [("quality", ""), ("quality", "i")]
    assert await chosen("include_annotation_names=note") == [("note", "")]
    assert await chosen("identifier=i") == [("quality", "i")]


async def test_annotations_are_read_page_by_page_the_newest_first(api: Setup) -> None:
    api.store.add(*(annotation(f"n{number}", ingested_at=at(number)) for number in range(5)))
    seen, query = [], "session_annotations?session_ids=s1&limit=2"
    path = query
    while path:
        body = (await api.get(path)).json()
        seen += [row["name"] for row in body["data"]]
        path = f"{query}&cursor={body['next_cursor']}" if body["next_cursor"] else ""

    assert seen == ["n4", "n3", "n2", "n1", "n0"]


async def test_a_later_version_replaces_an_earlier_one_under_the_same_id(api: Setup) -> None:
    api.store.add(annotation(label="bad"))
    [before] = await api.data("session_annotations?session_ids=s1")
    api.store.add(annotation(label="good", version=2))
    [after] = await api.data("session_annotations?session_ids=s1")

    assert (before["id"], after["result"]["label"]) == (after["id"], "good")
