"""What else a span says: who and where, input and output, errors."""

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.outcome import Note
from services.shared.model.span import PREVIEW_LENGTH, Dimensions, SpanFacts
from services.shared.otlp.dimensions import MAX_CHARACTERS, MAX_ENTRIES, MAX_KEY_LENGTH, MAX_TEXT_LENGTH
from services.shared.otlp.span_reader import MANY_ATTRIBUTES, MAX_NAME_LENGTH
from services.shared.semconv import TABLE, Meaning
from tests.support.extraction import attributes_give, extraction_of, facts_of, note_names
from tests.support.otlp import T0, event, request, span


def dimensions_of(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> Dimensions:
    data = request(span(attributes={"session.id": "s"} | attributes), resource=resource)
    [facts] = extraction_of(data).groups[0].items
    assert isinstance(facts, SpanFacts)
    return facts.dimensions


def test_who_and_where_come_from_the_span_and_then_from_its_resource() -> None:
    resource = {
        "service.name": "bot",
        "deployment.environment.name": "prod",
        "user.id": "resource user",
        "session.type": "chat",
        "session.name": "resource name",
        "metadata": '{"a": "resource", "b": "resource"}',
        "tag.tags": ["resource"],
    }
    attributes = {
        "user.id": " u ",
        "gen_ai.agent.name": "helper",
        "session.name": "span name",
        "metadata": '{"a": "span"}',
        "tag.tags": ["x", "y"],
    }

    assert dimensions_of(attributes, resource) == Dimensions(
        user_id="u",
        environment="prod",
        service="bot",
        agent="helper",
        tags=("x", "y"),
        session=(("session.name", "span name"), ("session.type", "chat")),
        metadata=(("a", "span"), ("b", "resource")),
    )
    assert dimensions_of({}, resource).tags == ("resource",)
    assert dimensions_of({}) == Dimensions()


@pytest.mark.parametrize(
    ("meaning", "part"), [(Meaning.USER_ID, "user_id"), (Meaning.ENVIRONMENT, "environment"), (Meaning.AGENT, "agent")]
)
def test_every_name_of_who_and_where_is_read_in_order(meaning: Meaning, part: str) -> None:
    names = TABLE[meaning].names
    for index, name in enumerate(names):
        assert getattr(dimensions_of({later: later for later in reversed(names[index:])}), part) == name


def test_names_of_any_type_are_text_cut_to_their_length() -> None:
    assert dimensions_of({"user.id": 7}).user_id == "7"
    assert dimensions_of({"user.id": True}).user_id == "true"
    assert dimensions_of({"mlflow.trace.user": '"u"'}).user_id == "u"
    assert dimensions_of({"user.id": "x" * 10_000}).user_id == "x" * MAX_KEY_LENGTH
    assert dimensions_of({"user.id": "", "enduser.id": "next"}).user_id == "next"


def test_equal_dimensions_are_one_object_in_a_record() -> None:
    data = request(
        *(
            span(span_id=index, attributes={"session.id": "s", "user.id": "u", "metadata": '{"a": 1}'})
            for index in (1, 2, 3)
        )
    )

    items = [item for item in extraction_of(data).groups[0].items if isinstance(item, SpanFacts)]

    assert len({id(item.dimensions) for item in items}) == 1


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (["a", " b ", "a"], ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("a, b,,c", ("a", "b", "c")),
        ("[not json", ("[not json",)),
        ([1, True, None, ""], ("1", "true")),
        (7, ("7",)),
        ("", ()),
        ([], ()),
    ],
)
def test_tags_are_a_list_a_json_list_or_text_with_commas(value: object, tags: tuple[str, ...]) -> None:
    assert dimensions_of({"tag.tags": value}).tags == tags


def test_session_attributes_are_all_but_the_ids_and_annotations() -> None:
    attributes = {
        "session.previous_id": "old",
        "session.prompt_version": 3,
        "session.annotations.0.annotation.name": "no",
        "session.evaluations.0.evaluation.name": "no",
        "session.extra": ["a", 1],
        "sessions.other": "no",
    }

    assert dimensions_of(attributes).session == (("session.extra", '["a",1]'), ("session.prompt_version", "3"))


@pytest.mark.parametrize(
    ("attributes", "metadata"),
    [
        ({"metadata": '{"b": {"c": [1]}, "a": 1.5, "n": null}'}, (("a", "1.5"), ("b", '{"c":[1]}'))),
        ({"metadata": {"a": "x", "b": False}}, (("a", "x"), ("b", "false"))),
        ({"metadata": "no json"}, ()),
        ({"metadata": "[1]"}, ()),
        ({"metadata": 7}, ()),
        ({"metadata.k": "v"}, (("k", "v"),)),
        ({"langfuse.trace.metadata.k": "v", "langfuse.trace.metadata": '{"j": 1}'}, (("j", "1"), ("k", "v"))),
        ({"traceloop.association.properties.k": "v", "traceloop.association.properties.user_id": "u"}, (("k", "v"),)),
        ({"langsmith.metadata.k": "v"}, (("k", "v"),)),
        ({"ai.telemetry.metadata.k": "v", "ai.telemetry.metadata.tags": "t"}, (("k", "v"),)),
        ({"ai.telemetry.metadata.k": "last", "metadata": '{"k": "first"}'}, (("k", "first"),)),
        ({"metadata.": "no key"}, ()),
        ({"metadata": '{"deep": ' + "[" * 500 + "]" * 500 + "}"}, (("deep", "null"),)),
    ],
)
def test_metadata_is_flat_text_from_every_form(
    attributes: dict[str, Any], metadata: tuple[tuple[str, str], ...]
) -> None:
    assert dimensions_of(attributes).metadata == metadata


def test_dimensions_are_bounded_in_number_and_size_and_the_cut_is_counted() -> None:
    many = {f"k{i:05}": "v" for i in range(1_000)}
    large = {f"k{i:05}": "é" * 5_000 for i in range(1_000)}
    for values in (many, large):
        data = request(
            span(
                attributes={
                    "session.id": "s",
                    "metadata": json.dumps(values),
                    "tag.tags": list(values),
                    **{f"session.{key}": value for key, value in values.items()},
                }
            )
        )
        extraction = extraction_of(data)
        [facts] = extraction.groups[0].items
        assert isinstance(facts, SpanFacts)
        for entries in (facts.dimensions.metadata, facts.dimensions.session):
            assert 0 < len(entries) <= MAX_ENTRIES
            assert sum(len(key) + len(text) for key, text in entries) <= MAX_CHARACTERS
            assert all(len(text) <= MAX_TEXT_LENGTH for _, text in entries)
        assert len(facts.dimensions.tags) == MAX_ENTRIES
        assert Note.DIMENSIONS_CUT in note_names(extraction)


def message(role: str, *texts: str) -> dict[str, Any]:
    parts: list[dict[str, str]] = [{"type": "text", "content": text} for text in texts]
    return {"role": role, "parts": [*parts, {"type": "tool_call_response", "response": "7"}]}


MESSAGES = [
    message("system", "be kind"),
    message("user", "first"),
    message("assistant", "hm"),
    message("user", "where", "is it?"),
    message("tool"),
]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"input.value": "in", "output.value": "out"}, ("in", "out")),
        ({"input.value": "", "traceloop.entity.input": "next"}, ("next", "")),
        ({"input.value": 7, "output.value": ["a", {"b": 1}]}, ("7", '["a",{"b":1}]')),
        ({"gen_ai.input.messages": json.dumps(MESSAGES)}, ("where\nis it?", "")),
        ({"gen_ai.output.messages": json.dumps(MESSAGES[:3])}, ("", "hm")),
        ({"gen_ai.input.messages": MESSAGES}, ("where\nis it?", "")),
        ({"gen_ai.prompt": '[{"role": "user", "content": "old"}]', "gen_ai.completion": "done"}, ("old", "done")),
        ({"gen_ai.input.messages": "no json"}, ("no json", "")),
        ({"gen_ai.input.messages": "[1, 2]"}, ("[1, 2]", "")),
        (
            {
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": "be kind",
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": "hello",
                "gen_ai.completion.0.content": "hi",
            },
            ("hello", "hi"),
        ),
        (
            {
                "llm.input_messages.10.message.role": "user",
                "llm.input_messages.10.message.content": "tenth",
                "llm.input_messages.9.message.role": "user",
                "llm.input_messages.9.message.content": "ninth",
                "llm.output_messages.0.message.contents.0.message_content.text": "part",
            },
            ("tenth", "part"),
        ),
        ({}, ("", "")),
    ],
)
def test_input_and_output_of_a_root_are_its_values_or_the_message_that_matters(
    attributes: dict[str, Any], expected: tuple[str, str]
) -> None:
    facts = attributes_give(attributes)

    assert (facts.input, facts.output) == expected


LONG = {"input.value": "é" * 5_000, "output.value": "x" * 5_000}


@pytest.mark.parametrize("parent_id", [b"", 7])
def test_previews_are_cut(parent_id: int | bytes) -> None:
    facts = facts_of(span(parent_id=parent_id, attributes=LONG))

    assert (facts.input, facts.output) == ("é" * PREVIEW_LENGTH, "x" * PREVIEW_LENGTH)


def texts_of(*spans: Span) -> dict[int, tuple[str, str]]:
    """Input and output by span id, of the spans that bring one."""
    extraction = extraction_of(request(*spans, resource={"session.id": "s"}))
    found = {}
    for item in extraction.groups[0].items:
        assert isinstance(item, SpanFacts)
        if item.input or item.output:
            found[int.from_bytes(item.span_id, "big")] = (item.input, item.output)
    return found


def said(text_in: str = "", text_out: str = "", **more: Any) -> dict[str, Any]:
    return {"input.value": text_in, "output.value": text_out} | more


def test_below_a_root_that_has_texts_no_span_brings_one() -> None:
    root = span(span_id=9, attributes=said("question", "answer"))

    assert texts_of(span(span_id=1, parent_id=9, attributes=said("a", "b")), root) == {9: ("question", "answer")}


def test_without_texts_of_a_root_the_first_input_and_the_last_output_below_are_brought() -> None:
    bare = [
        span(
            span_id=number,
            parent_id=9,
            start=T0 + number,
            end=T0 + 10 - number,
            attributes=said(f"i{number}", f"o{number}"),
        )
        for number in (3, 1, 2)
    ]

    assert texts_of(*bare, span(span_id=9)) == {1: ("i1", "o1")}
    assert texts_of(bare[0], bare[2], span(span_id=9, attributes=said(text_out="answer"))) == {
        2: ("i2", ""),
        9: ("", "answer"),
    }


def test_tool_calls_and_spans_without_texts_are_passed_over() -> None:
    spans = [
        span(
            span_id=1,
            parent_id=9,
            start=T0,
            end=T0 + 90,
            attributes=said("t", "t", **{"openinference.span.kind": "TOOL"}),
        ),
        span(span_id=2, parent_id=9, start=T0 + 1, end=T0 + 80),
        span(span_id=3, parent_id=9, start=T0 + 2, end=T0 + 70, attributes=said("question")),
        span(span_id=4, parent_id=9, start=T0 + 3, end=T0 + 60, attributes={"gen_ai.completion.0.content": "answer"}),
    ]

    assert texts_of(*spans) == {3: ("question", ""), 4: ("", "answer")}


def test_each_session_of_a_trace_has_texts_of_its_own() -> None:
    spans = [
        span(span_id=number, parent_id=9, attributes=said(f"i{number}", f"o{number}", **{"session.id": f"s{number}"}))
        for number in (1, 2)
    ]

    groups = extraction_of(request(*spans)).groups

    assert [
        (group.key.session_id, [item.input for item in group.items if isinstance(item, SpanFacts)]) for group in groups
    ] == [
        ("s1", ["i1"]),
        ("s2", ["i2"]),
    ]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (span(is_error=True, status_message="no"), "no"),
        (span(is_error=True, events=[event("exception", attributes={"exception.message": "boom"})]), "boom"),
        (span(is_error=True, events=[event("exception", attributes={"exception.type": "ValueError"})]), "ValueError"),
        (span(is_error=True, attributes={"error.type": "timeout"}), "timeout"),
        (span(is_error=True, attributes={"langfuse.observation.status_message": "lf"}), "lf"),
        (span(is_error=True, status_message="x" * 5_000), "x" * PREVIEW_LENGTH),
        (span(is_error=True), ""),
    ],
    ids=["status", "exception", "type of exception", "error.type", "langfuse", "long", "silent"],
)
def test_an_error_is_status_code_error_and_its_text_the_first_that_says_something(item: Any, text: str) -> None:
    facts = facts_of(item)

    assert (facts.is_error, facts.error) == (True, text)


def test_nothing_but_the_status_code_makes_an_error() -> None:
    facts = facts_of(
        span(
            status_message="bad",
            attributes={"error.type": "timeout"},
            events=[event("exception", attributes={"exception.message": "boom"})],
        )
    )

    assert (facts.is_error, facts.error) == (False, "")


def test_a_span_with_10_000_attributes_is_read_whole_and_noted() -> None:
    attributes = {f"a{i}": i for i in range(10_000)} | {"session.id": "s", "user.id": "u"}

    extraction = extraction_of(request(span(attributes=attributes), span(span_id=2, attributes={"session.id": "s"})))

    [first, second] = extraction.groups[0].items
    assert isinstance(first, SpanFacts)
    assert first.dimensions.user_id == "u"
    assert isinstance(second, SpanFacts)
    assert extraction.counts["spanloom_span_notes_total", "many_attributes"] == 1
    assert MANY_ATTRIBUTES < 10_000


def test_names_are_cut_and_nul_characters_are_kept_and_counted() -> None:
    data = request(span(name="n" * 5_000, attributes={"session.id": "s"}), span(span_id=2, name="a\0b"))

    extraction = extraction_of(data)

    names = [item.name for item in extraction.groups[0].items if isinstance(item, SpanFacts)]
    assert names == ["n" * MAX_NAME_LENGTH, "a\0b"]
    assert note_names(extraction) == {Note.NUL_CHARACTER}
