"""Traffic is what its case says."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from tests.bench.case import LARGE_SPAN_RECORD, Case
from tests.bench.load import Requests, project, records, session_id, trace_id
from tests.support.otlp import T0


@pytest.mark.parametrize(
    "case",
    [
        Case(1_010),
        Case(1_010, span_bytes=500, record_spans=8),
        Case(90, span_bytes=20_000, record_spans=LARGE_SPAN_RECORD),
        Case(1_010, session_spans=100),
        Case(1_010, session_spans=10_000),
    ],
    ids=lambda case: case.name,
)
def test_traffic_is_what_its_case_says(case: Case) -> None:
    batches = [_spans(value) for value in records(case, T0)]
    spans = [span for batch in batches for span in batch]
    assert len(spans) == case.spans
    assert {len(batch) for batch in batches[:-1]} <= {case.record_spans}
    assert len({(span.trace_id, span.span_id) for span in spans}) == case.spans
    assert len({span.attributes[0].value.string_value for span in spans}) == -(-case.spans // case.session_spans)
    assert sum(span.ByteSize() for span in spans) / case.spans == pytest.approx(case.span_bytes, rel=0.1)
    ends = [max(span.end_time_unix_nano for span in batch) for batch in batches]
    assert ends == sorted(ends)


def test_traffic_is_the_same_each_time() -> None:
    assert list(records(Case(1_000), T0)) == list(records(Case(1_000), T0))


def test_what_is_filled_into_templates_is_what_the_protobuf_library_would_write() -> None:
    for value in records(Case(1_010, span_bytes=500), T0):
        assert TracesData.FromString(value).SerializeToString() == value


def test_a_span_has_the_ids_times_and_session_of_its_moment() -> None:
    root, child = _spans(Requests(500).of([(T0, 7, 2, 4), (T0 + 1, 7, 2, 0)]))
    for span, end in ((root, T0), (child, T0 + 1)):
        assert (span.trace_id, span.end_time_unix_nano) == (trace_id(7, 2), end)
        assert span.attributes[0].value.string_value == session_id(7)
    assert (root.parent_span_id, child.parent_span_id) == (b"", root.span_id)
    (group,) = TracesData.FromString(Requests(500).of([(T0, 7, 0, 0)])).resource_spans
    assert group.resource.attributes[0].value.string_value == project(7)


def test_spans_name_their_session_on_roots_alone_where_that_is_asked_for() -> None:
    spans = _spans(Requests(500, roots_only=True).of([(T0, 7, 0, place) for place in range(5)]))
    assert [span.attributes[0].key == "session.id" for span in spans] == [False, False, False, False, True]


def test_texts_of_its_own_leave_a_span_as_large_as_it_was() -> None:
    moments = [(T0, number, 0, place) for number in range(50) for place in range(5)]
    same, own = (_spans(Requests(2_600, own_texts=own).of(moments)) for own in (False, True))
    assert [span.ByteSize() for span in own] == [span.ByteSize() for span in same]
    assert len({span.attributes[-1].value.string_value for span in own}) == len(own)


@pytest.mark.parametrize("length", [0, 100, 1_000])
def test_texts_are_as_long_as_asked_for(length: int) -> None:
    (span,) = _spans(Requests(500, text=length).of([(T0, 1, 0, 4)]))
    texts = [item.value.string_value for item in span.attributes if item.key in {"input.value", "output.value"}]
    assert [len(text) for text in texts] == [length, length] * bool(length)


def _spans(value: bytes) -> list[Span]:
    request = TracesData.FromString(value)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
