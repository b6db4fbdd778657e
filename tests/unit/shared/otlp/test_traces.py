"""Semantics: "Which session a span belongs to", as far as one record can say, and what it tells the others."""

from typing import Any

import pytest

from services.shared.model.session_key import SessionKey
from services.shared.otlp.facts import Extraction
from services.shared.otlp.rules import Resolve, Rules
from tests.support.extraction import extraction_of, outcomes
from tests.support.otlp import request, request_of, resource_spans, span
from tests.support.spans import span_id, trace_id

SOME, OTHER = SessionKey("default", "s"), SessionKey("default", "t")


def of(number: int, *, trace: int = 1, parent: int = 0, **attributes: Any) -> Any:
    """A span; `session` is its session id, if it has one, and `previous` that of the session that it ends."""
    names = {"session": "session.id", "previous": "session.previous_id"}
    named = {names[name]: value for name, value in attributes.items()}
    return span(trace_id=trace, span_id=number, parent_id=parent, attributes=named)


def extracted(*spans: Any, resolve: Resolve = Resolve.ALWAYS) -> Extraction:
    return extraction_of(request(*spans), rules=Rules(resolve=resolve))


def waiting(extraction: Extraction) -> list[int]:
    return [int.from_bytes(each.facts.span_id, "big") for _, each in extraction.waiting]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_id_on_any_span_serves_its_trace_at_once_and_binds_it_for_others(number: int) -> None:
    spans = [
        of(each, parent=each - 1, session="s") if each == number else of(each, parent=each - 1) for each in (3, 2, 1)
    ]

    extraction = extracted(*spans)

    assert [(group.key, len(group.items)) for group in extraction.groups] == [(SOME, 3)]
    assert extraction.waiting == []
    assert extraction.bindings == {trace_id(1): SOME}


def test_a_trace_without_an_id_waits_and_is_not_bound() -> None:
    extraction = extracted(of(1), of(2, trace=2, session="s"), of(3, parent=1))

    assert waiting(extraction) == [1, 3]
    assert extraction.bindings == {trace_id(2): SOME}
    assert outcomes(extraction) == {"waiting": 2, "routed": 1}


JUDGES = {
    "openinference.span.kind": "EVALUATOR",
    "trace.annotations.0.annotation.name": "quality",
    "trace.annotations.0.annotation.score": 1,
}


def test_an_evaluator_root_takes_the_session_of_the_trace_that_its_one_link_names() -> None:
    judge = span(trace_id=9, span_id=9, attributes=JUDGES, links=[(1, 1)])

    together, alone = extracted(judge, of(1, session="s"), of(5, trace=9, session="t")), extracted(judge)

    found = {group.key: [item.span_id for item in group.items] for group in together.groups}
    assert found == {SOME: [span_id(9), span_id(1)], OTHER: [span_id(5)]}
    assert [each.facts.session_trace for _, each in alone.waiting] == [trace_id(1)]


@pytest.mark.parametrize(
    "judge",
    [
        span(trace_id=9, attributes=JUDGES, links=[(1, 1), (1, 2)]),
        span(trace_id=9, attributes=JUDGES | {"openinference.span.kind": "CHAIN"}, links=[(1, 1)]),
        span(trace_id=9, attributes={"openinference.span.kind": "EVALUATOR"}, links=[(1, 1)]),
        span(trace_id=9, parent_id=4, attributes=JUDGES, links=[(1, 1)]),
    ],
    ids=["two links", "another kind", "says nothing", "no root"],
)
def test_other_spans_with_links_take_the_session_of_their_own_trace(judge: Any) -> None:
    extraction = extracted(judge, of(1, session="s"))

    assert [each.facts.session_trace for _, each in extraction.waiting] == [trace_id(9)]


def test_spans_that_name_two_sessions_go_their_own_ways_and_the_first_binds_the_trace() -> None:
    extraction = extracted(of(1), of(2, session="s"), of(3, session="t"))

    found = {group.key: [item.span_id for item in group.items] for group in extraction.groups}
    assert found == {SOME: [span_id(1), span_id(2)], OTHER: [span_id(3)]}
    assert extraction.bindings == {trace_id(1): SOME}


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (True, "true"), ("  s\n", "s"), ('"s"', "s")])
def test_a_binding_names_the_session_as_the_span_that_has_the_id_is_read(value: object, text: str) -> None:
    assert extracted(of(1, session=value)).bindings == {trace_id(1): SessionKey("default", text)}


def test_an_unusable_id_is_none() -> None:
    extraction = extracted(of(1, session=" "), of(2, session=["s"]))

    assert waiting(extraction) == [1, 2]
    assert extraction.bindings == {}


def test_a_waiting_span_keeps_its_own_project_and_the_session_that_it_ends() -> None:
    mine, yours = {"openinference.project.name": "mine"}, {"openinference.project.name": "yours"}
    data = request_of(
        resource_spans([of(1, previous="old")], resource=mine),
        resource_spans([of(2)], resource=yours),
    )

    extraction = extraction_of(data, rules=Rules(resolve=Resolve.ALWAYS))

    assert [(project, each.previous_id) for project, each in extraction.waiting] == [("mine", "old"), ("yours", "")]
    assert extraction.groups == []


@pytest.mark.parametrize("resolve", [Resolve.ALWAYS, Resolve.WHEN_MISSING])
def test_spans_without_a_session_count_for_time(resolve: Resolve) -> None:
    assert extracted(of(1), resolve=resolve).latest_end is not None


def test_where_nothing_is_resolved_no_span_waits_and_no_trace_is_bound() -> None:
    extraction = extracted(of(1), of(2, trace=2, session="s"), resolve=Resolve.OFF)

    assert (extraction.waiting, extraction.bindings) == ([], {})
    assert outcomes(extraction) == {"no_session_id": 1, "routed": 1}


@pytest.mark.parametrize(
    ("spans", "is_bound"),
    [
        ((of(1, session="s"), of(2, parent=1, session="s")), False),
        ((of(2, parent=1, session="s"), of(3, parent=2, session="t"), of(1, session="s")), False),
        ((of(1, session="s"),), True),  # a root alone says nothing of its children
        ((of(1, session="s"), of(4, session="s")), True),
        ((of(2, parent=1, session="s"),), True),  # there is a root elsewhere
        ((of(2, parent=1, session="s"), of(3, parent=1, session="s")), True),
        ((of(1, session="s"), of(2, parent=1)), True),  # a child names none
        ((of(1), of(2, parent=1, session="s")), True),
        ((of(1, session="s"), of(2, parent=1, session="s"), of(3, parent=9, session="s")), True),
        # a parent of another trace is none
        ((of(1, session="s"), of(2, parent=7, session="s"), of(7, trace=2)), True),
    ],
)
def test_when_missing_leaves_out_traces_that_are_whole_and_name_the_session_on_every_span(
    spans: tuple[Any, ...], *, is_bound: bool
) -> None:
    extraction = extracted(*spans, resolve=Resolve.WHEN_MISSING)

    assert (trace_id(1) in extraction.bindings) == is_bound
    assert extraction.bindings.items() <= extracted(*spans).bindings.items()
