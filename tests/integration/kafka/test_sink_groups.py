"""Sinks that share a group: whoever waits for ClickHouse, and asks for nothing, holds nobody up."""

import pytest

from services.shared.kafka_source import KafkaSource
from services.shared.kafka_topics import TopicSpec, ensure_topics
from services.shared.records.source_record import SourceRecord
from tests.support.eventually import eventually_async
from tests.support.kafka.apache import ApacheKafka
from tests.support.running_sinks import produce

pytestmark = pytest.mark.kafka

TOPIC = "shared-by-sinks"


def source(kafka: ApacheKafka) -> KafkaSource:
    return KafkaSource(kafka.bootstrap, f"{TOPIC}-group", TOPIC, embedded=False)


async def poll(of: KafkaSource, into: list[SourceRecord]) -> bool:
    into += await of.poll(0.1, 1_000)
    return bool(into)


async def test_a_sink_that_asks_for_nothing_gives_up_partitions_and_loses_no_record(kafka: ApacheKafka) -> None:
    await ensure_topics(kafka.bootstrap, [TopicSpec(TOPIC, 2, 1)])
    await produce(kafka.bootstrap, TOPIC, [b"%d" % number for number in range(10)], partition=0)
    await produce(kafka.bootstrap, TOPIC, [b"%d" % number for number in range(10, 20)], partition=1)
    waiting, joining = source(kafka), source(kafka)
    ofs_waiting: list[SourceRecord] = []
    ofs_joining: list[SourceRecord] = []
    await waiting.start()
    await eventually_async(lambda: poll(waiting, ofs_waiting), within=30, what="records of the first sink")
    await joining.start()
    await eventually_async(lambda: poll(joining, ofs_joining), within=20, what="records of the second sink")

    async def all_read() -> bool:
        await poll(waiting, ofs_waiting)
        await poll(joining, ofs_joining)
        return len({(record.partition, record.offset) for record in (*ofs_waiting, *ofs_joining)}) == 20

    await eventually_async(all_read, within=20, what="all records")
    places = {(TOPIC, 0): 10, (TOPIC, 1): 10}
    await waiting.commit(places)
    await joining.commit(places)
    await waiting.stop()
    await joining.stop()
    after = source(kafka)
    await after.start()
    assert await after.poll(2.0, 100) == [], "each has committed the partition that it has"
    await after.stop()
