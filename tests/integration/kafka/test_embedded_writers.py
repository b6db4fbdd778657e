"""The writers on librdkafka's broker: the same order of writes, no further ahead than there is room."""

import asyncio

from services.embedded.broker import EmbeddedBroker
from services.sessionizer.stage import Output
from services.shared.clock import SystemClock
from services.shared.kafka import PlainWriter, SpanProducer, record_size
from services.shared.kafka_source import KafkaSource
from services.shared.kafka_topics import partition_counts
from services.shared.room import BoundedRoom, Unlimited
from tests.support.kafka.log import read_all


async def test_outputs_are_written_in_order_with_their_headers(embedded_kafka: EmbeddedBroker) -> None:
    writer = PlainWriter(embedded_kafka.bootstrap, Unlimited())
    await writer.start()
    await partition_counts(embedded_kafka.bootstrap, ["out"])
    outputs = [Output("out", n % 2, b"k%d" % n, b"v%d" % n, (("reason", b"%d" % n),)) for n in range(500)]
    await writer.commit(outputs[:200], [(b"state", b"never written")], 1)
    await writer.commit(outputs[200:], [], 2)
    await writer.stop()
    found = read_all(embedded_kafka.bootstrap, "out", 4)
    assert [(r.key, r.value, r.headers) for r in found if r.partition == 0] == [
        (o.key, o.value, o.headers) for o in outputs[0::2]
    ]
    assert [r.key for r in found if r.partition == 1] == [o.key for o in outputs[1::2]]


async def test_a_commit_larger_than_the_room_goes_on_as_the_reader_passes(embedded_kafka: EmbeddedBroker) -> None:
    value = b"v" * 1_000
    limit = 10 * record_size(None, value)
    room = BoundedRoom({"out": frozenset({"reader"})}, limit_bytes=limit)
    writer = PlainWriter(embedded_kafka.bootstrap, room)
    await writer.start()
    source = KafkaSource(embedded_kafka.bootstrap, "readers", "out", embedded=True)
    await source.start()
    read, farthest = 0, 0
    async with asyncio.timeout(30.0), asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.commit([Output("out", 0, None, value) for _ in range(100)], [], 1))
        while read < 100:
            if records := await source.poll(0.2, 100):
                read += len(records)
                farthest = max(farthest, len(records))
                room.passed("reader", "out", 0, records[-1].offset + 1)
    await source.stop()
    await writer.stop()
    assert read == 100
    assert farthest <= 10, "at no time are there more records ahead of the reader than there is room for"


async def test_an_acknowledged_send_returns_its_offset(embedded_kafka: EmbeddedBroker) -> None:
    producer = SpanProducer(embedded_kafka.bootstrap, "in", embedded=True, timeout=5.0, clock=SystemClock())
    await producer.start()
    assert producer.partitions() == 4
    offsets = await asyncio.gather(*(producer.send(2, b"%d" % n) for n in range(10)))
    await producer.stop()
    assert offsets == list(range(10))
    assert [r.value for r in read_all(embedded_kafka.bootstrap, "in", 4)] == [b"%d" % n for n in range(10)]


async def test_a_stopped_broker_is_another_one_when_it_starts_again() -> None:
    broker = EmbeddedBroker()
    broker.stop()
    with broker:
        first = broker.bootstrap
        producer = SpanProducer(first, "in", embedded=True, timeout=5.0, clock=SystemClock())
        await producer.start()
        await producer.send(0, b"x")
        await producer.stop()
    with broker:
        await partition_counts(broker.bootstrap, ["in"])
        assert read_all(broker.bootstrap, "in", 4) == []
