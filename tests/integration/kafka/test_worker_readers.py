"""What a worker reads with: committed records, partitions that came later, and what it knows of the end of a log."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from services.sessionizer.changelog import read_changelog
from services.sessionizer.fetcher import Fetcher
from services.sessionizer.recovery import RecoveryProgress
from services.sessionizer.stage import Output
from services.shared.clock import SystemClock
from services.shared.kafka import TransactionalWriter
from services.shared.kafka_topics import TopicSpec, ensure_topics
from services.shared.telemetry import Telemetry
from tests.support.eventually import eventually_async
from tests.support.kafka.apache import ApacheKafka

pytestmark = pytest.mark.kafka


def writer(kafka: ApacheKafka, name: str) -> TransactionalWriter:
    return TransactionalWriter(
        kafka.bootstrap,
        transactional_id=name,
        group=name,
        input_topic=f"{name}-in",
        partition=0,
        changelog_topic=f"{name}-changelog",
        transaction_timeout_ms=20_000,
        clock=SystemClock(),
    )


@asynccontextmanager
async def fetching(kafka: ApacheKafka, topic: str, *partitions: int) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(kafka.bootstrap, topic, topic, committed_only=True, clock=SystemClock())
    await fetcher.assign(dict.fromkeys(partitions, 0))
    yield fetcher
    await fetcher.close()


async def fetch_until(fetcher: Fetcher, look: Callable[[], bool], what: str) -> list[bytes | None]:
    """The values fetched until something is true."""
    values: list[bytes | None] = []

    async def fetch() -> bool:
        for records in (await fetcher.fetch()).values():
            values.extend(record.value for record in records)
        return look()

    await eventually_async(fetch, within=20.0, what=what, every=0.0)
    return values


async def test_stages_and_recovery_never_see_what_a_fenced_owner_wrote(kafka: ApacheKafka) -> None:
    name = "fenced-owner"
    topics = [TopicSpec(f"{name}-{part}", 1, 1) for part in ("in", "out", "changelog")]
    await ensure_topics(kafka.bootstrap, topics)
    paused, successor = writer(kafka, name), writer(kafka, name)
    await paused.start()
    await paused.commit([Output(f"{name}-out", 0, None, b"one")], [(b"key", b"one")], 1)
    assert paused._producer is not None
    await paused._producer.begin_transaction()  # it falls asleep inside its checkpoint
    await paused._producer.send_and_wait(f"{name}-out", b"never", partition=0)
    await paused._producer.send_and_wait(f"{name}-changelog", b"never", key=b"key", partition=0)
    await successor.start()
    await successor.commit([Output(f"{name}-out", 0, None, b"two")], [(b"key", b"two")], 2)
    async with fetching(kafka, f"{name}-out", 0) as fetcher:
        assert await fetch_until(fetcher, lambda: fetcher.caught_up(0), "the end of the log") == [b"one", b"two"]
    progress = RecoveryProgress("window", 0, clock=SystemClock(), telemetry=Telemetry())
    restored = [
        entry
        async for batch in read_changelog(kafka.bootstrap, name, f"{name}-changelog", 0, progress)
        for entry in batch
    ]
    assert restored == [(b"key", b"one"), (b"key", b"two")]
    await successor.stop()
    await paused.stop()


async def test_a_partition_that_the_topic_did_not_have_at_first_can_be_fetched(kafka: ApacheKafka) -> None:
    topic = "extended"
    await ensure_topics(kafka.bootstrap, [TopicSpec(topic, 1, 1)])
    async with fetching(kafka, topic, 0) as fetcher:
        await fetch_until(fetcher, lambda: fetcher.caught_up(0), "the end of partition 0")
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for done in admin.create_partitions([NewPartitions(topic, 2)]).values():
            await asyncio.wrap_future(done)
        assert await fetcher.bounds(1) == (0, 0)
        await fetcher.assign({0: 0, 1: 0})
        await fetch_until(fetcher, lambda: fetcher.caught_up(1), "the end of partition 1")


async def test_the_end_of_a_log_is_unknown_while_its_broker_does_not_answer(own_kafka: ApacheKafka) -> None:
    topic = "silent"
    await ensure_topics(own_kafka.bootstrap, [TopicSpec(topic, 1, 1)])
    async with fetching(own_kafka, topic, 0) as fetcher:
        await fetch_until(fetcher, lambda: fetcher.caught_up(0), "the end of the log")
        own_kafka.process.signal(signal.SIGSTOP)
        await fetch_until(fetcher, lambda: not fetcher.caught_up(0), "doubt")
        own_kafka.process.signal(signal.SIGCONT)
        await fetch_until(fetcher, lambda: fetcher.caught_up(0), "the end of the log again")
