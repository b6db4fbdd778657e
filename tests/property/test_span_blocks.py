"""The compiled writer of span rows makes the rows of the definition, whatever the bytes."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services import COMPILED
from services.shared.otlp.rules import Rules
from services.shared.records.source_record import SourceRecord
from services.sink.batch import BatchRows, convert
from services.sink.rows import COLUMNS, SPANS, SpanConversion
from services.sink.span_blocks import SpanWriter, span_writer
from tests.support.bad_input import bad_records
from tests.support.fuzz.mutation import mutated
from tests.support.native_block import rows_of_block
from tests.support.otlp import HOUR, MINUTE, T0, event, request, span, to_json, to_protobuf
from tests.support.traffic import make_traffic
from tests.unit.shared.otlp.test_any_input import requests

RULES = {
    "built-in": Rules(),
    "others": Rules(
        session_id_attributes=("metadata{user.id}", "session.id", "x{id}"), project_attributes=("service.namespace",)
    ),
    "two meanings": Rules(session_id_attributes=("openinference.span.kind", "user.id")),
}


def make_corpus() -> list[bytes]:
    """Export requests as they come, good and bad."""
    traffic = make_traffic(seed=7, sessions=12, spans=300, begin=T0, length=2 * HOUR, gap=10 * MINUTE, largest_batch=2)
    return [*traffic.records, *(record.value for record in bad_records(T0) if len(record.value) < 3_000)]


pytestmark = pytest.mark.skipif(COMPILED == "off", reason="the definition alone is in use")


def writer_of(rules: Rules, *, roots_only: bool = False) -> tuple[SpanWriter, SpanConversion]:
    conversion = SpanConversion(rules, roots_only=roots_only)
    writer = span_writer(conversion)
    if writer is None:
        pytest.fail("services.shared.otlp._rows is not built: run deploy/compile")
    return writer, conversion


def check(writer: SpanWriter, conversion: SpanConversion, values: Sequence[bytes], time: int = T0) -> BatchRows:
    """The same rows in the same order, the same records without any."""
    records = [SourceRecord("spans", 0, offset, time, None, value) for offset, value in enumerate(values)]
    expected = convert(records, conversion)
    written = writer.write(records, 10)
    assert written is not None
    assert written.unreadable == expected.unreadable
    found = [row for block in written.blocks for row in rows_of_block(block.data)]
    assert found == [row.values for row in expected.rows.get(SPANS, [])]
    firsts = [block.first for block in written.blocks]
    assert firsts == [sum(block.count for block in written.blocks[:number]) for number in range(len(firsts))]
    assert all(block.columns == COLUMNS[SPANS] for block in written.blocks)
    return written


@pytest.fixture(scope="module", params=RULES)
def made(request: pytest.FixtureRequest) -> tuple[SpanWriter, SpanConversion]:
    return writer_of(RULES[request.param])


def field(number: int, content: bytes) -> bytes:
    """A message or a text inside a message, up to 16,383 bytes."""
    size = bytes([len(content) & 0x7F | 0x80, len(content) >> 7])
    return bytes([number << 3 | 2]) + size + content


def whole(span_bytes: bytes) -> bytes:
    return field(1, field(2, field(2, span_bytes)))


ONE = span(name="one", attributes={"session.id": "s", "n": 1}).SerializeToString()
NAMED = field(9, field(1, b"a") + field(2, field(1, b"first")))
ODD = {
    "an attribute twice": whole(ONE + NAMED + field(9, field(1, b"a") + field(2, field(1, b"last")))),
    "a session id twice": whole(ONE + field(9, field(1, b"session.id") + field(2, field(1, b"other")))),
    "a value in two parts": whole(ONE + field(9, field(1, b"a") + field(2, field(1, b"x")) + field(2, field(1, b"y")))),
    "two values": whole(ONE + field(9, field(1, b"a") + field(2, b"\x18\x05" + field(1, b"x")))),
    "a value before its key": whole(ONE + field(9, field(2, field(1, b"x")) + field(1, b"b"))),
    "no key": whole(ONE + field(9, field(2, field(1, b"x")))),
    "nothing": whole(ONE + field(9, b"")),
    "a status in two parts": whole(ONE + field(15, b"\x18\x02") + field(15, field(2, b"why"))),
    "a field nobody knows": whole(ONE + field(14, b"?") + b"\x98\x06\x05"),
    "a group": whole(ONE + b"\xa3\x06\x08\x01\xa4\x06"),
    "a number longer than it need be": whole(ONE + b"\x30\x83\x80\x00"),
    "a kind of 64 bits": whole(ONE + b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    "a name that is no UTF-8": whole(ONE + field(5, b"\xff")),
    "a name with a surrogate": whole(ONE + field(5, b"\xed\xa0\x80")),
    "a span after one that cannot be read": whole(ONE) + whole(ONE + field(5, b"\xc0\x80")),
    "a resource in two parts": field(
        1, field(1, NAMED.replace(b"\x4a", b"\x0a", 1)) + field(1, b"") + field(2, field(2, ONE))
    ),
    "a resource after its spans": field(1, field(2, field(2, ONE)) + field(1, NAMED.replace(b"\x4a", b"\x0a", 1))),
    "a scope after its spans": field(1, field(2, field(2, ONE) + field(1, field(1, b"scope") + field(2, b"7")))),
    "a resource that cannot be read": field(1, field(1, b"\x0a\x05") + field(2, field(2, ONE))),
    "a scope that cannot be read": field(1, field(2, field(1, b"\x0a\x05") + field(2, ONE))),
    "an unknown field beside the resources": whole(ONE) + b"\x12\x00",
    "cut short": whole(ONE)[:-1],
    "more attributes than are kept": to_protobuf(request(span(attributes={f"a{n}": n for n in range(1_001)}))),
    "as many as are kept": to_protobuf(request(span(attributes={f"a{n}": n for n in range(1_000)}))),
    "many ids": to_protobuf(
        request(span(attributes=dict.fromkeys(Rules().session_id_attributes, "") | {"session.id": " "}))
    ),
    "a long word for the kind": to_protobuf(request(span(attributes={"openinference.span.kind": "LLM" * 40}))),
    "a word that is no text": to_protobuf(request(span(attributes={"openinference.span.kind": 7, "span.type": "llm"}))),
    "a large map": to_protobuf(request(span(attributes={"m": {f"k{n}": n for n in range(65)}}))),
    "deep": to_protobuf(request(span(attributes={"d": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}))),
    "doubles": to_protobuf(
        request(
            span(
                attributes={
                    f"{value}": value
                    for value in (0.0, -0.0, 1.5, 1e15, 1e16, 1.5e16, 1e17, 1e-4, 1e-5, 1.25e-5, 1e-7, 5e-324, 1e300)
                }
                | {"nan": float("nan"), "all": [float("inf"), float("-inf"), float("nan")]}
            )
        )
    ),
    "JSON": to_json(request(span(attributes={"session.id": "s", "\ud7ff": "\u2028"}))),
    "not a request": b"\x00",
    "no bytes": b"",
    "a line feed": b"\n",
}


@pytest.mark.parametrize("name", ODD)
def test_what_no_encoder_writes_gives_the_rows_of_the_definition(
    made: tuple[SpanWriter, SpanConversion], name: str
) -> None:
    check(*made, [whole(ONE), ODD[name], whole(ONE)])


@given(st.lists(requests(), max_size=3), st.booleans())
def test_any_spans_give_the_rows_of_the_definition(written: list[TracesData], roots_only: bool) -> None:
    for rules in RULES.values():
        check(*writer_of(rules, roots_only=roots_only), [to_protobuf(each) for each in written])


@given(st.text(), st.binary(), st.floats())
def test_texts_bytes_and_numbers_are_written_as_the_definition_writes_them(
    text: str, data: bytes, number: float
) -> None:
    attributes = {"session.id": text, text: [text, data, number], "b": data, "f": number, "m": {text: text}}
    one = span(name=text, attributes=attributes, events=[event(text, attributes={text: number})])
    check(*writer_of(Rules()), [to_protobuf(request(one, resource={"service.name": text, "t": text}))])


def test_mutated_records_give_the_rows_of_the_definition(made: tuple[SpanWriter, SpanConversion]) -> None:
    random, corpus = Random(20_261_121), make_corpus()
    for _ in range(150):
        check(*made, [mutated(random.choice(corpus), random, corpus) for _ in range(10)])


@pytest.mark.slow
def test_a_hundred_thousand_mutated_records_give_the_rows_of_the_definition(
    made: tuple[SpanWriter, SpanConversion],
) -> None:
    random, corpus = Random(7), make_corpus()
    for _ in range(1_000):
        check(*made, [mutated(random.choice(corpus), random, corpus) for _ in range(100)])


def test_what_encoders_write_needs_no_python(made: tuple[SpanWriter, SpanConversion]) -> None:
    writer, _ = writer_of(Rules())
    values = [value for value in make_corpus() if value[:1] == b"\n"]
    assert len(values) > 100
    check(*made, values)
    records = [SourceRecord("spans", 0, offset, T0, None, value) for offset, value in enumerate(values)]
    written = writer.write(records, 10_000)
    assert written is not None
    rows = sum(block.count for block in written.blocks)
    assert writer._block.by_python < rows / 50


def test_a_block_ends_with_the_record_that_fills_it() -> None:
    values = [to_protobuf(request(*(span(span_id=n + 1) for n in range(7)))) for _ in range(5)]
    written = check(*writer_of(Rules()), values)
    assert [(block.first, block.count) for block in written.blocks] == [(0, 14), (14, 14), (28, 7)]


@pytest.mark.parametrize("time", [0, -1_000_000, 2**63 - 10**9])
def test_times_at_the_ends_of_what_fits(time: int) -> None:
    record = SourceRecord("spans", 0, 0, time, None, whole(ONE))
    writer, conversion = writer_of(Rules())
    written = writer.write([record], 10)
    expected = [row.values for row in convert([record], conversion).rows[SPANS]]
    assert written is not None
    assert [row for block in written.blocks for row in rows_of_block(block.data)] == expected


def test_a_value_that_no_column_takes_is_left_to_the_definition() -> None:
    writer, _ = writer_of(Rules(max_future=2**64))
    late = span(start=2**64 - 2, end=2**64 - 1)
    record = SourceRecord("spans", 0, 0, T0, None, to_protobuf(request(late)))
    assert writer.write([record], 10) is None
    check(writer, SpanConversion(Rules(max_future=2**64), roots_only=False), [whole(ONE)])
