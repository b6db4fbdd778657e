"""Both sinks between a real broker and a real ClickHouse."""

import asyncio

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from services.embedded.broker import EmbeddedBroker
from services.shared.clickhouse import ClickHouse
from services.shared.kafka_topics import dead_letter_topic, ensure_topics, topic_specs
from services.shared.records.rollups import encode_turns, encode_window
from services.shared.telemetry import Telemetry
from tests.support.clickhouse import ClickHouseServer
from tests.support.eventually import eventually_async
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import read_all
from tests.support.otlp import T0, request, span, to_protobuf
from tests.support.rollups import turn, window
from tests.support.running_sinks import produce, rows_appear, running_sinks, settings_of, windows


async def test_embedded_rollups_and_spans_reach_clickhouse_and_a_stop_drains_to_the_end(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str
) -> None:
    settings, bootstrap = settings_of(), embedded_kafka.bootstrap
    [turns] = encode_turns("p1", "s1", "w1".ljust(16, "0"), [turn(trace=1), turn(trace=2)])
    await produce(bootstrap, settings.rollups_topic, [turns, encode_window(window())])
    await produce(bootstrap, settings.spans_topic, [b""])
    async with running_sinks(settings, bootstrap, clickhouse_url, Telemetry(), embedded=True, to_end=True):
        await rows_appear(clickhouse, "session_windows", 1)
        await produce(bootstrap, settings.rollups_topic, windows(200))
        await produce(
            bootstrap,
            settings.spans_topic,
            [
                to_protobuf(
                    request(span(trace_id=5, attributes={"session.id": "s1", "n": 7}), resource={"service.name": "bot"})
                )
            ],
        )
    assert len(clickhouse.query("SELECT * FROM session_windows FINAL")) == 201
    assert [
        row["trace_id"] for row in clickhouse.query("SELECT trace_id FROM session_turns FINAL ORDER BY trace_id")
    ] == [
        f"{1:032x}",
        f"{2:032x}",
    ]
    [stored] = clickhouse.query("SELECT * FROM spans FINAL")
    assert (stored["project"], stored["session_id"], stored["trace_id"]) == ("default", "s1", f"{5:032x}")
    assert (stored["start_time"], stored["service_name"], stored["name"]) == (T0, "bot", "chat")
    assert orjson.loads(stored["attributes"])["n"] == 7


async def test_an_embedded_stop_right_after_the_start_still_drains_to_the_end(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str
) -> None:
    settings = settings_of(span_storage="off")
    await produce(embedded_kafka.bootstrap, settings.rollups_topic, windows(30))
    async with running_sinks(
        settings, embedded_kafka.bootstrap, clickhouse_url, Telemetry(), embedded=True, to_end=True
    ):
        pass
    assert clickhouse.query("SELECT count() AS n FROM session_windows FINAL") == [{"n": 30}]


async def test_an_outage_of_clickhouse_and_lost_answers_change_nothing(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap, telemetry = settings_of(span_storage="off"), embedded_kafka.bootstrap, Telemetry()

    def errors() -> float:
        labels = {"sink": "rollup-sink", "error": "transient"}
        return telemetry.registry.get_sample_value("spanloom_sink_errors_total", labels) or 0

    async def failed() -> bool:
        return errors() >= 2

    clickhouse_server.set_faults(down=True)
    await produce(bootstrap, settings.rollups_topic, windows(100))
    async with running_sinks(settings, bootstrap, clickhouse_url, telemetry, embedded=True):
        await eventually_async(failed, within=20, what="two failed inserts")
        await asyncio.to_thread(clickhouse_server.set_faults, lose_answers=2)
        await rows_appear(clickhouse, "session_windows", 100)
        await produce(bootstrap, settings.rollups_topic, windows(50, start=100))
        await rows_appear(clickhouse, "session_windows", 150)
    assert clickhouse.query("SELECT count() AS n, uniqExact(window_id) AS different FROM session_windows") == [
        {"n": 150, "different": 150}
    ]


async def test_what_clickhouse_refuses_becomes_a_dead_letter_and_the_rest_goes_in(
    embedded_kafka: EmbeddedBroker, clickhouse: ClickHouse, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    settings, bootstrap = settings_of(span_storage="off"), embedded_kafka.bootstrap
    clickhouse_server.set_faults(refuse="poison")
    too_many = encode_window(window("s-range", "aa")).replace(b'"span_count":2', b'"span_count":4294967296')
    bad = [encode_window(window("poison", "ab")), b"no json", too_many]
    good = windows(40)
    await produce(bootstrap, settings.rollups_topic, [*good[:20], *bad, *good[20:]])
    async with running_sinks(settings, bootstrap, clickhouse_url, Telemetry(), embedded=True):
        await rows_appear(clickhouse, "session_windows", 40)
    letters = read_all(bootstrap, dead_letter_topic(settings.rollups_topic), 4)
    assert {letter.value: dict(letter.headers)["reason"] for letter in letters} == {
        bad[0]: b"refused_row",
        bad[1]: b"unreadable",
        bad[2]: b"refused_row",
    }
    assert len(clickhouse.query("SELECT * FROM session_windows FINAL")) == 40


@pytest.mark.kafka
async def test_kafka_only_committed_records_are_sunk_and_a_restart_goes_on_where_it_stopped(
    kafka: ApacheKafka, clickhouse: ClickHouse, clickhouse_url: str
) -> None:
    settings = settings_of(span_storage="off")
    await ensure_topics(kafka.bootstrap, topic_specs(settings))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=settings.app_id)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(settings.rollups_topic, encode_window(window("aborted", "ff")), partition=0)
    await producer.abort_transaction()
    await producer.stop()
    await produce(kafka.bootstrap, settings.rollups_topic, windows(10))
    async with running_sinks(settings, kafka.bootstrap, clickhouse_url, Telemetry(), embedded=False):
        await rows_appear(clickhouse, "session_windows", 10)
    await produce(kafka.bootstrap, settings.rollups_topic, windows(10, start=10))
    telemetry = Telemetry()
    async with running_sinks(settings, kafka.bootstrap, clickhouse_url, telemetry, embedded=False):
        await rows_appear(clickhouse, "session_windows", 20)
    labels = {"sink": "rollup-sink", "table": "session_windows"}
    assert telemetry.registry.get_sample_value("spanloom_sink_rows_total", labels) == 10
    found = clickhouse.query("SELECT session_id FROM session_windows FINAL")
    assert {row["session_id"] for row in found} == {f"s{number}" for number in range(20)}


@pytest.mark.kafka
async def test_kafka_records_of_20_mb_pass_the_span_sink_and_unreadable_ones_are_counted(
    kafka: ApacheKafka, clickhouse: ClickHouse, clickhouse_url: str
) -> None:
    settings, telemetry = settings_of(), Telemetry()
    await ensure_topics(kafka.bootstrap, topic_specs(settings))
    large = [
        to_protobuf(
            request(
                *(span(trace_id=n + 1, span_id=i + 1, attributes={"input.value": "x" * 100_000}) for i in range(200))
            )
        )
        for n in range(3)
    ]
    assert min(map(len, large)) > 20_000_000
    await produce(kafka.bootstrap, settings.spans_topic, [large[0], b"\xff\xff", *large[1:]])
    async with running_sinks(settings, kafka.bootstrap, clickhouse_url, telemetry, embedded=False):
        await rows_appear(clickhouse, "spans", 600, within=90)
    labels = {"sink": "span-sink", "outcome": "skipped"}
    assert telemetry.registry.get_sample_value("spanloom_sink_records_without_rows_total", labels) == 1
    assert read_all(kafka.bootstrap, dead_letter_topic(settings.spans_topic), 4) == []
