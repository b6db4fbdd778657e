"""What a sink puts aside keeps to the redaction policy, and nothing is put aside where none is kept."""

from collections.abc import Mapping
from dataclasses import asdict

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.redaction import Redaction, parse_rule
from services.shared.otlp.rows import span_rows
from services.shared.otlp.rules import Rules
from services.shared.records.source_record import SourceRecord
from services.sink.letters import NoDeadLetters, RedactedLetters
from tests.support.otlp import MINUTE, T0, request, span, to_protobuf
from tests.support.sinks import source_record


class KeptLetters:
    def __init__(self) -> None:
        self.kept: list[tuple[SourceRecord, Mapping[str, str]]] = []
        self.is_stopped = False

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        self.kept.append((record, headers))

    async def stop(self) -> None:
        self.is_stopped = True


POLICY = Redaction([parse_rule("hash:user.id"), parse_rule("drop:metadata")], key="k" * 16, capture_content=False)
DATA = request(span(attributes={"session.id": "s", "user.id": "alice", "metadata": "{}", "input.value": "a question"}))


def rows(value: bytes) -> list[dict[str, object]]:
    data, rules = TracesData.FromString(value), Rules(redaction=POLICY)
    return [asdict(row) for row in span_rows(data, T0 + MINUTE, rules, roots_only=False)]


async def test_a_record_that_was_refused_is_put_aside_without_what_the_policy_leaves_out_of_it() -> None:
    letters = KeptLetters()
    redacted = RedactedLetters(letters, POLICY)

    await redacted.put(source_record(to_protobuf(DATA), 5), {"reason": "refused"})
    await redacted.stop()

    [(record, headers)] = letters.kept
    assert (record.offset, headers, letters.is_stopped) == (5, {"reason": "refused"}, True)
    assert record.value is not None
    assert b"alice" not in record.value
    assert b"a question" not in record.value


async def test_it_gives_the_rows_that_it_would_have_given() -> None:
    letters = KeptLetters()
    await RedactedLetters(letters, POLICY).put(source_record(to_protobuf(DATA), 5), {})
    [(record, _)] = letters.kept

    assert rows(record.value or b"") == rows(to_protobuf(DATA))


async def test_where_none_are_kept_none_are_written() -> None:
    letters = NoDeadLetters()

    await letters.put(source_record(b"bytes", 5), {})
    await letters.stop()
