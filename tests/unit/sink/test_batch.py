"""What a batch is, and the token that names it."""

from collections.abc import Callable

import pytest

from services.shared.model.outcome import SinkOutcome
from services.shared.records.source_record import SourceRecord
from services.sink.batch import Batch, Block, Converter, batch_token, convert, rows_token
from services.sink.rows import Converted, Unreadable
from tests.support.sinks import source_record

RECORDS = [source_record(b"a", 5), source_record(b"b", 6), source_record(b"c", 9, partition=1)]


def batch(*records: SourceRecord) -> Batch:
    result = Batch()
    result.add(records)
    return result


def test_the_same_records_have_the_same_token() -> None:
    assert batch_token(RECORDS, "s") == batch_token(list(RECORDS), "s")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(RECORDS[:2], id="fewer records"),
        pytest.param([RECORDS[0], source_record(b"x", 6), RECORDS[2]], id="other bytes at the same offset"),
        pytest.param([RECORDS[0], source_record(b"b", 7), RECORDS[2]], id="another offset"),
        pytest.param([*RECORDS[:2], source_record(b"c", 9, partition=2)], id="another partition"),
        pytest.param([*RECORDS[:2], source_record(b"c", 9, partition=1, timestamp=1)], id="another time"),
    ],
)
def test_other_records_have_another_token(other: list[SourceRecord]) -> None:
    assert batch_token(other, "s") != batch_token(RECORDS, "s")


def test_another_group_or_other_settings_have_another_token() -> None:
    assert batch_token(RECORDS, "roots") != batch_token(RECORDS, "all")


def test_positions_are_after_the_last_record_of_each_partition() -> None:
    assert batch(*RECORDS).positions() == {("rollups", 0): 7, ("rollups", 1): 10}


def test_the_size_is_that_of_keys_and_values() -> None:
    assert batch(source_record(b"12345"), source_record(None)).size == 11


def conversion(outcomes: dict[bytes, Converted]) -> Callable[[bytes, int], Converted]:
    return lambda value, _: outcomes[value]


def test_rows_are_sorted_by_table_and_know_their_record() -> None:
    unreadable = Unreadable(SinkOutcome.UNREADABLE, "detail", is_ours=True)
    outcomes: dict[bytes, Converted] = {
        b"a": [("t", (1,)), ("u", (2,)), ("t", (3,))],
        b"b": unreadable,
        b"c": [("t", (4,))],
    }
    found = convert(RECORDS, conversion(outcomes))
    assert [(row.values, row.record.value) for row in found.rows["t"]] == [((1,), b"a"), ((3,), b"a"), ((4,), b"c")]
    assert [row.values for row in found.rows["u"]] == [(2,)]
    assert found.unreadable == [(RECORDS[1], unreadable)]


def test_a_tombstone_has_no_rows_and_is_not_unreadable() -> None:
    found = convert([source_record(None)], conversion({}))
    assert (found.rows, found.unreadable) == ({}, [])


def test_the_rows_of_a_block_are_made_again_from_its_batch() -> None:
    outcomes: dict[bytes, Converted] = {b"a": [("t", (1,)), ("u", (2,)), ("t", (3,))], b"b": [], b"c": [("t", (4,))]}
    found = Converter(conversion(outcomes), "s").rows_of(Block("t", ("n",), first=1, count=2, data=b""), RECORDS)
    assert [(row.values, row.record.value) for row in found] == [((3,), b"a"), ((4,), b"c")]


def test_other_rows_of_a_batch_have_another_token() -> None:
    assert len({rows_token("b", "t", 0, 10), rows_token("b", "t", 0, 11), rows_token("b", "t", 1, 10)}) == 3
