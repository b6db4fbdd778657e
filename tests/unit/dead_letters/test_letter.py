"""What a letter says, whoever wrote it."""

import orjson
import pytest

from services.dead_letters.ledger import Ledger, encode_entry
from services.dead_letters.report import as_json, as_text
from services.dead_letters.selection import Selection
from services.shared.errors import PermanentError
from services.shared.records.dead_letters import Letter, read_letter
from services.shared.records.source_record import SourceRecord

STORY = (
    ("reason", b"truncated"),
    ("detail", b"ends inside a field"),
    ("source_topic", b"otlp_spans"),
    ("source_partition", b"3"),
    ("source_offset", b"4711"),
    ("service_version", b"0.1.0"),
)
TIME = 1_790_000_000 * 10**9


def letter(*headers: tuple[str, bytes], value: bytes = b"bytes", key: bytes | None = b"key") -> Letter:
    return read_letter(SourceRecord("otlp_spans.dead-letter", 1, 17, TIME, key, value, headers))


def test_the_story_is_told_apart_from_the_headers_of_the_record() -> None:
    read = letter(("tenant", b"a"), ("tenant", b"b"), *STORY)

    assert read.headers == (("tenant", b"a"), ("tenant", b"b"))
    assert (read.reason, read.detail, read.service_version) == ("truncated", "ends inside a field", "0.1.0")
    assert (read.name, read.source_name) == ("otlp_spans.dead-letter/1@17", "otlp_spans/3@4711")


def test_a_record_may_have_headers_with_the_names_of_ours_and_keeps_them() -> None:
    read = letter(("reason", b"its own"), ("source_topic", b"elsewhere"), *STORY)

    assert read.reason == "truncated"
    assert read.source == ("otlp_spans", 3)
    assert read.headers == (("reason", b"its own"), ("source_topic", b"elsewhere"))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("source_topic", b"otlp_spans"), ("source_partition", b"three"), ("source_offset", b"4")),
        (("source_topic", b""), ("source_partition", b"3"), ("source_offset", b"4")),
        (("source_partition", b"3"), ("source_offset", b"4")),
        (("source_topic", b"\xff\xfe"), ("source_partition", b"3"), ("source_offset", b"-4")),
    ],
)
def test_a_strangers_record_is_a_letter_without_a_source_and_keeps_its_headers(
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    read = letter(*headers)

    assert read.source is None
    assert read.headers == headers
    assert "of unknown origin" in as_text(read, was_sent=False)
    assert orjson.loads(as_json(read, was_sent=False))["source_offset"] is None


def test_a_letter_that_fails_again_shows_what_it_was() -> None:
    first = letter(*STORY)
    second = letter(*first.again, *STORY)

    assert first.attempts == ()
    assert second.attempts == ("otlp_spans.dead-letter/1@17",)
    assert "failed 2 times" in as_text(second, was_sent=False)
    assert len(letter(*second.again, *STORY).attempts) == 2


def test_a_header_without_a_value_is_read_as_an_empty_one() -> None:
    nothing: bytes = None  # type: ignore[assignment]  # Kafka has such headers, the clients' types do not

    assert letter(("replayed_from", nothing), *STORY[1:], ("reason", nothing)).reason == ""


def test_text_of_a_sender_cannot_steer_the_terminal() -> None:
    text = as_text(letter(*STORY, ("detail", "\x1b[2J\nGrüße".encode())), was_sent=False)

    assert text.splitlines()[1:] == ["    \\x1b[2J\\nGrüße"]


def test_json_holds_keys_and_headers_that_are_no_text_as_base64() -> None:
    shown = orjson.loads(as_json(letter(("a", b"\xff"), *STORY, key=b"\xfe"), was_sent=True))

    assert shown["key_base64"] == "/g=="
    assert shown["headers"] == [{"name": "a", "value_base64": "/w=="}]
    assert shown["sent_again"] is True


@pytest.mark.parametrize(
    ("selection", "is_taken"),
    [
        (Selection(), True),
        (Selection(reasons=("truncated", "other")), True),
        (Selection(reasons=("other",)), False),
        (Selection(letters=("otlp_spans.dead-letter/1@17",)), True),
        (Selection(letters=("otlp_spans.dead-letter/1@18",)), False),
        (Selection(since=TIME), True),
        (Selection(since=TIME + 1), False),
        (Selection(until=TIME), False),
        (Selection(until=TIME + 1), True),
    ],
)
def test_a_selection_takes_what_fits_all_that_it_names(selection: Selection, is_taken: bool) -> None:
    assert selection.takes(letter(*STORY)) is is_taken


def test_the_ledger_knows_exactly_the_letters_that_its_entries_name() -> None:
    offsets = [0, 1, 7, 8, 65_535, 65_536, 2**40]
    entries = [encode_entry("t", "id", [(0, offset)]) for offset in offsets] + [
        encode_entry("t", "id", [(2, 5), (3, 5)])
    ]
    ledger = Ledger(entries)

    assert [
        offset for offset in (*offsets, 2, 6, 9, 65_534, 65_537, 2**40 + 1) if ledger.has("id", 0, offset)
    ] == offsets
    assert [partition for partition in range(5) if ledger.has("id", partition, 5)] == [2, 3]
    assert not ledger.has("another id of the same name", 0, 0)


@pytest.mark.parametrize(
    "entry", [b"", b"{", b"[]", b'{"format":1}', b'{"format":2}', b'{"format":1,"offsets":{"x":[1]}}']
)
def test_a_ledger_that_cannot_be_read_stops_the_replay(entry: bytes) -> None:
    with pytest.raises(PermanentError):
        Ledger([entry])
