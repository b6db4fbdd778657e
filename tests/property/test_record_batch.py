"""What a checkpoint sends is what every reader of Kafka's format 2 reads back, whoever writes it."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from services.shared import record_batch
from services.shared.record_batch import Record, RecordBatch, batches

Body = Callable[[Sequence[Record], int, int], tuple[bytes, int] | None]

LIMIT = 1_000
TIMESTAMP = 1_790_000_000_123
PRODUCER = (2**40, 7, 2**31 - 2)

texts = st.binary(max_size=80) | st.sampled_from((0, 1, 63, 64, 65, 8_191, 8_192, 20_000)).map(bytes)
headers = st.lists(st.tuples(st.text(max_size=5), texts), max_size=2).map(tuple)
records: st.SearchStrategy[list[Record]] = st.lists(
    st.tuples(st.none() | texts, st.none() | texts) | st.tuples(st.none() | texts, st.none() | texts, headers),
    max_size=40,
)


def read(batch: RecordBatch) -> Iterator[Any]:
    """With aiokafka's reader. The check sum must be right."""
    batch._set_producer_state(*PRODUCER)
    read_back = MemoryRecords(bytes(batch._build())).next_batch()
    assert read_back is not None
    assert read_back.validate_crc()
    assert (read_back.is_transactional, read_back.is_control_batch) == (True, False)
    assert (read_back.producer_id, read_back.producer_epoch, read_back.base_sequence) == PRODUCER
    return iter(read_back)


def whole(record: Record) -> tuple[Any, ...]:
    return (*record[:2], list(record[2]) if len(record) > 2 else [])


@given(records)
def test_every_record_is_read_back_in_order(given_records: list[Record]) -> None:
    found = []
    for batch in batches(given_records, TIMESTAMP, LIMIT):
        own = list(read(batch))
        assert [each.offset for each in own] == list(range(batch.record_count()))
        assert {each.timestamp for each in own} == {TIMESTAMP}
        found += [(each.key, each.value, each.headers) for each in own]
    assert found == [whole(record) for record in given_records]


@given(records)
def test_a_batch_over_the_limit_has_one_record(given_records: list[Record]) -> None:
    for batch in batches(given_records, TIMESTAMP, LIMIT):
        assert batch.size() - 61 <= LIMIT or batch.record_count() == 1


@given(records, st.integers(0, 5), st.integers(0, 30_000))
def test_whoever_writes_a_body_writes_the_same_one(given_records: list[Record], start: int, room: int) -> None:
    start = min(start, max(0, len(given_records) - 1))
    defined = record_batch._body(given_records, start, room)
    assert record_batch._encode(given_records, start, room) == defined


@pytest.mark.parametrize("content", [bytes(9 << 20), Random(1).randbytes(9 << 20)], ids=["even", "random"])
def test_a_record_of_several_blocks_is_read_back(content: bytes) -> None:
    (batch,) = batches([(b"key", content)], TIMESTAMP, LIMIT)
    (found,) = read(batch)
    assert (found.key, found.value) == (b"key", content)


@pytest.mark.parametrize("size", [65_000, 250_000, 1_000_000])
def test_a_batch_of_any_size_of_frame_is_read_back(size: int) -> None:
    (batch,) = batches([(None, bytes(size))], TIMESTAMP, LIMIT)
    assert [each.value for each in read(batch)] == [bytes(size)]


def test_what_does_not_get_smaller_is_sent_as_it_is() -> None:
    content = Random(1).randbytes(500)
    (batch,) = batches([(None, content)], TIMESTAMP, LIMIT)
    batch._set_producer_state(*PRODUCER)
    assert content in batch._build()


def test_a_second_attempt_sends_the_same_bytes() -> None:
    (batch,) = batches([(b"key", b"value")], TIMESTAMP, LIMIT)
    batch._set_producer_state(*PRODUCER)
    assert batch._build() is batch._build()


@pytest.mark.parametrize("transactional", [True, False])
def test_a_batch_says_whether_it_is_part_of_a_transaction(transactional: bool) -> None:
    (batch,) = batches([(None, b"value")], TIMESTAMP, LIMIT, transactional=transactional)
    batch._set_producer_state(*PRODUCER)
    read_back = MemoryRecords(bytes(batch._build())).next_batch()
    assert read_back is not None
    assert read_back.validate_crc()
    assert read_back.is_transactional == transactional


def test_batches_are_made_when_they_are_asked_for() -> None:
    given_records: list[Record] = [(None, Random(n).randbytes(LIMIT)) for n in range(3)]
    made = batches(given_records, TIMESTAMP, LIMIT)
    next(made)
    given_records.clear()
    assert list(made) == []
