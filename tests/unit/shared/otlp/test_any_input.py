"""Whatever bytes come: a value, never an exception; and what both encodings say is the same."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.model.span import SpanFacts
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import Extraction, extract
from services.shared.otlp.plan import plans_for
from services.shared.otlp.rows import span_rows
from services.shared.otlp.rules import Rules
from services.shared.records.session_spans import SpansRecord, decode, encode_spans
from services.shared.semconv import TABLE
from tests.support.otlp import T0, encodings, event, request_of, resource_spans, span, to_json, to_protobuf

RULES = Rules(project_attributes=("service.namespace",))
KNOWN_NAMES = sorted(
    {name.removesuffix("}").partition("{")[0].replace("*", "x") for names in TABLE.values() for name in names.names}
    | {"llm.input_messages.0.message.content", "gen_ai.prompt.0.role", "session.type", "session.end"}
)

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["s", "LLM", "chat", "12", "-1", "1e400", "[1]", '{"input": 3}', '"q"', "x" * 300, "\0", '{"a":', "NaN"]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=8),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
attributes = st.dictionaries(st.one_of(st.sampled_from(KNOWN_NAMES), texts), values, max_size=8)
times = st.one_of(
    st.integers(T0 - 10**12, T0 + 10**12),
    st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
ids_16 = st.one_of(st.integers(0, 3), st.binary(max_size=20))
ids_8 = st.one_of(st.integers(0, 3), st.binary(max_size=10))


@st.composite
def spans(draw: st.DrawFn) -> Span:
    return span(
        trace_id=draw(ids_16),
        span_id=draw(ids_8),
        parent_id=draw(ids_8),
        start=draw(times),
        end=draw(times),
        name=draw(texts),
        attributes=draw(attributes),
        is_error=draw(st.booleans()),
        status_message=draw(texts),
        events=[
            event(draw(st.sampled_from(["session.end", "exception", "x"])), at=draw(times), attributes=draw(attributes))
            for _ in range(draw(st.integers(0, 2)))
        ],
    )


@st.composite
def requests(draw: st.DrawFn) -> TracesData:
    return request_of(
        *(
            resource_spans(draw(st.lists(spans(), max_size=4)), resource=draw(attributes))
            for _ in range(draw(st.integers(0, 2)))
        )
    )


def read(value: bytes) -> Extraction | DeadLetter:
    """As the first stage and the span sink read it."""
    data = decode_request(value)
    if isinstance(data, DeadLetter):
        return data
    extraction = extract(data, T0, RULES)
    rows = list(span_rows(data, T0, RULES, roots_only=False))
    assert len(rows) == sum(count for (name, _), count in valid_spans(extraction))
    return extraction


def valid_spans(extraction: Extraction) -> list[tuple[tuple[str, str], int]]:
    return [
        (key, count)
        for key, count in extraction.counts.items()
        if key[0] == "spanloom_spans_total" and key[1] != "invalid_id"
    ]


@given(requests())
@settings(max_examples=100, deadline=None)
def test_any_request_is_read_alike_in_every_encoding_and_fits_its_record(data: TracesData) -> None:
    first, *others = [read(value) for value in encodings(data)]

    assert isinstance(first, Extraction)
    assert all(other == first for other in others)
    record = decode(encode_spans(first.groups))
    assert record == SpansRecord(tuple(first.groups))
    spans_in = sum(len(scoped.spans) for group in data.resource_spans for scoped in group.scope_spans)
    counted = sum(count for (name, _), count in first.counts.items() if name == "spanloom_spans_total")
    assert counted == spans_in
    for group in first.groups:
        assert 1 <= len(group.key.session_id) <= 256
        assert 1 <= len(group.key.project) <= 256
        assert all(
            item.start <= item.end <= T0 + RULES.max_future for item in group.items if isinstance(item, SpanFacts)
        )


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_request_or_a_dead_letter(value: bytes) -> None:
    read(value)


@given(
    requests(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_a_request_with_some_bytes_changed_is_a_request_or_a_dead_letter(
    data: TracesData, changes: list[tuple[int, int]], as_json: bool
) -> None:
    value = bytearray(to_json(data) if as_json else to_protobuf(data))
    for position, byte in changes:
        if value:
            value[position % len(value)] = byte

    read(bytes(value))


JSON_NAMES = ["resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value", "stringValue", "values"]
MORE_JSON_NAMES = ["intValue", "arrayValue", "kvlistValue", "traceId", "startTimeUnixNano", "events", "status"]

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(JSON_NAMES + MORE_JSON_NAMES), inner, max_size=4),
    ),
    max_leaves=15,
)


@given(json_values)
@settings(max_examples=100, deadline=None)
def test_any_json_is_a_request_or_a_dead_letter(document: object) -> None:
    read(orjson.dumps({"resourceSpans": document}))


def test_a_flood_of_attribute_names_does_not_grow_the_plan_without_bound() -> None:
    rules = Rules(max_future=1)
    for batch in range(5):
        names = {f"name.{batch}.{i}": 1 for i in range(2_000)}
        extract(request_of(resource_spans([span(attributes=names)])), T0, rules)

    assert len(plans_for(rules).roots) <= 4_096
