"""ClickHouse is away for a minute under traffic: bounded memory meanwhile, exact content afterwards.

That the pauses and the patience are the same for ten minutes is proved by a clock that a test moves
(tests/unit/sink/test_outages.py). Here everything is real but the length.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.clickhouse import ClickHouse
from tests.support.clickhouse import ClickHouseServer
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.installation import Installation, Service, send
from tests.support.kafka.apache import ApacheKafka
from tests.support.otlp import HOUR, MINUTE, request, span, to_protobuf
from tests.support.reference import reference_windows
from tests.support.traffic import make_traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 4
GAP = 10 * MINUTE
OUTAGE = 60  # seconds
MEGABYTE = 1 << 20
FLOOD_RECORDS, FLOOD_SPANS = 250, 10  # of 1 MB each
DONE = (
    "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open FROM session_windows FINAL WHERE is_deleted = 0"
)


@pytest.fixture
def installation(
    kafka: ApacheKafka, clickhouse_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    settings = {
        "clickhouse_url": clickhouse_url,
        "topic_partitions": str(PARTITIONS),
        "gap": f"{GAP}ns",
        "allowed_lateness": "24h",
        "idle_after": "2s",
        "sink_flush_interval": "200ms",
    }
    name = request.node.name.removeprefix("test_")[:60]
    with Installation(tmp_path, name, kafka.bootstrap, **settings) as made:
        yield made


def rss(service: Service) -> int:
    return int(psutil.Process(service.process.pid).memory_info().rss)


def test_data_flows_during_a_minute_without_clickhouse_and_is_exact_afterwards(
    installation: Installation, clickhouse: ClickHouse, clickhouse_server: ClickHouseServer
) -> None:
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    traffic = make_traffic(seed=60, sessions=500, spans=10_000, begin=begin, length=3 * HOUR, gap=GAP)
    worker, sink = installation.start("worker"), installation.start("sink")
    for service in (worker, sink):
        service.wait_until_ready()
    step = len(traffic.records) // 12
    send(installation.bootstrap, installation.spans_topic, traffic.records[:step], PARTITIONS)
    eventually(
        lambda: clickhouse.query("SELECT count() AS n FROM session_windows")[0]["n"] > 0, within=60, what="first rows"
    )

    clickhouse_server.set_faults(down=True)
    down_since = time.monotonic()
    sent = step
    while time.monotonic() - down_since < OUTAGE:
        due = step + int((time.monotonic() - down_since) / OUTAGE * 9 * step)
        if due > sent:
            batch = traffic.records[sent:due]
            send(installation.bootstrap, installation.spans_topic, batch, PARTITIONS, first=sent)
            sent = due
        installation.check_running()
    waiting = {name: sink.metric("spanloom_sink_waiting_seconds", name) for name in ("rollup-sink", "span-sink")}
    clickhouse_server.set_faults()
    send(installation.bootstrap, installation.spans_topic, traffic.records[sent:], PARTITIONS, first=sent)

    def all_is_closed() -> bool:
        installation.check_running()
        (row,) = clickhouse.query(DONE)
        return (row["spans"], row["open"]) == (traffic.spans, 0)

    eventually(all_is_closed, within=120, what=f"{traffic.spans} spans in closed windows", every=0.5)
    assert min(waiting.values()) > OUTAGE / 2, waiting
    expected = reference_windows(traffic.groups(), Policy(gap=GAP, allowed_lateness=24 * HOUR))
    windows, turns = (clickhouse.query(f"SELECT * FROM {table}") for table in ("session_windows", "session_turns"))
    assert_equal_to_reference(expected, windows, turns)
    assert sink.metric("spanloom_sink_records_without_rows_total", "refused_row", "rollup-sink") == 0


def test_a_flood_behind_a_clickhouse_that_is_down_does_not_grow_the_sink(
    installation: Installation, clickhouse: ClickHouse, clickhouse_server: ClickHouseServer
) -> None:
    worker = installation.start("worker", span_storage="all")  # it makes the topics
    worker.wait_until_ready()
    assert worker.process.stop() == 0
    clickhouse_server.set_faults(down=True)
    text = "x" * (MEGABYTE // FLOOD_SPANS)
    flood = (
        to_protobuf(
            request(*(span(trace_id=n, span_id=k, attributes={"input.value": text}) for k in range(1, FLOOD_SPANS + 1)))
        )
        for n in range(1, FLOOD_RECORDS + 1)
    )
    send(installation.bootstrap, installation.spans_topic, flood, PARTITIONS)
    sink = installation.start("sink")
    sink.wait_until_ready()
    eventually(
        lambda: sink.metric("spanloom_sink_waiting_seconds", "span-sink") > 10, within=60, what="a sink that waits"
    )
    most = rss(sink)
    # Python and its libraries take about 100 MB; then 32 MB fetched ahead, and a batch of 16 MB as records and as rows.
    assert most < 250 * MEGABYTE, f"{most >> 20} MB for {FLOOD_RECORDS} MB in Kafka"
    clickhouse_server.set_faults()

    def all_stored() -> bool:
        nonlocal most
        most = max(most, rss(sink))
        (row,) = clickhouse.query("SELECT count() AS n, uniqExact(trace_id, span_id) AS spans FROM spans FINAL")
        return (row["n"], row["spans"]) == (FLOOD_RECORDS * FLOOD_SPANS,) * 2

    eventually(all_stored, within=180, what="all spans stored", every=0.5)
    print(f"sink: at most {most >> 20} MB for {FLOOD_RECORDS} MB in Kafka")  # noqa: T201 - a figure
