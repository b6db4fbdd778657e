"""A sink between fakes: what it promises, and in which order it does things."""

import logging
from collections import Counter
from typing import Any

import pytest

from services.shared.errors import PermanentError, TransientError
from services.shared.model.outcome import SinkOutcome
from services.shared.records.rollups import encode_turns, encode_window
from services.sink.patience import Pauses
from services.sink.rows import TURNS, WINDOWS, Converted, Unreadable, rollup_rows
from services.sink.sink import Limits
from tests.support.clock import SECOND, ManualClock
from tests.support.eventually import eventually_async
from tests.support.rollups import turn, window
from tests.support.sink_bench import bench, windows
from tests.support.sinks import source_record


async def test_windows_and_turns_go_to_their_tables() -> None:
    [turns] = encode_turns("p1", "s1", "w1".ljust(16, "0"), [turn(trace=1), turn(trace=2)])
    b = bench([source_record(turns, 0), source_record(encode_window(window()), 1)])
    await b.run()
    assert [row["trace_id"] for row in b.store.rows[TURNS]] == [f"{1:032x}", f"{2:032x}"]
    assert [row["session_id"] for row in b.store.rows[WINDOWS]] == ["s1"]


async def test_positions_are_committed_after_the_insert_and_room_given_back_after_the_commit() -> None:
    b = bench(windows(3))
    for record in windows(3):
        assert b.room.try_take("rollups", 0, 1 << 20) or record.offset == 2
        b.room.wrote("rollups", 0, record.offset, 1 << 20)
    await b.run()
    assert b.journal.names() == ["poll", "insert", "commit"]
    assert b.source.committed == {("rollups", 0): 3}
    assert b.room.try_take("rollups", 0, 2 << 20)


async def test_a_batch_is_full_at_its_rows() -> None:
    b = bench(windows(25), limits=Limits(rows=10, flush_interval=60))
    await b.run_until(lambda: len(b.store.rows[WINDOWS]) == 20)
    assert b.store.largest == 10
    assert [event for event in b.journal.events if event[0] == "commit"] == [
        ("commit", {("rollups", 0): position}) for position in (10, 20, 25)
    ]


async def test_a_batch_is_full_at_its_bytes() -> None:
    records = windows(3000)
    limits = Limits(size=sum(len(record.value or b"") for record in records[:1500]), flush_interval=60)
    b = bench(records, limits=limits)
    await b.run()
    assert [name for name in b.journal.names() if name != "poll"] == ["insert", "commit"] * 2
    assert b.store.largest == 2000, "a batch is full with the poll that fills it"
    assert len(b.store.rows[WINDOWS]) == 3000


async def test_a_batch_is_inserted_when_its_first_record_is_old_enough() -> None:
    clock = ManualClock()
    b = bench(windows(1), limits=Limits(flush_interval=5), clock=clock)
    inserted_after = []

    def fact() -> bool:
        clock.advance(SECOND)
        inserted_after.append(bool(b.store.rows))
        return bool(b.source.committed)

    await b.run_until(fact)
    assert inserted_after.count(False) >= 5


async def test_while_a_full_batch_goes_in_the_next_one_is_read() -> None:
    b = bench(windows(30), limits=Limits(rows=10, flush_interval=60))
    insert, held = b.store.insert, []

    async def wait_for_the_next_batch(table: str, columns: Any, token: str) -> None:
        goal = min(30, len(b.store.rows[WINDOWS]) + 20)

        async def is_read() -> bool:
            return b.source.position >= goal

        await eventually_async(is_read, within=20, what="the next batch")
        held.append(b.source.position - len(b.store.rows[WINDOWS]))
        await insert(table, columns, token)

    b.store.insert = wait_for_the_next_batch  # type: ignore[method-assign]  # a store that is slower than the source
    await b.run_until(lambda: len(b.store.rows[WINDOWS]) == 30)
    assert held == [20, 20, 10], "the batch that goes in and the next one, never more"
    assert b.source.committed == {("rollups", 0): 30}


async def test_after_a_batch_that_is_not_full_nothing_is_read_before_it_is_committed() -> None:
    b = bench(windows(2500), limits=Limits(rows=1100, flush_interval=0.0))
    await b.run()
    assert b.journal.names() == ["poll", "insert", "commit"] * 3


async def test_while_clickhouse_is_down_nothing_is_read_and_nothing_lost() -> None:
    b = bench(windows(50), limits=Limits(rows=10, flush_interval=60, pauses=Pauses(0.001, 0.002)))
    b.store.failures = [TransientError("down")] * 50
    await b.run_until(lambda: len(b.store.rows[WINDOWS]) == 50)
    first_insert = b.journal.names().index("insert")
    assert Counter(b.journal.names()[:first_insert]) == {"poll": 2, "insert failed": 50}
    assert b.metric("spanloom_sink_errors_total", error="transient") == 50
    assert not b.dead_letters.letters


async def test_an_error_that_is_no_rows_fault_is_waited_for_and_makes_no_dead_letter() -> None:
    b = bench(windows(2))
    b.store.failures = [PermanentError("there is no table session_windows")] * 3
    await b.run_until(lambda: b.source.committed)
    assert len(b.store.rows[WINDOWS]) == 2
    assert not b.dead_letters.letters


async def test_a_failed_insert_is_tried_again_with_the_same_token() -> None:
    b = bench(windows(2))
    journal_of_tokens = []
    insert = b.store.insert

    async def lose_the_first_answer(table: str, columns: Any, token: str) -> None:
        await insert(table, columns, token)
        journal_of_tokens.append(token)
        if len(journal_of_tokens) == 1:
            raise TransientError("connection reset")

    b.store.insert = lose_the_first_answer  # type: ignore[method-assign]  # a store whose answers get lost
    await b.run_until(lambda: b.source.committed)
    assert len(journal_of_tokens) == 2
    assert len(set(journal_of_tokens)) == 1
    assert len(b.store.rows[WINDOWS]) == 2


async def test_of_a_refused_batch_all_rows_but_the_refused_ones_go_in() -> None:
    b = bench(windows(100), refuses=lambda row: row["session_id"] in ("s17", "s64"))
    await b.run()
    assert sorted(row["session_id"] for row in b.store.rows[WINDOWS]) == sorted(
        f"s{number}" for number in range(100) if number not in (17, 64)
    )
    letters = sorted(b.dead_letters.letters, key=lambda letter: letter[0].offset)
    assert [record for record, _ in letters] == [windows(100)[17], windows(100)[64]]
    assert letters[0][1] == {
        "reason": "refused_row",
        "detail": "session_windows: one of 1 rows",
        "source_topic": "rollups",
        "source_partition": "0",
        "source_offset": "17",
        "service_version": "1.2.3",
    }
    assert b.source.committed == {("rollups", 0): 100}
    assert b.metric("spanloom_sink_records_without_rows_total", outcome="refused_row") == 2


async def test_halves_of_a_refused_batch_have_tokens_of_their_own() -> None:
    b = bench(windows(8), refuses=lambda row: row["session_id"] == "s3")
    await b.run()
    assert len(b.store.tokens) == len(set(b.store.tokens)) == 3


async def test_a_dead_letter_is_written_before_its_record_is_committed_whatever_it_takes() -> None:
    b = bench([source_record(b"no rollup", 0), *windows(2, start=1)])
    b.dead_letters.failures = 3
    await b.run_until(lambda: b.source.committed)
    assert [name for name in b.journal.names() if name != "poll"] == ["insert", *["dead letter"] * 4, "commit"]
    assert [(record.value, headers["reason"]) for record, headers in b.dead_letters.letters] == [
        (b"no rollup", "unreadable")
    ]


async def test_what_another_stage_dead_letters_is_only_counted() -> None:
    b = bench(windows(2), conversion=lambda value, time: Unreadable(SinkOutcome.SKIPPED, "", is_ours=False))
    await b.run()
    assert b.metric("spanloom_sink_records_without_rows_total", outcome="skipped") == 2
    assert b.source.committed == {("rollups", 0): 2}
    assert not b.dead_letters.letters


async def test_a_commit_that_fails_is_made_again_though_nothing_more_comes() -> None:
    b = bench(windows(5))
    b.source.commit_failures = 2
    await b.run_until(lambda: b.source.committed)
    assert b.source.committed == {("rollups", 0): 5}
    assert [name for name in b.journal.names() if name != "poll"].count("insert") == 1


async def test_a_commit_that_fails_is_left_to_the_next_one() -> None:
    b = bench(windows(20), limits=Limits(rows=10, flush_interval=60))
    b.source.commit_failures = 1
    await b.run(to_end=True)
    assert b.source.committed == {("rollups", 0): 20}
    assert len(b.store.rows[WINDOWS]) == 20


async def test_records_that_are_read_again_add_no_rows() -> None:
    records = windows(10)
    first = bench(records)
    await first.run()
    second = bench(records)
    second.store.rows, second.store.tokens = first.store.rows, first.store.tokens
    await second.run()
    assert len(second.store.rows[WINDOWS]) == 10


async def test_a_stop_inserts_what_was_read() -> None:
    b = bench(windows(5), limits=Limits(flush_interval=3600))
    await b.run()
    assert len(b.store.rows[WINDOWS]) == 5
    assert b.source.committed == {("rollups", 0): 5}
    assert not b.source.is_running


async def test_a_stop_to_the_end_inserts_all_there_is_to_read() -> None:
    b = bench(windows(95), limits=Limits(rows=10, flush_interval=60))
    b.stop.set()
    await b.run(to_end=True)
    assert len(b.store.rows[WINDOWS]) == 95


async def test_a_stop_while_clickhouse_is_down_leaves_the_batch_in_kafka(caplog: pytest.LogCaptureFixture) -> None:
    b = bench(windows(5))
    b.store.failures = [TransientError("down")] * 100
    with caplog.at_level(logging.WARNING):
        await b.run()
    assert b.source.committed == {}
    assert "stopped without its last batch, which stays in Kafka: down" in caplog.text
    assert not b.source.is_running


async def test_a_stop_while_clickhouse_is_down_leaves_the_next_batch_in_kafka_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    b = bench(windows(15), limits=Limits(rows=10, flush_interval=60, pauses=Pauses(0.001, 0.002)))
    b.store.fault = lambda rows: TransientError("down")
    with caplog.at_level(logging.WARNING):
        await b.run()  # its stop comes with the last record, which is in the second batch
    assert b.source.committed == {}
    assert "stopped without its last batch, which stays in Kafka: down" in caplog.text
    assert not b.source.is_running


async def test_kafka_may_be_down_at_the_start() -> None:
    b = bench(windows(5))
    b.source.failures = ["no broker"] * 5
    await b.run_until(lambda: b.source.committed)
    assert len(b.store.rows[WINDOWS]) == 5


async def test_a_bug_ends_the_sink_before_it_commits() -> None:
    def broken(value: bytes, timestamp: int) -> Converted:
        raise KeyError("a bug")

    b = bench(windows(5), conversion=broken)
    with pytest.raises(KeyError, match="a bug"):
        await b.run()
    assert b.source.committed == {}
    assert not b.source.is_running


async def test_a_bug_in_the_next_batch_ends_the_sink_before_it_commits_that_one() -> None:
    def broken(value: bytes, timestamp: int) -> Converted:
        if b"s17" in value:
            raise KeyError("a bug")
        return rollup_rows(value, timestamp)

    b = bench(windows(25), conversion=broken, limits=Limits(rows=10, flush_interval=60))
    with pytest.raises(ExceptionGroup) as raised:
        await b.run()
    assert [str(error) for error in raised.value.exceptions] == ["'a bug'"]
    assert b.source.committed.get(("rollups", 0), 0) <= 10
    assert not b.source.is_running


async def test_metrics_tell_rows_batches_and_lag() -> None:
    clock = ManualClock(now=1_000 * SECOND)
    records = [source_record(record.value, record.offset, timestamp=990 * SECOND) for record in windows(5)]
    b = bench(records, clock=clock)
    await b.run()
    assert b.metric("spanloom_sink_rows_total", table=WINDOWS) == 5
    assert b.metric("spanloom_sink_batch_rows_count", table=WINDOWS) == 1
    assert b.metric("spanloom_sink_lag_seconds") == 10
