"""What the gateway sends is in the log once and whole, whatever its size and whatever is sent beside it."""

import asyncio
from random import Random

import pytest

from services.shared.clock import SystemClock
from services.shared.errors import PermanentError
from services.shared.kafka import SpanProducer
from services.shared.kafka_topics import TopicSpec, ensure_topics
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import read_all

pytestmark = pytest.mark.kafka

SIZES = (1, 500, 65_535, 65_536, 300_000, 900_001, 3_000_000)
"""Bytes; from 64 KB on a record is a batch by itself."""


async def producer_for(kafka: ApacheKafka, topic: str, largest: int) -> SpanProducer:
    await ensure_topics(kafka.bootstrap, [TopicSpec(topic, 2, 1, {"max.message.bytes": str(largest)})])
    producer = SpanProducer(kafka.bootstrap, topic, embedded=False, timeout=30.0, clock=SystemClock())
    await producer.start()
    return producer


async def test_small_and_large_records_sent_at_once_are_where_their_answers_say(kafka: ApacheKafka) -> None:
    random = Random(1)
    values = [random.randbytes(size // 2) + bytes(size - size // 2) for size in SIZES * 5]
    random.shuffle(values)
    producer = await producer_for(kafka, "spans-at-once", 32 << 20)
    offsets = await asyncio.gather(*(producer.send(n % 2, value) for n, value in enumerate(values)))
    await producer.stop()
    wanted = {(n % 2, offset): value for n, (offset, value) in enumerate(zip(offsets, values, strict=True))}
    found = {(each.partition, each.offset): each.value for each in read_all(kafka.bootstrap, "spans-at-once", 2)}
    assert len(wanted) == len(values)
    assert found == wanted


async def test_a_record_that_the_topic_does_not_take_is_refused_and_the_next_one_goes_in(kafka: ApacheKafka) -> None:
    random = Random(1)
    producer = await producer_for(kafka, "spans-too-large", 200_000)
    with pytest.raises(PermanentError, match=r"max\.message\.bytes"):
        await producer.send(1, random.randbytes(300_000))
    assert await producer.send(1, random.randbytes(100_000)) == 0
    await producer.stop()
    assert [len(each.value or b"") for each in read_all(kafka.bootstrap, "spans-too-large", 2)] == [100_000]
