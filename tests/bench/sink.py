"""How fast the rollup sink fills ClickHouse, and what reads cost afterwards.

    python -m tests.bench.sink [--windows 100000] [--stored 1000000] [--url URL]

Records are in memory and ClickHouse is chDB unless `--url` names a server: what is measured is
decoding, rows, columns, the native format and the engine, not Kafka.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.migrate import runner
from services.shared.clickhouse import AsyncClickHouse, ClickHouse, connect
from services.shared.clock import SystemClock
from services.shared.model.rollup import WindowRollup
from services.shared.records.rollups import encode_window
from services.shared.records.source_record import SourceRecord
from services.shared.room import Unlimited
from services.shared.telemetry import Telemetry
from services.sink.batch import Converter
from services.sink.rows import rollup_rows
from services.sink.sink import Limits, Sink
from tests.support.rollups import SECOND, usage, window
from tests.support.sinks import FakeDeadLetters, FakeSource, Journal

_FILL = """
    INSERT INTO {table} (project, session_id, window_id, version, opened_at, first_seen_at, {own})
    SELECT 'p' || toString(intDiv(number, 2) % 20), 's' || toString(cityHash64(intDiv(number, 2))),
        hex(cityHash64(number)), number,
        fromUnixTimestamp64Nano(now_ns - toInt64({count} - number) * 10000000000) AS at, at, {values}
    FROM (SELECT number, toUnixTimestamp64Nano(now64(9)) AS now_ns FROM numbers({start}, {rows}))"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--url", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        client = connect(arguments.url or f"chdb://{Path(folder) / 'clickhouse'}", timeout=300)
        runner.apply(client)
        if arguments.windows:
            asyncio.run(_write(client, arguments.windows))
        if arguments.stored:
            _read(client, arguments.stored)
        client.close()


async def _write(client: ClickHouse, count: int) -> None:
    records = [
        SourceRecord("rollups", n % 4, n // 4, 0, b"key", encode_window(_window(n, time.time_ns())))  # noqa: TID251 - a bench is an edge
        for n in range(count)
    ]
    stop, telemetry = asyncio.Event(), Telemetry()
    sink = Sink(
        "rollup-sink",
        Converter(rollup_rows, "bench"),
        source=FakeSource(records, Journal(), at_end=stop.set),
        store=AsyncClickHouse(client),
        dead_letters=FakeDeadLetters(Journal()),
        room=Unlimited(),
        clock=SystemClock(),
        telemetry=telemetry,
        limits=Limits(),
    )
    started, cpu = time.perf_counter(), time.process_time()
    await sink.run(stop)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    labels = {"sink": "rollup-sink", "table": "session_windows"}
    inserting = telemetry.registry.get_sample_value("spanloom_sink_insert_seconds_sum", labels) or 0
    _say(f"{count} windows of {len(records[0].value or b'')} bytes in {seconds:.1f} s: {count / seconds:,.0f} rows/s")
    _say(f"CPU {cpu:.1f} s, the engine's included; {inserting:.1f} s waiting for inserts of 10,000 rows")


def _window(number: int, now: int) -> WindowRollup:
    at = now - number * SECOND
    return window(
        f"session-{number // 2}",
        f"{number:016x}",
        project=f"project-{number % 5}",
        opened_at=at,
        first_seen_at=at,
        window_start=at,
        window_end=at + 90 * SECOND,
        user_ids=[f"user-{number}"],
        environment="production",
        environment_at=at,
        service_names=["support-bot"],
        models=["gpt-4o", "gpt-4o-mini"],
        tags=["beta", "web"],
        session_attributes={"session.type": "chat"},
        session_attributes_at={"session.type": at},
        metadata={"tenant": "acme", "plan": "pro"},
        metadata_at={"tenant": at, "plan": at},
        usage=usage(prompt=1000, completion=50, cost="0.003"),
        total_tokens_by_model={"gpt-4o": 1000, "gpt-4o-mini": 50},
        total_cost_by_model={"gpt-4o": 3_897_500_000},
        turn_latency_buckets={700 + number % 50: 2, 300: 3},
        first_input="Where is my order? " * 10,
        last_output="It is on its way. " * 10,
    )


def _read(client: ClickHouse, count: int) -> None:
    parts = 10
    for part in range(parts):
        where = {"count": count, "start": part * count // parts, "rows": count // parts}
        values = "'closed', at, addSeconds(at, 60), 3, 12, ['gpt-4o'], map(300 + number % 50, 3)"
        own = "state, window_start, window_end, turn_count, span_count, models, turn_latency_buckets"
        client.command(_FILL.format(table="session_windows", own=own, values=values, **where))
        trace = "lower(hex(sipHash128(number, arrayJoin([1, 2, 3])))), at, addSeconds(at, 60)"
        client.command(_FILL.format(table="session_turns", own="trace_id, started_at, ended_at", values=trace, **where))
    row = client.query("SELECT project, session_id FROM session_windows WHERE project = 'p5' LIMIT 1 OFFSET 100")[0]
    page = "SELECT session_id FROM session_windows WHERE project = {project:String}"
    order = " ORDER BY first_seen_at DESC, session_id DESC LIMIT 1 BY first_seen_at, session_id LIMIT 100"
    ids = [each["session_id"] for each in client.query(page + order, row)]
    seen = client.query(
        "SELECT count() AS n, sum(rows) AS r FROM system.parts WHERE active AND table = 'session_windows'"
    )
    _say(f"{seen[0]['r']} windows in {seen[0]['n']} parts, median of 9:")
    of_one = " WHERE project = {project:String} AND session_id = {session_id:String}"
    of_page = " WHERE project = {project:String} AND session_id IN {ids:Array(String)}"
    for name, sql in {
        "one session, view `sessions`": f"SELECT * FROM sessions{of_one}",
        "one session by its id alone": "SELECT * FROM sessions WHERE session_id = {session_id:String}",
        "its windows": f"SELECT * FROM session_windows_by_session FINAL{of_one}",
        "its turns": f"SELECT * FROM session_turns FINAL{of_one}",
        "ids of a page of 100": page + order,
        "a page of 100, view `sessions`": f"SELECT * FROM sessions{of_page}",
    }.items():
        _say(f"  {name:32} {_median_ms(lambda: client.query(sql, row | {'ids': ids})):6.1f} ms")  # noqa: B023 - called before the next turn of the loop


def _median_ms(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(9):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
