"""Records to rows."""

from dataclasses import fields
from decimal import Decimal

import orjson
import pytest

from services.shared.model.rollup import CloseReason, TurnRollup, Usage, WindowRollup
from services.shared.records.rollup_fields import turn_of, window_of
from services.shared.records.rollups import encode_turns, encode_window, rollup_records, turn_json
from services.sink.rows import COLUMNS, TURNS, WINDOWS, Unreadable, columns, rollup_rows
from tests.support.rollups import at, turn, usage, window


def rows_of(value: bytes) -> list[tuple[str, dict[str, object]]]:
    converted = rollup_rows(value, 0)
    assert isinstance(converted, list)
    return [(table, dict(zip(COLUMNS[table], values, strict=True))) for table, values in converted]


@pytest.mark.parametrize(("table", "rollup"), [(WINDOWS, WindowRollup), (TURNS, TurnRollup)])
def test_columns_are_the_fields_of_the_rollup_with_usage_flattened_in_its_place(
    table: str, rollup: type[WindowRollup | TurnRollup]
) -> None:
    expected = [
        name
        for field in fields(rollup)
        for name in ([f.name for f in fields(Usage)] if field.name == "usage" else [field.name])
    ]
    assert list(COLUMNS[table]) == expected


def test_a_window_record_is_one_row_that_reads_back_as_the_window() -> None:
    rollup = window(
        is_open=False,
        close_reason=CloseReason.EXPLICIT,
        user_ids=["u"],
        session_attributes={"session.type": "chat"},
        session_attributes_at={"session.type": at(3)},
        usage=usage(prompt=3, completion=4, cost="0.0038975"),
        total_cost_by_model={"gpt-4o": 3_897_500_000},
        turn_latency_buckets={0: 1, 300: 2},
    )
    [(table, row)] = rows_of(encode_window(rollup))
    assert table == WINDOWS
    assert window_of(row) == rollup
    assert row["total_cost"] == Decimal("0.0038975")
    assert row["turn_latency_buckets"] == {0: 1, 300: 2}


def test_each_turn_of_a_record_is_a_row() -> None:
    turns = [turn(trace=1, time_to_first_token_ns=5), turn(trace=2, is_deleted=True)]
    [value] = encode_turns("p1", "s1", turns[0].window_id, turns)
    rows = rows_of(value)
    assert [table for table, _ in rows] == [TURNS, TURNS]
    assert [turn_of(row) for _, row in rows] == turns


def test_a_window_with_its_turns_is_a_row_each_the_window_last() -> None:
    turns = [turn(trace=1, time_to_first_token_ns=0), turn(trace=2, is_deleted=True)]
    [value] = rollup_records(encode_window(window()), [turn_json(each) for each in turns])
    rows = rows_of(value)
    assert [table for table, _ in rows] == [TURNS, TURNS, WINDOWS]
    assert [turn_of(row) for _, row in rows[:2]] == turns
    assert window_of(rows[2][1]) == window()


def test_turns_of_an_older_writer_say_everything_themselves() -> None:
    [value] = encode_turns("p1", "s1", window().window_id, [turn()])
    record = orjson.loads(value)
    own = {name: record.pop(name) for name in ("opened_at", "first_seen_at")}
    ids = {"project": "p1", "session_id": "s1", "window_id": window().window_id}
    record["turns"] = [{**own, **ids, **record["turns"][0]}]
    assert rows_of(orjson.dumps(record)) == rows_of(value)


def test_a_retraction_is_a_row_that_deletes() -> None:
    [(_, row)] = rows_of(encode_window(window(is_deleted=True)))
    assert row["is_deleted"] == 1


def test_a_field_that_was_left_out_has_its_default() -> None:
    record = orjson.loads(encode_window(window(span_count=7)))
    del record["span_count"]
    assert not {"metadata", "span_count", "last_error_at", "total_cost"} & record.keys()
    [(_, row)] = rows_of(orjson.dumps(record))
    assert (row["metadata"], row["span_count"], row["last_error_at"], row["total_cost"]) == ({}, 0, 0, Decimal(0))


def test_a_field_of_a_newer_writer_is_left_out() -> None:
    record = orjson.loads(encode_window(window())) | {"mood": "good"}
    assert rows_of(orjson.dumps(record)) == rows_of(encode_window(window()))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b"[]", "unreadable"),
        (b'{"type":"mood"}', "unreadable"),
        (b'{"type":"turns","turns":5}', "unreadable"),
        (b'{"type":"window"}', "invalid_field"),
        (b'{"type":"turns","turns":[5]}', "invalid_field"),
        (encode_window(window())[:-1] + b',"total_cost":"cheap"}', "invalid_field"),
        (encode_window(window())[:-1] + b',"turn_latency_buckets":[1]}', "invalid_field"),
        (encode_window(window())[:-1] + b',"turns":5}', "invalid_field"),
    ],
)
def test_what_is_no_rollup_is_unreadable_and_for_the_sink_to_dead_letter(value: bytes, reason: str) -> None:
    converted = rollup_rows(value, 0)
    assert isinstance(converted, Unreadable)
    assert (converted.reason, converted.is_ours) == (reason, True)


def test_rows_become_columns_in_the_order_of_the_table() -> None:
    rows = [dict(zip(COLUMNS[WINDOWS], range(len(COLUMNS[WINDOWS])), strict=True)) for _ in range(2)]
    found = columns(WINDOWS, [tuple(row.values()) for row in rows])
    assert list(found) == list(COLUMNS[WINDOWS])
    assert found["session_id"] == [1, 1]
