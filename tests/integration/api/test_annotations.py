"""Annotations and transcripts from the records that bring them to the store that reads them, on chDB and over HTTP."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from services.query_api.session import merge_turns
from services.query_api.store import ClickHouseStore
from services.query_api.transcript import transcripts
from services.shared.clickhouse import AsyncClickHouse, ClickHouse
from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.otlp.rules import Rules
from services.shared.records import rollups
from services.sink.rows import SpanConversion, columns, rollup_rows
from tests.support.otlp import SECOND, T0, request, span, to_protobuf
from tests.support.rollups import EPOCH, at, turn
from tests.support.stored_rollups import insert_rollups, remove_rollups

_tokens = count()
TRACE, SPAN = "0a" * 16, "0b" * 8


@pytest.fixture(params=["engine", "server"])
def client(request: pytest.FixtureRequest) -> ClickHouse:
    found: ClickHouse = request.getfixturevalue(request.param)
    remove_rollups(found)
    for table in ("annotations", "spans"):
        found.command(f"TRUNCATE TABLE {table}")
    return found


def insert(client: ClickHouse, value: bytes, convert: Callable[[bytes, int], Any]) -> None:
    converted = convert(value, at(0))
    assert isinstance(converted, list)
    for table, row in converted:
        client.insert(table, columns(table, [row]), f"annotations-{next(_tokens)}")


def annotation(version: int = 1, **more: Any) -> AnnotationRollup:
    said: dict[str, Any] = {
        "project": "p1",
        "session_id": "s1",
        "scope": Scope.SESSION,
        "name": "quality",
        "annotator_kind": "HUMAN",
        "annotated_at": at(1),
        "ingested_at": at(2),
    }
    return AnnotationRollup(**said | {"version": EPOCH + version} | more)


async def test_annotations_come_back_as_they_were_published(client: ClickHouse) -> None:
    full = annotation(
        scope=Scope.SPAN, trace_id=TRACE, span_id=SPAN, score=0.25, label="l", explanation="a'b\n", metadata='{"a":1}'
    )
    for value in rollups.annotation_records([full, annotation()]):
        insert(client, value, rollup_rows)
    store = ClickHouseStore(AsyncClickHouse(client))

    assert await store.annotations("p1", Scope.SPAN, [SPAN]) == [full]
    assert await store.annotations("p1", Scope.SESSION, ["s1", "ghost"]) == [annotation()]
    assert await store.annotations("p2", Scope.SESSION, ["s1"]) == []


async def test_a_replay_and_an_older_version_change_nothing(client: ClickHouse) -> None:
    newer, older = annotation(2, label="good"), annotation(1, label="bad", ingested_at=at(1))
    for each in (older, newer, older, newer):
        [value] = rollups.annotation_records([each])
        insert(client, value, rollup_rows)

    assert await ClickHouseStore(AsyncClickHouse(client)).annotations("p1", Scope.SESSION, ["s1"]) == [newer]


async def test_what_has_rows_is_known(client: ClickHouse) -> None:
    insert_rollups(client, [turn("s1", trace=1)])
    store = ClickHouseStore(AsyncClickHouse(client))

    assert await store.is_known("p1", Scope.TRACE, ["ghost", f"{1:032x}"])
    assert not await store.is_known("p1", Scope.TRACE, ["ghost"])
    assert not await store.is_known("p1", Scope.SESSION, ["ghost"])
    assert not await store.is_known("p1", Scope.SPAN, [SPAN])


async def test_a_transcript_is_made_of_the_stored_spans_of_its_turns(client: ClickHouse) -> None:
    asked = '[{"role":"user","parts":[{"type":"text","content":"Where is it?"}]}]'
    answered = '[{"role":"assistant","parts":[{"type":"text","content":"On its way."}]}]'
    chat = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": asked, "gen_ai.output.messages": answered}
    data = request(
        span(trace_id=1, span_id=1, start=T0, end=T0 + 9 * SECOND, name="POST /chat"),
        span(trace_id=1, span_id=2, parent_id=1, start=T0 + SECOND, attributes=chat),
        span(trace_id=1, span_id=3, parent_id=1, attributes=chat | {"session.id": "another"}),
        span(trace_id=2, span_id=4, attributes=chat),
    )
    insert(client, to_protobuf(data), SpanConversion(Rules(), roots_only=False))
    store = ClickHouseStore(AsyncClickHouse(client))

    spans = await store.spans("s1", [f"{1:032x}"])
    [found] = transcripts(merge_turns([turn("s1", trace=1)]), spans)

    assert [stored.span_id for stored in spans] == [f"{1:016x}", f"{2:016x}"]
    assert [(entry.role, entry.text) for entry in found.entries] == [
        ("user", "Where is it?"),
        ("assistant", "On its way."),
    ]
