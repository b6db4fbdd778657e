"""What judges say, as spans carry it."""

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.annotation import Annotation, Scope
from services.shared.model.outcome import Note
from services.shared.model.span import SpanFacts
from services.shared.otlp.annotations import MAX_ANNOTATIONS, MAX_CHARACTERS, MAX_NAME_LENGTH, MAX_TEXT_LENGTH
from tests.support.extraction import extraction_of, facts_of, note_names
from tests.support.otlp import SECOND, T0, event, request, span, span_bytes, trace_bytes

EVALUATOR = {"openinference.span.kind": "EVALUATOR"}


def annotations_of(item: Span) -> tuple[Annotation, ...]:
    return facts_of(item).annotations


def notes_of(item: Span) -> set[Note]:
    return note_names(extraction_of(request(item, resource={"session.id": "s"})))


def fields(prefix: str, **values: Any) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


QUALITY = {"name": "quality", "score": 0.5, "label": "good", "explanation": "polite", "annotator_kind": "llm"}


@pytest.mark.parametrize("form", ["annotation", "evaluation"])
@pytest.mark.parametrize(
    ("of", "scope", "trace", "number"),
    [
        ("session.", Scope.SESSION, b"", b""),
        ("trace.", Scope.TRACE, trace_bytes(7), b""),
        ("", Scope.SPAN, trace_bytes(7), span_bytes(8)),
    ],
)
def test_both_forms_annotate_the_session_the_trace_or_the_span(
    form: str, of: str, scope: Scope, trace: bytes, number: bytes
) -> None:
    said = fields(f"{of}{form}s.0.{form}", **QUALITY, identifier="run-1", metadata='{"a": 1}')

    assert annotations_of(span(trace_id=7, span_id=8, attributes=said)) == (
        Annotation(*(scope, trace, number, "quality", "LLM", "good", 0.5, "polite", "run-1", '{"a": 1}'), T0 + SECOND),
    )


def test_several_annotations_come_in_one_order_whatever_the_order_of_their_attributes() -> None:
    said = fields("annotations.1.annotation", name="b", label="x") | fields(
        "annotations.0.annotation", name="a", score=1
    )
    said |= fields("session.annotations.0.annotation", name="c", explanation="y")

    found = annotations_of(span(attributes=said))

    assert [one.name for one in found] == ["c", "a", "b"]
    assert found == annotations_of(span(attributes=dict(reversed(said.items()))))


def test_they_are_neither_session_attributes_nor_metadata() -> None:
    facts = facts_of(
        span(attributes=fields("session.annotations.0.annotation", **QUALITY) | {"session.annotations": "x"})
    )

    assert facts.dimensions.session == (("session.annotations", "x"),)


@pytest.mark.parametrize(("of", "target"), [("trace.", (trace_bytes(5), b"")), ("", (trace_bytes(5), span_bytes(6)))])
def test_an_evaluator_span_with_one_link_annotates_what_it_links_to(of: str, target: tuple[bytes, bytes]) -> None:
    said = EVALUATOR | fields(f"{of}annotations.0.annotation", **QUALITY)

    [found] = annotations_of(span(attributes=said, links=[(5, 6)]))

    assert (found.trace_id, found.span_id) == target


def test_a_span_of_another_kind_annotates_itself_whatever_it_links_to() -> None:
    [found] = annotations_of(
        span(trace_id=1, attributes=fields("trace.annotations.0.annotation", **QUALITY), links=[(5, 6)])
    )

    assert found.trace_id == trace_bytes(1)


def test_an_evaluator_span_with_several_links_annotates_only_its_session() -> None:
    said = EVALUATOR | fields("trace.annotations.0.annotation", **QUALITY)
    carrier = span(attributes=said | fields("session.annotations.0.annotation", **QUALITY), links=[(5, 6), (5, 7)])

    assert [one.scope for one in annotations_of(carrier)] == [Scope.SESSION]
    assert notes_of(carrier) == {Note.ANNOTATION_INVALID}


def test_evaluation_events_annotate_their_span() -> None:
    said = {
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": "0.25",
        "gen_ai.evaluation.score.label": "low",
        "gen_ai.evaluation.explanation": "off topic",
    }
    judged = event("gen_ai.evaluation.result", at=T0 + 5, attributes=said)

    assert annotations_of(span(trace_id=7, span_id=8, events=[event("other"), judged])) == (
        Annotation(
            *(Scope.SPAN, trace_bytes(7), span_bytes(8), "relevance", "CODE", "low", 0.25, "off topic", "", ""), T0 + 5
        ),
    )


@pytest.mark.parametrize(
    "said",
    [
        {"name": "", "score": 1},
        {"score": 1},
        {"name": "q"},
        {"name": "q", "score": "high"},
        {"name": "q", "score": float("nan")},
        {"name": "q", "score": [1]},
    ],
)
def test_without_a_name_or_anything_said_there_is_none_and_it_is_noted(said: dict[str, Any]) -> None:
    carrier = span(attributes=fields("annotations.0.annotation", **said))

    assert annotations_of(carrier) == ()
    assert notes_of(carrier) == {Note.ANNOTATION_INVALID}


@pytest.mark.parametrize(
    "name",
    ["annotations.x.annotation.name", "annotations.0.evaluation.name", "annotations.0.annotation.other", "annotations"],
)
def test_other_names_are_no_annotation(name: str) -> None:
    carrier = span(attributes={name: "quality"})

    assert annotations_of(carrier) == ()
    assert notes_of(carrier) == set()


def test_annotations_are_bounded_in_number_and_size_and_the_cut_is_noted() -> None:
    many: dict[str, Any] = {}
    for number in range(1_000):
        many |= fields(f"annotations.{number}.annotation", name=f"n{number}", score=number)
    large: dict[str, Any] = {}
    for number in range(50):
        large |= fields(
            f"annotations.{number}.annotation", name="n" * 5_000, explanation="é" * 9_000, metadata="m" * 9_000
        )

    for said in (many, large):
        carrier = span(attributes=said)
        found = annotations_of(carrier)
        assert 0 < len(found) <= MAX_ANNOTATIONS
        assert sum(len(one.name) + len(one.explanation) + len(one.metadata) for one in found) <= MAX_CHARACTERS
        assert all(len(one.name) <= MAX_NAME_LENGTH and len(one.explanation) <= MAX_TEXT_LENGTH for one in found)
        assert Note.ANNOTATIONS_CUT in notes_of(carrier)


def test_annotations_of_a_resource_are_nobodys() -> None:
    said = fields("session.annotations.0.annotation", **QUALITY) | {"session.id": "s"}

    [group] = extraction_of(request(span(), resource=said)).groups

    assert [item.annotations for item in group.items if isinstance(item, SpanFacts)] == [()]
