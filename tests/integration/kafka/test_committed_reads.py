"""What the sinks' consumer sees on Apache Kafka: committed records of our transactions, and from where it left off."""

import asyncio

import pytest

from services.sessionizer.stage import Output
from services.shared.clock import SystemClock
from services.shared.kafka import TransactionalWriter
from services.shared.kafka_source import KafkaSource
from services.shared.kafka_topics import TopicSpec, ensure_topics
from tests.support.kafka.apache import ApacheKafka

pytestmark = pytest.mark.kafka


def writer(kafka: ApacheKafka, name: str) -> TransactionalWriter:
    return TransactionalWriter(
        kafka.bootstrap,
        transactional_id=name,
        group=name,
        input_topic=f"{name}-in",
        partition=0,
        changelog_topic=None,
        transaction_timeout_ms=20_000,
        clock=SystemClock(),
    )


async def read(source: KafkaSource, count: int) -> list[bytes | None]:
    found: list[bytes | None] = []
    async with asyncio.timeout(30.0):
        while len(found) < count:
            found += [record.value for record in await source.poll(1.0, count - len(found))]
    return found


async def test_a_sink_reads_past_an_aborted_transaction_and_never_sees_it(kafka: ApacheKafka) -> None:
    name = "aborted"
    await ensure_topics(kafka.bootstrap, [TopicSpec(f"{name}-in", 1, 1), TopicSpec(f"{name}-out", 1, 1)])
    dead = writer(kafka, name)
    await dead.start()
    await dead.commit([Output(f"{name}-out", 0, None, b"one")], [], 1)
    assert dead._producer is not None
    await dead._producer.begin_transaction()
    await dead._producer.send_and_wait(f"{name}-out", b"aborted", partition=0)
    successor = writer(kafka, name)
    await successor.start()
    await successor.commit([Output(f"{name}-out", 0, None, b"two")], [], 2)
    source = KafkaSource(kafka.bootstrap, f"{name}-sink", f"{name}-out", embedded=False)
    await source.start()
    assert await read(source, 2) == [b"one", b"two"]
    await source.stop()
    await successor.stop()
    await dead.stop()


async def test_a_sink_goes_on_from_what_it_committed_and_reads_the_rest_again(kafka: ApacheKafka) -> None:
    name = "resumed"
    await ensure_topics(kafka.bootstrap, [TopicSpec(f"{name}-in", 1, 1), TopicSpec(f"{name}-out", 1, 1)])
    owner = writer(kafka, name)
    await owner.start()
    for number in range(4):
        await owner.commit([Output(f"{name}-out", 0, None, b"%d" % number)], [], number)
    first = KafkaSource(kafka.bootstrap, f"{name}-sink", f"{name}-out", embedded=False)
    await first.start()
    assert await read(first, 1) == [b"0"]
    await first.commit({(f"{name}-out", 0): 1})
    assert await read(first, 3) == [b"1", b"2", b"3"]
    await first.stop()
    second = KafkaSource(kafka.bootstrap, f"{name}-sink", f"{name}-out", embedded=False)
    await second.start()
    assert await read(second, 3) == [b"1", b"2", b"3"], "what was read without a commit is read again"
    await second.stop()
    await owner.stop()


async def test_a_record_of_twenty_megabytes_can_be_read(kafka: ApacheKafka) -> None:
    name = "huge"
    limit = {"max.message.bytes": str(32 << 20)}
    await ensure_topics(kafka.bootstrap, [TopicSpec(f"{name}-in", 1, 1), TopicSpec(f"{name}-out", 1, 1, limit)])
    owner = writer(kafka, name)
    await owner.start()
    letter = bytes(range(256)) * (20 << 12)
    await owner.commit([Output(f"{name}-out", 0, None, letter), Output(f"{name}-out", 0, None, b"next")], [], 1)
    source = KafkaSource(kafka.bootstrap, f"{name}-sink", f"{name}-out", embedded=False)
    await source.start()
    assert await read(source, 2) == [letter, b"next"]
    await source.stop()
    await owner.stop()
