from typing import Any

import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.otlp.rows import MAX_STORED_ATTRIBUTES, SpanRow, span_rows
from services.shared.otlp.rules import Rules
from tests.support.extraction import RECORD_TIME, facts_of
from tests.support.otlp import HOUR, SECOND, T0, event, request, span

TYPED = {
    "text": "é",
    "int": 12345,
    "double": 1.5,
    "bool": True,
    "list": [1, "a"],
    "map": {"k": [None]},
    "bytes": b"\x00\xff",
    "none": None,
}


def rows_of(data: TracesData, *, roots_only: bool = False) -> list[SpanRow]:
    return list(span_rows(data, RECORD_TIME, Rules(), roots_only=roots_only))


def row_of(item: Span, resource: dict[str, Any] | None = None) -> SpanRow:
    [row] = rows_of(request(item, resource=resource))
    return row


def test_a_row_says_everything_about_its_span() -> None:
    item = span(
        trace_id=1,
        span_id=2,
        parent_id=3,
        name="chat",
        attributes={"session.id": " s ", "openinference.span.kind": "llm"},
        is_error=True,
        status_message="no",
        events=[event("exception", at=T0 + 1, attributes={"exception.message": "boom"})],
    )
    item.kind = Span.SPAN_KIND_CLIENT
    resource = {"openinference.project.name": "p", "service.name": "bot", "replicas": 3}

    assert row_of(item, resource) == SpanRow(
        project="p",
        session_id="s",
        trace_id="0" * 31 + "1",
        span_id="0" * 15 + "2",
        parent_id="0" * 15 + "3",
        start=T0,
        end=T0 + SECOND,
        name="chat",
        kind="CLIENT",
        span_kind="LLM",
        service="bot",
        status_code="ERROR",
        status_message="no",
        resource_attributes={"openinference.project.name": "p", "service.name": "bot", "replicas": "3"},
        attributes='{"session.id":" s ","openinference.span.kind":"llm"}',
        attribute_texts={"session.id": " s ", "openinference.span.kind": "llm"},
        events=f'[{{"name":"exception","timestamp":{T0 + 1},"attributes":{{"exception.message":"boom"}}}}]',
        scope_name="test",
        scope_version="",
    )


def test_attributes_keep_their_types_in_json_and_are_text_in_the_map() -> None:
    row = row_of(span(attributes=TYPED))

    assert orjson.loads(row.attributes) == TYPED | {"bytes": "AP8="}
    assert row.attribute_texts == {
        "text": "é",
        "int": "12345",
        "double": "1.5",
        "bool": "true",
        "list": '[1,"a"]',
        "map": '{"k":[null]}',
        "bytes": "AP8=",
        "none": "",
    }


def test_the_session_is_what_the_span_or_its_resource_names_and_never_another_spans() -> None:
    data = request(span(span_id=1, attributes={"session.id": "s"}), span(span_id=2))

    assert [row.session_id for row in rows_of(data)] == ["s", ""]
    assert row_of(span(), {"session.id": "r"}).session_id == "r"


@pytest.mark.parametrize(("start", "end"), [(0, 0), (T0, 0), (T0, T0 - 1), (T0, T0 + HOUR), (2**64 - 1, 5)])
def test_times_are_those_of_the_facts(start: int, end: int) -> None:
    row, facts = row_of(span(start=start, end=end)), facts_of(span(start=start, end=end))

    assert (row.start, row.end) == (facts.start, facts.end)


def test_invalid_spans_are_no_rows_and_roots_only_leaves_the_children_out() -> None:
    data = request(
        span(span_id=0), span(span_id=1, parent_id=0), span(span_id=2, parent_id=1), span(span_id=3, parent_id=b"x")
    )

    assert [row.span_id[-1] for row in rows_of(data)] == ["1", "2", "3"]
    assert [row.span_id[-1] for row in rows_of(data, roots_only=True)] == ["1", "3"]


def test_a_span_without_a_kind_is_unknown_and_kinds_of_other_conventions_are_translated() -> None:
    assert row_of(span()).span_kind == "UNKNOWN"
    assert row_of(span(attributes={"gen_ai.operation.name": "execute_tool"})).span_kind == "TOOL"
    assert row_of(span(attributes={"openinference.span.kind": "NEW"})).span_kind == "UNKNOWN"
    assert (row_of(span()).kind, row_of(span()).status_code) == ("UNSPECIFIED", "UNSET")


def test_a_bounded_number_of_attributes_is_stored_and_all_are_read() -> None:
    row = row_of(span(attributes={f"a{i}": i for i in range(10_000)} | {"session.id": "s"}))

    assert row.session_id == "s"
    assert list(row.attribute_texts) == [f"a{i}" for i in range(MAX_STORED_ATTRIBUTES)]
    assert len(orjson.loads(row.attributes)) == MAX_STORED_ATTRIBUTES
