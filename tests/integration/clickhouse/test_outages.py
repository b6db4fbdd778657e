"""Both sinks while ClickHouse is away, slow, short of something, or refuses a row: everything goes in once."""

import asyncio
from typing import Any

import pytest

from services.embedded.broker import EmbeddedBroker
from services.shared.clickhouse import ClickHouse
from services.shared.kafka_topics import dead_letter_topic, unstored_topic
from services.shared.records.rollups import encode_window
from services.shared.telemetry import Telemetry
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.eventually import eventually_async
from tests.support.kafka.log import read_all
from tests.support.otlp import request, span, to_protobuf
from tests.support.rollups import window
from tests.support.running_sinks import produce, rows_appear, running_sinks, settings_of, windows

# Rows without FINAL: what was inserted twice would be seen twice.
ONCE = "SELECT count() AS n, uniqExact(window_id) AS different FROM session_windows"


def errors(telemetry: Telemetry, kind: str) -> float:
    labels = {"sink": "rollup-sink", "error": kind}
    return telemetry.registry.get_sample_value("spanloom_sink_errors_total", labels) or 0


def put_aside(telemetry: Telemetry, sink: str) -> float:
    labels = {"sink": sink, "outcome": "refused_row"}
    return telemetry.registry.get_sample_value("spanloom_sink_records_without_rows_total", labels) or 0


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        pytest.param({"down": True}, "transient", id="refused connections"),
        pytest.param({"status": 500}, "transient", id="HTTP 500"),
        pytest.param({"hang": True}, "transient", id="no answer: the insert is done when its client is gone"),
        pytest.param({"insert_code": 252}, "transient", id="too many parts"),
        pytest.param({"insert_code": 243}, "transient", id="disk full"),
        pytest.param({"insert_code": 241}, "transient", id="memory limit"),
        pytest.param({"insert_code": 164}, "permanent", id="user read-only"),
        pytest.param({"insert_code": 516}, "permanent", id="wrong password"),
    ],
)
async def test_after_trouble_that_is_no_rows_fault_every_row_is_in_once(
    faults: dict[str, Any],
    kind: str,
    embedded_kafka: EmbeddedBroker,
    clickhouse: ClickHouse,
    clickhouse_url: str,
    clickhouse_server: ClickHouseServer,
) -> None:
    settings, bootstrap, telemetry = settings_of(span_storage="off"), embedded_kafka.bootstrap, Telemetry()
    await produce(bootstrap, settings.rollups_topic, windows(60))
    clickhouse_server.set_faults(**faults)

    async def failed() -> bool:
        return errors(telemetry, kind) >= 1

    async with running_sinks(settings, bootstrap, clickhouse_url, telemetry, embedded=True, insert_timeout=1.0):
        await eventually_async(failed, within=30, what="a failed insert")
        await asyncio.to_thread(clickhouse_server.set_faults)
        await rows_appear(clickhouse, "session_windows", 60)
        await produce(bootstrap, settings.rollups_topic, windows(40, start=60))
        await rows_appear(clickhouse, "session_windows", 100)
    assert clickhouse.query(ONCE) == [{"n": 100, "different": 100}]
    assert errors(telemetry, {"transient": "permanent", "permanent": "transient"}[kind]) == 0
    assert put_aside(telemetry, "rollup-sink") == 0


async def test_inserts_that_break_off_before_or_after_they_are_done_add_every_row_once(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap = settings_of(span_storage="off", sink_batch_rows=10), embedded_kafka.bootstrap
    await produce(bootstrap, settings.rollups_topic, windows(100))
    clickhouse_server.set_faults(cut_inserts=5, lose_answers=5)
    async with running_sinks(settings, bootstrap, clickhouse_url, Telemetry(), embedded=True):
        await rows_appear(clickhouse, "session_windows", 100)
    assert clickhouse.query(ONCE) == [{"n": 100, "different": 100}]


async def test_a_slow_clickhouse_is_only_slow(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap, telemetry = settings_of(sink_batch_rows=25), embedded_kafka.bootstrap, Telemetry()
    await produce(bootstrap, settings.rollups_topic, windows(100))
    clickhouse_server.set_faults(delay=0.3)
    async with running_sinks(settings, bootstrap, clickhouse_url, telemetry, embedded=True):
        await rows_appear(clickhouse, "session_windows", 100)
    assert clickhouse.query(ONCE) == [{"n": 100, "different": 100}]
    assert errors(telemetry, "transient") == 0


async def test_a_batch_too_large_for_the_memory_of_the_server_goes_in_by_parts(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap = settings_of(span_storage="off"), embedded_kafka.bootstrap
    await produce(bootstrap, settings.rollups_topic, windows(80))
    clickhouse_server.set_faults(large=20_000, large_code=241)
    async with running_sinks(settings, bootstrap, clickhouse_url, Telemetry(), embedded=True):
        await rows_appear(clickhouse, "session_windows", 80)
    assert clickhouse.query(ONCE) == [{"n": 80, "different": 80}]


async def test_a_refused_span_is_put_aside_where_nobody_counts_it_again_and_the_other_spans_are_stored(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap, telemetry = settings_of(), embedded_kafka.bootstrap, Telemetry()
    clickhouse_server.set_faults(refuse="poison")
    records = [
        to_protobuf(
            request(*(span(trace_id=n, span_id=k, name="poison" if (n, k) == (7, 3) else "chat") for k in range(1, 6)))
        )
        for n in range(1, 21)
    ]
    await produce(bootstrap, settings.spans_topic, records)
    async with running_sinks(settings, bootstrap, clickhouse_url, telemetry, embedded=True):
        await rows_appear(clickhouse, "spans", 99)
        (letter,) = await _letters(bootstrap, unstored_topic(settings.spans_topic))
    headers = dict(letter.headers)
    assert letter.value == records[6]
    assert (headers["reason"], headers["source_topic"]) == (b"refused_row", settings.spans_topic.encode())
    assert b"refused by the test" in headers["detail"]
    assert clickhouse.query("SELECT count() AS n FROM spans") == [{"n": 99}]
    assert put_aside(telemetry, "span-sink") == 1


async def _letters(bootstrap: str, topic: str) -> list[Any]:
    async def look() -> list[Any]:
        return await asyncio.to_thread(read_all, bootstrap, topic, 4)

    return await eventually_async(look, within=20, what=f"a dead letter in {topic}")


async def test_embedded_one_bad_row_becomes_a_dead_letter_and_the_rest_goes_in(
    embedded_kafka: EmbeddedBroker, chdb_url: str
) -> None:
    settings, bootstrap = settings_of(span_storage="off"), embedded_kafka.bootstrap
    bad = encode_window(window("s-range", "aa")).replace(b'"span_count":2', b'"span_count":4294967296')
    await produce(bootstrap, settings.rollups_topic, [*windows(20), bad, *windows(20, start=20)])
    client = migrated(chdb_url)
    async with running_sinks(settings, bootstrap, chdb_url, Telemetry(), embedded=True):
        await rows_appear(client, "session_windows", 40)
        (letter,) = await _letters(bootstrap, dead_letter_topic(settings.rollups_topic))
    assert letter.value == bad
    assert client.query(ONCE) == [{"n": 40, "different": 40}]
    client.close()
