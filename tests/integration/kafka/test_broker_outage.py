"""What the clients do while Apache Kafka is away, and after it has come back."""

import asyncio
import logging

import pytest

from services.sessionizer.stage import Output
from services.shared.clock import SystemClock
from services.shared.errors import TransientError
from services.shared.kafka import SpanProducer, TransactionalWriter
from services.shared.kafka_topics import TopicSpec, ensure_topics
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import committed_offset, read_all

pytestmark = pytest.mark.kafka


def writer(kafka: ApacheKafka, patience: float) -> TransactionalWriter:
    return TransactionalWriter(
        kafka.bootstrap,
        transactional_id="app-0",
        group="app",
        input_topic="in",
        partition=0,
        changelog_topic=None,
        transaction_timeout_ms=30_000,
        clock=SystemClock(),
        patience=patience,
    )


async def test_a_checkpoint_waits_for_a_broker_that_restarts_and_then_holds_once(own_kafka: ApacheKafka) -> None:
    await ensure_topics(own_kafka.bootstrap, [TopicSpec("in", 1, 1), TopicSpec("out", 1, 1)])
    owner = writer(own_kafka, patience=60.0)
    await owner.start()
    await owner.commit([Output("out", 0, None, b"before")], [], 1)
    await asyncio.to_thread(own_kafka.kill)
    waiting = asyncio.ensure_future(owner.commit([Output("out", 0, None, b"during")], [], 2))
    await asyncio.to_thread(own_kafka.start)
    await waiting
    await owner.commit([Output("out", 0, None, b"after")], [], 3)
    await owner.stop()
    assert [r.value for r in read_all(own_kafka.bootstrap, "out", 1)] == [b"before", b"during", b"after"]
    assert committed_offset(own_kafka.bootstrap, "app", "in", 0) == 3


async def test_a_checkpoint_fails_when_the_broker_stays_away_and_the_writer_still_stops(own_kafka: ApacheKafka) -> None:
    await ensure_topics(own_kafka.bootstrap, [TopicSpec("in", 1, 1), TopicSpec("out", 1, 1)])
    owner = writer(own_kafka, patience=2.0)
    await owner.start()
    await asyncio.to_thread(own_kafka.kill)
    with pytest.raises(TransientError, match="no answer from Kafka within 2"):
        await owner.commit([Output("out", 0, None, b"x")], [], 2)
    await owner.stop()


async def test_the_gateways_producer_refuses_while_the_broker_is_away_and_goes_on_afterwards(
    own_kafka: ApacheKafka, caplog: pytest.LogCaptureFixture
) -> None:
    await ensure_topics(own_kafka.bootstrap, [TopicSpec("in", 2, 1)])
    producer = SpanProducer(own_kafka.bootstrap, "in", embedded=False, timeout=2.0, clock=SystemClock())
    await producer.start()
    assert producer.partitions() == 2
    assert await producer.send(1, b"first") == 0
    await asyncio.to_thread(own_kafka.kill)
    caplog.clear()
    with caplog.at_level(logging.INFO, "aiokafka"), pytest.raises(TransientError):
        await producer.send(1, b"second")
    lines = [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert 0 < len(lines) < 20, "retries are logged, but not each of them"
    await asyncio.to_thread(own_kafka.start)
    patient = asyncio.timeout(30.0)
    async with patient:
        while True:
            try:
                await producer.send(1, b"third")
            except TransientError:
                continue
            break
    await producer.stop()
    stored = [r.value for r in read_all(own_kafka.bootstrap, "in", 2)]
    assert stored[0] == b"first"
    assert set(stored[1:]) <= {b"second", b"third"}, "a refused record may be written all the same"
    assert b"third" in stored


async def test_starting_without_a_broker_is_a_transient_error(own_kafka: ApacheKafka) -> None:
    await asyncio.to_thread(own_kafka.kill)
    producer = SpanProducer(own_kafka.bootstrap, "in", embedded=False, timeout=2.0, clock=SystemClock())
    with pytest.raises(TransientError):
        await producer.start()
    await producer.stop()
    owner = writer(own_kafka, patience=2.0)
    with pytest.raises(TransientError):
        await owner.start()
    await owner.stop()
