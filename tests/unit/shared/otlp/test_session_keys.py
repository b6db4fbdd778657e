"""Semantics: "Which project", "Which session a span belongs to", and the rules for ids."""

import math
from typing import Any

import pytest

from services.shared.model.outcome import Note
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.otlp.rules import Rules
from services.shared.semconv import TABLE, Meaning
from tests.support.extraction import extraction_of, items_of, note_names, notes, outcomes, sources
from tests.support.otlp import SECOND, T0, request, request_of, resource_spans, span

SESSION_NAMES = TABLE[Meaning.SESSION_ID].names


def session_ids(data: Any, rules: Rules | None = None) -> list[str]:
    return [group.key.session_id for group in extraction_of(data, rules=rules or Rules()).groups]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "abc"),
        ("  padded\t\n", "padded"),
        ("\u00a0\u2003wide\u2003", "wide"),
        (12345, "12345"),
        (-1, "-1"),
        (0, "0"),
        (1.5, "1.5"),
        (2.0, "2.0"),
        (1e16, "1e+16"),
        (1e22, "1e+22"),
        (True, "true"),
        (False, "false"),
        ('"quoted"', "quoted"),
        (' " inside " ', "inside"),
        ('"a\\"b"', 'a"b'),
        ('"\\u00e9"', "é"),
        ('""twice""', '""twice""'),
        ('"broken\\"', '"broken\\"'),
        ('"', '"'),
        ('"\\ud800"', '"\\ud800"'),
        ("[1]", "[1]"),
        ("{}", "{}"),
        ("123", "123"),
        ("x" * 256, "x" * 256),
        ("\U0001f600" * 256, "\U0001f600" * 256),
        ('"' + "x" * 256 + '"', "x" * 256),
        (" " * 1000 + "x", "x"),
        ("a\0b", "a\0b"),
        ("\0", "\0"),
    ],
)
def test_a_usable_session_id_is_read_as_the_semantics_say(value: object, expected: str) -> None:
    assert session_ids(request(span(attributes={"session.id": value}))) == [expected]


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("", Note.SESSION_ID_EMPTY),
        ("   ", Note.SESSION_ID_EMPTY),
        ('""', Note.SESSION_ID_EMPTY),
        ('"  "', Note.SESSION_ID_EMPTY),
        (None, Note.SESSION_ID_EMPTY),
        ("x" * 257, Note.SESSION_ID_TOO_LONG),
        ("x" * 10_000, Note.SESSION_ID_TOO_LONG),
        (["a"], Note.SESSION_ID_WRONG_TYPE),
        ([], Note.SESSION_ID_WRONG_TYPE),
        ({"id": "a"}, Note.SESSION_ID_WRONG_TYPE),
        ({}, Note.SESSION_ID_WRONG_TYPE),
        (b"abc", Note.SESSION_ID_WRONG_TYPE),
        (math.nan, Note.SESSION_ID_WRONG_TYPE),
        (math.inf, Note.SESSION_ID_WRONG_TYPE),
        (-math.inf, Note.SESSION_ID_WRONG_TYPE),
    ],
)
def test_an_unusable_session_id_is_counted_and_falls_through_to_the_next_name(value: object, note: Note) -> None:
    alone = extraction_of(request(span(attributes={"session.id": value})))
    with_next = extraction_of(request(span(attributes={"gen_ai.conversation.id": "next", "session.id": value})))

    assert alone.groups == []
    assert outcomes(alone) == {"no_session_id": 1}
    assert notes(alone) == notes(with_next) == {note: 1}
    assert sources(with_next) == {"gen_ai.conversation.id": 1}


def test_nul_characters_in_an_id_are_kept_and_counted() -> None:
    assert note_names(extraction_of(request(span(attributes={"session.id": "a\0b"})))) == {Note.NUL_CHARACTER}


@pytest.mark.parametrize("index", range(len(SESSION_NAMES)))
def test_names_win_in_the_order_of_the_table_wherever_they_stand_on_the_span(index: int) -> None:
    names = SESSION_NAMES[index:]
    in_order = {name: f"id of {name}" for name in names}
    reverse = dict(reversed(in_order.items()))

    for attributes in (in_order, reverse):
        extraction = extraction_of(request(span(attributes=attributes)))
        assert [group.key.session_id for group in extraction.groups] == [f"id of {names[0]}"]
        assert sources(extraction) == {names[0]: 1}


def test_the_whole_list_on_the_span_comes_before_the_whole_list_on_the_resource() -> None:
    data = request(
        span(attributes={"langsmith.trace.session_id": "last name, on the span"}),
        span(span_id=2),
        resource={"session.id": "first name, on the resource"},
    )

    assert session_ids(data) == ["last name, on the span", "first name, on the resource"]


def test_the_list_of_names_is_a_setting() -> None:
    rules = Rules(session_id_attributes=("user.id", "my.session"))
    data = request(
        span(span_id=1, attributes={"session.id": "ignored", "my.session": "mine"}),
        span(span_id=2, trace_id=2, attributes={"my.session": "mine", "user.id": "u"}),
        span(span_id=3, trace_id=3, attributes={"session.id": "ignored"}),
    )

    extraction = extraction_of(data, rules=rules)

    assert [group.key.session_id for group in extraction.groups] == ["mine", "u"]
    facts = extraction.groups[1].items[0]
    assert isinstance(facts, SpanFacts)
    assert facts.dimensions.user_id == "u"


@pytest.mark.parametrize(
    ("resource", "project"),
    [
        ({}, "default"),
        ({"service.namespace": "ns"}, "default"),
        ({"openinference.project.name": "  p "}, "p"),
        ({"openinference.project.name": "", "service.namespace": "ns"}, "ns"),
        ({"openinference.project.name": "x" * 257, "service.namespace": ["no"], "team": 7}, "7"),
        ({"openinference.project.name": "x" * 257}, "default"),
        ({"openinference.project.name": "x" * 256}, "x" * 256),
    ],
)
def test_the_project_is_the_first_usable_of_its_resource_attributes(resource: dict[str, Any], project: str) -> None:
    rules = Rules(project_attributes=("service.namespace", "team") if len(resource) > 1 else ())
    data = request(span(attributes={"session.id": "s"}), resource=resource)

    assert [group.key for group in extraction_of(data, rules=rules).groups] == [SessionKey(project, "s")]


def test_a_span_without_an_id_takes_the_first_of_its_trace_in_span_order_wherever_it_stands() -> None:
    data = request(
        span(span_id=1),
        span(span_id=2, trace_id=2),
        span(span_id=3, attributes={"session.id": "first"}),
        span(span_id=4, attributes={"session.id": "second"}),
        span(span_id=5),
    )

    extraction = extraction_of(data)

    ids = {
        key.session_id: [item.span_id[-1] for item in items if isinstance(item, SpanFacts)]
        for key, items in items_of(extraction).items()
    }
    assert ids == {"first": [1, 3, 5], "second": [4]}
    assert sources(extraction) == {"session.id": 2, "trace": 2}
    assert outcomes(extraction) == {"routed": 4, "no_session_id": 1}


def test_the_session_key_of_the_trace_is_taken_over_whole_project_included() -> None:
    data = request_of(
        resource_spans([span(span_id=1)], resource={"openinference.project.name": "caller"}),
        resource_spans(
            [span(span_id=2, attributes={"session.id": "s"})], resource={"openinference.project.name": "owner"}
        ),
    )

    assert {key: len(items) for key, items in items_of(extraction_of(data)).items()} == {SessionKey("owner", "s"): 2}


def test_an_invalid_span_binds_no_trace() -> None:
    data = request(span(span_id=0, attributes={"session.id": "s"}), span(span_id=2))

    assert outcomes(extraction_of(data)) == {"invalid_id": 1, "no_session_id": 1}


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [(b"", 1), (b"x", 1), (b"x" * 15, 1), (b"x" * 17, 1), (0, 1), (1, b""), (1, b"x" * 7), (1, b"x" * 9), (1, 0)],
)
def test_a_span_with_an_invalid_id_is_ignored_whole_and_no_other(trace_id: int | bytes, span_id: int | bytes) -> None:
    late = T0 + 30 * SECOND
    bad = span(trace_id=trace_id, span_id=span_id, start=late, attributes={"session.id": "s"})
    good = span(span_id=9, attributes={"session.id": "s"})

    extraction = extraction_of(request(bad, good))

    assert outcomes(extraction) == {"invalid_id": 1, "routed": 1}
    assert extraction.latest_end == T0 + SECOND


def test_a_parent_of_zeros_is_none_and_one_of_wrong_length_is_none_and_counted() -> None:
    zeros = extraction_of(request(span(parent_id=0, attributes={"session.id": "s"})))
    short = extraction_of(request(span(parent_id=b"abc", attributes={"session.id": "s"})))

    for extraction in (zeros, short):
        [facts] = extraction.groups[0].items
        assert isinstance(facts, SpanFacts)
        assert facts.is_root
    assert (note_names(zeros), note_names(short)) == (set(), {Note.INVALID_PARENT_ID})


def test_groups_come_in_order_of_first_appearance_and_items_in_span_order() -> None:
    data = request(*(span(trace_id=1 + i % 3, span_id=1 + i, attributes={"session.id": f"s{i % 3}"}) for i in range(9)))

    found = [
        (key.session_id, [item.span_id[-1] for item in items]) for key, items in items_of(extraction_of(data)).items()
    ]

    assert found == [("s0", [1, 4, 7]), ("s1", [2, 5, 8]), ("s2", [3, 6, 9])]


def test_a_previous_id_ends_that_session_at_the_start_of_its_carrier_in_the_carriers_project() -> None:
    carrier = span(trace_id=5, span_id=6, attributes={"session.id": "new", "session.previous_id": " old "})
    data = request(carrier, resource={"openinference.project.name": "p"})

    found = items_of(extraction_of(data))

    assert list(found) == [SessionKey("p", "new"), SessionKey("p", "old")]
    assert found[SessionKey("p", "old")] == [SessionEnd(T0, carrier.trace_id, carrier.span_id)]


def test_a_previous_id_is_of_the_spans_own_project_when_its_session_is_the_traces() -> None:
    data = request_of(
        resource_spans(
            [span(span_id=1, attributes={"session.previous_id": "old"})], resource={"openinference.project.name": "own"}
        ),
        resource_spans(
            [span(span_id=2, attributes={"session.id": "s"})], resource={"openinference.project.name": "other"}
        ),
    )

    assert list(items_of(extraction_of(data))) == [SessionKey("other", "s"), SessionKey("own", "old")]


def test_no_session_ends_itself_and_a_span_without_a_session_ends_none() -> None:
    itself = extraction_of(request(span(attributes={"session.id": "s", "session.previous_id": "s"})))
    nobody = extraction_of(request(span(attributes={"session.previous_id": "s"})))
    unusable = extraction_of(request(span(attributes={"session.id": "s", "session.previous_id": "x" * 257})))

    assert [len(group.items) for group in itself.groups] == [1]
    assert nobody.groups == []
    assert [len(group.items) for group in unusable.groups] == [1]
