"""ClickHouse is away, short of something, or refuses rows: what a sink does then, and how much it reads meanwhile."""

import logging
from math import ceil, log2

import pytest

from services.shared.clickhouse_errors import MemoryLimitError
from services.shared.errors import PermanentError, TransientError
from services.shared.records.rollups import encode_turns
from services.sink.patience import Pauses
from services.sink.rows import TURNS, WINDOWS
from services.sink.sink import Limits
from tests.support.clock import ManualClock
from tests.support.rollups import turn
from tests.support.sink_bench import bench, windows
from tests.support.sinks import Naps, source_record

MINUTE = 60.0
TENS = Limits(rows=10, flush_interval=60)


async def test_ten_minutes_without_clickhouse_cost_two_batches_of_memory_and_few_attempts() -> None:
    clock = ManualClock()
    naps = Naps(clock)
    b = bench(windows(5_000), limits=TENS, clock=clock, pause=naps)
    waited = []

    def fault(rows: int) -> Exception | None:
        waited.append(b.metric("spanloom_sink_waiting_seconds"))
        return TransientError("down") if clock.monotonic() < 10 * MINUTE else None

    b.store.fault = fault
    await b.run_until(lambda: len(b.store.rows[WINDOWS]) == 5_000)
    read_meanwhile = b.journal.names()[: b.journal.names().index("insert")].count("poll")
    assert read_meanwhile == 2, "more was read than the batch in hand and the next one"
    assert naps.seconds[:8] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert set(naps.seconds[6:]) == {15.0}
    assert clock.monotonic() - 10 * MINUTE < 15.0, "it did not go on within one pause"
    assert b.metric("spanloom_sink_errors_total", error="transient") == len(naps.seconds) < 50
    assert max(waited) > 9 * MINUTE
    assert b.metric("spanloom_sink_waiting_seconds") == 0
    assert len({row["window_id"] for row in b.store.rows[WINDOWS]}) == len(b.store.rows[WINDOWS]) == 5_000
    assert b.source.committed == {("rollups", 0): 5_000}


async def test_pauses_begin_anew_with_each_outage() -> None:
    clock = ManualClock()
    naps = Naps(clock)
    b = bench(windows(20), limits=TENS, clock=clock, pause=naps)
    first = iter([True, True, False, True, True, False])
    b.store.fault = lambda rows: TransientError("down") if next(first, False) else None
    await b.run_until(lambda: len(b.store.rows[WINDOWS]) == 20)
    assert naps.seconds == [0.25, 0.5, 0.25, 0.5]


async def test_who_writes_is_told_why_nothing_more_should_come_and_when_it_may() -> None:
    told = []

    async def nap(seconds: float, stop: object) -> None:
        told.append(b.room.blockage)

    b = bench(windows(1), pause=nap)
    b.store.failures = [TransientError("no space left")]
    await b.run_until(lambda: b.source.committed)
    assert told == ["rollup-sink cannot insert: no space left"]
    assert b.room.blockage == ""


async def test_what_needs_a_person_is_an_error_in_the_log_and_not_ready_until_it_is_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ready = []

    async def nap(seconds: float, stop: object) -> None:
        ready.append(b.sink.is_ready)

    b = bench(windows(2), pause=nap)
    b.store.failures = [TransientError("restarting"), PermanentError("no table; run `spanloom migrate`")]
    await b.run_until(lambda: b.source.committed and b.sink.is_ready)
    assert ready[:2] == [True, False]
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "insert failed and needs a person; nothing is lost" in line.getMessage()
    assert b.metric("spanloom_sink_errors_total", error="permanent") == 1
    assert not b.dead_letters.letters


@pytest.mark.parametrize("bad", [{0}, {999}, {3, 500, 501, 998}, set(range(0, 1000, 250))])
async def test_bad_rows_are_found_with_a_bounded_number_of_inserts(bad: set[int]) -> None:
    b = bench(windows(1000), refuses=lambda row: int(row["session_id"][1:]) in bad)
    await b.run()
    inserts = [name for name in b.journal.names() if name.startswith("insert")]
    assert len(inserts) <= 1 + 2 * len(bad) * ceil(log2(1000))
    assert {record.offset for record, _ in b.dead_letters.letters} == bad
    assert len(b.store.rows[WINDOWS]) == 1000 - len(bad)
    assert b.source.committed == {("rollups", 0): 1000}


async def test_a_record_with_several_refused_rows_is_one_dead_letter_and_its_other_rows_are_in() -> None:
    [turns] = encode_turns("p1", "s1", "w1".ljust(16, "0"), [turn(trace=number) for number in range(1, 9)])
    b = bench([source_record(turns, 0)], refuses=lambda row: int(row["trace_id"], 16) in (2, 3, 7))
    await b.run()
    ((record, headers),) = b.dead_letters.letters
    assert record.value == turns
    assert headers["detail"] == "session_turns: one of 1 rows (and 2 more rows of this record)"
    assert len(b.store.rows[TURNS]) == 5
    assert b.metric("spanloom_sink_records_without_rows_total", outcome="refused_row") == 1


async def test_a_table_that_fits_no_row_makes_no_dead_letters_but_waits_for_a_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    naps = Naps(clock)
    b = bench(
        windows(400),
        limits=Limits(flush_interval=0.0, refused_rows=20, pauses=Pauses()),
        refuses=lambda row: clock.monotonic() < MINUTE,
        clock=clock,
        pause=naps,
    )
    await b.run_until(lambda: b.source.committed)
    assert not b.dead_letters.letters
    assert len(b.store.rows[WINDOWS]) == 400
    assert "more than 20 rows in a row were refused (SPANLOOM_SINK_REFUSED_ROWS)" in caplog.text
    refused = b.journal.names().count("insert refused")
    assert refused <= (len(naps.seconds) + 1) * (2 * 21 + ceil(log2(400)))


async def test_a_batch_too_large_for_the_servers_memory_goes_in_by_parts() -> None:
    clock = ManualClock()
    naps = Naps(clock)
    b = bench(windows(100), limits=Limits(flush_interval=0.0), clock=clock, pause=naps)
    b.store.fault = lambda rows: MemoryLimitError("memory") if rows > 30 else None
    await b.run_until(lambda: b.source.committed)
    assert len(b.store.rows[WINDOWS]) == 100
    assert b.store.largest == 25
    assert len(naps.seconds) == 2 * 3, "each part that is too large waits twice before it is divided"
    assert not b.dead_letters.letters


async def test_a_server_without_any_memory_is_waited_for() -> None:
    clock = ManualClock()
    b = bench(windows(8), limits=Limits(flush_interval=0.0), clock=clock, pause=Naps(clock))
    b.store.fault = lambda rows: MemoryLimitError("memory") if clock.monotonic() < MINUTE else None
    await b.run_until(lambda: b.source.committed)
    assert len(b.store.rows[WINDOWS]) == 8
    assert not b.dead_letters.letters
