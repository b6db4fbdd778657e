"""What judges say goes out once for each span that carries it, at the version of its record."""

from services.shared.model.annotation import Annotation, Scope
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import SpanGroup, SpansRecord, decode, encode_spans
from tests.support.session_run import KEY, SessionRun, span
from tests.support.spans import T0, span_id, trace_id


def said(
    scope: Scope = Scope.SESSION, *, name: str = "quality", label: str = "good", identifier: str = ""
) -> Annotation:
    trace = b"" if scope is Scope.SESSION else trace_id(7)
    target = span_id(8) if scope is Scope.SPAN else b""
    return Annotation(scope, trace, target, name, "LLM", label, 0.5, "why", identifier, "", T0 + 5)


def test_annotations_are_published_with_their_session_target_and_version() -> None:
    run = SessionRun()
    version = run.add(span(1, 0, annotations=(said(), said(Scope.TRACE), said(Scope.SPAN))))

    found = run.flush().annotations

    assert [(row["scope"], row["trace_id"], row["span_id"]) for row in found] == [
        ("session", "", ""),
        ("trace", trace_id(7).hex(), ""),
        ("span", trace_id(7).hex(), span_id(8).hex()),
    ]
    assert {(row["project"], row["session_id"], row["version"]) for row in found} == {(*KEY, version)}
    assert (found[0]["score"], found[0]["annotated_at"], found[0]["ingested_at"]) == (0.5, T0 + 5, T0)


def test_a_copy_of_the_span_publishes_nothing_more() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1, annotations=(said(),)))
    run.flush()
    run.add(span(1, 0, number=1, annotations=(said(label="other"),)))

    assert run.flush().annotations == []


def test_of_one_name_and_identifier_in_one_record_the_last_one_counts() -> None:
    run = SessionRun()
    run.add(
        span(1, 0, annotations=(said(label="first"), said(label="kept", identifier="i"))),
        span(1, 1, annotations=(said(label="last"),)),
    )

    assert [(row["label"], row["identifier"]) for row in run.flush().annotations] == [("kept", "i"), ("last", "")]


def test_a_worker_that_takes_over_publishes_the_same_and_a_crash_publishes_nothing() -> None:
    run = SessionRun()
    run.add(span(1, 0, annotations=(said(),)))
    lost = run.stage_run.prepare()
    run.stage_run.crash()

    again = run.stage_run.prepare()

    assert again.outputs == lost.outputs
    run.stage_run.commit(again)
    assert run.flush().annotations == []


def test_a_session_without_annotations_publishes_none_of_another_one() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 0, annotations=(said(),)), key=SessionKey("shop", "s2"))

    assert [row["session_id"] for row in run.flush().annotations] == ["s2"]


def test_annotations_and_tools_come_through_the_topic_of_facts() -> None:
    groups = (SpanGroup(KEY, T0, (span(1, 0, tool="lookup", annotations=(said(), said(Scope.SPAN))), span(1, 1))),)

    assert decode(encode_spans(groups)) == SpansRecord(groups)
