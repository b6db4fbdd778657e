"""A checkpoint on Apache Kafka: all of it or nothing, and only by the newest owner."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.sessionizer.stage import Output
from services.shared.clock import SystemClock
from services.shared.errors import PermanentError
from services.shared.kafka import FencedError, TransactionalWriter
from services.shared.kafka_topics import TopicSpec, ensure_topics
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import LogRecord, committed_offset, read_all

pytestmark = pytest.mark.kafka

PARTITIONS = 2


class Installation:
    """Topics of one test, and writers of input partition 1."""

    def __init__(self, kafka: ApacheKafka, name: str) -> None:
        self.kafka, self.name = kafka, name
        self.input, self.output, self.changelog = f"{name}-in", f"{name}-out", f"{name}-changelog"

    async def make_topics(self) -> None:
        limit = {"max.message.bytes": str(32 << 20)}
        specs = [
            TopicSpec(self.input, PARTITIONS, 1),
            TopicSpec(self.output, PARTITIONS, 1, limit),
            TopicSpec(self.changelog, PARTITIONS, 1, {"cleanup.policy": "compact"}),
        ]
        await ensure_topics(self.kafka.bootstrap, specs)

    def writer(self, *, changelog: bool = True, patience: float = 30.0) -> TransactionalWriter:
        return TransactionalWriter(
            self.kafka.bootstrap,
            transactional_id=f"{self.name}-1",
            group=self.name,
            input_topic=self.input,
            partition=1,
            changelog_topic=self.changelog if changelog else None,
            transaction_timeout_ms=20_000,
            clock=SystemClock(),
            patience=patience,
        )

    @asynccontextmanager
    async def started(self) -> AsyncIterator[TransactionalWriter]:
        writer = self.writer()
        await writer.start()
        try:
            yield writer
        finally:
            await writer.stop()

    def outputs(self) -> list[LogRecord]:
        return read_all(self.kafka.bootstrap, self.output, PARTITIONS)

    def changes(self) -> list[LogRecord]:
        return read_all(self.kafka.bootstrap, self.changelog, PARTITIONS)

    def position(self) -> int | None:
        return committed_offset(self.kafka.bootstrap, self.name, self.input, 1)


@pytest.fixture
async def installation(kafka: ApacheKafka, request: pytest.FixtureRequest) -> Installation:
    made = Installation(kafka, request.node.name[:100])
    await made.make_topics()
    return made


def values(records: Sequence[LogRecord]) -> list[tuple[int, bytes | None]]:
    return [(record.partition, record.value) for record in records]


async def test_a_commit_shows_outputs_changes_and_position(installation: Installation) -> None:
    headers = (("reason", b"truncated"), ("empty", b""))
    async with installation.started() as writer:
        outputs = [Output(installation.output, 0, b"k", b"zero", headers), Output(installation.output, 1, None, b"one")]
        await writer.commit(outputs, [(b"state", b"s"), (b"gone", None)], 17)
    assert installation.outputs() == [
        LogRecord(0, 0, b"k", b"zero", headers),
        LogRecord(1, 0, None, b"one", ()),
    ]
    assert [(r.partition, r.key, r.value) for r in installation.changes()] == [(1, b"state", b"s"), (1, b"gone", None)]
    assert installation.position() == 17


async def test_a_commit_of_the_position_alone_is_enough(installation: Installation) -> None:
    async with installation.started() as writer:
        await writer.commit([], [], 5)
        await writer.commit([], [], 6)
    assert installation.position() == 6


async def test_records_of_one_partition_keep_their_order_over_many_batches(installation: Installation) -> None:
    wanted = [b"%d:" % number + b"x" * 400 for number in range(6_000)]
    async with installation.started() as writer:
        for start in (0, 3_000):
            part = wanted[start : start + 3_000]
            await writer.commit([Output(installation.output, n % 2, None, v) for n, v in enumerate(part)], [], start)
    found = installation.outputs()
    assert [r.value for r in found if r.partition == 0] == wanted[0::2]
    assert [r.value for r in found if r.partition == 1] == wanted[1::2]


async def test_a_record_of_twenty_megabytes_passes_untouched(installation: Installation) -> None:
    letter = bytes(range(256)) * (20 << 12)
    async with installation.started() as writer:
        await writer.commit([Output(installation.output, 0, None, letter, (("reason", b"x"),))], [], 1)
    (found,) = installation.outputs()
    assert found.value == letter
    assert found.headers == (("reason", b"x"),)


async def test_nothing_of_a_commit_that_failed_is_ever_seen(installation: Installation) -> None:
    failing = installation.writer()
    await failing.start()
    await failing.commit([Output(installation.output, 0, None, b"before")], [(b"s", b"1")], 1)
    over_the_limit = random.Random(1).randbytes(2 << 20)  # of the changelog's topic, however it is compressed
    with pytest.raises(PermanentError, match=r"raise max\.message\.bytes"):
        await failing.commit([Output(installation.output, 0, None, b"after")], [(b"s", over_the_limit)], 2)
    await failing.stop()
    async with installation.started() as successor:
        await successor.commit([Output(installation.output, 0, None, b"successor")], [], 3)
    assert values(installation.outputs()) == [(0, b"before"), (0, b"successor")]
    assert [r.value for r in installation.changes()] == [b"1"]
    assert installation.position() == 3


async def test_an_older_owner_is_fenced_as_soon_as_a_newer_one_has_started(installation: Installation) -> None:
    async with installation.started() as older:
        await older.commit([Output(installation.output, 0, None, b"older")], [(b"s", b"older")], 1)
        async with installation.started() as newer:
            with pytest.raises(FencedError):
                await older.commit([Output(installation.output, 0, None, b"woken")], [(b"s", b"woken")], 9)
            await newer.commit([Output(installation.output, 0, None, b"newer")], [(b"s", b"newer")], 2)
    assert values(installation.outputs()) == [(0, b"older"), (0, b"newer")]
    assert [r.value for r in installation.changes()] == [b"older", b"newer"]
    assert installation.position() == 2


async def test_a_fenced_owner_cannot_move_the_position_alone(installation: Installation) -> None:
    async with installation.started() as older:
        await older.commit([], [], 1)
        async with installation.started() as newer:
            await newer.commit([], [], 7)
            with pytest.raises(FencedError):
                await older.commit([], [], 2)
    assert installation.position() == 7


async def test_a_successor_ends_the_transaction_its_predecessor_died_in(installation: Installation) -> None:
    dead = installation.writer()
    await dead.start()
    assert dead._producer is not None
    await dead._producer.begin_transaction()
    await dead._producer.send_and_wait(installation.output, b"never", partition=0)
    assert [r.value for r in read_all(installation.kafka.bootstrap, installation.output, 2, committed_only=False)] == [
        b"never"
    ]
    async with installation.started() as successor:
        await successor.commit([Output(installation.output, 0, None, b"alive")], [], 1)
    await dead.stop()
    assert values(installation.outputs()) == [(0, b"alive")]


async def test_stop_is_safe_without_start_and_twice(installation: Installation) -> None:
    writer = installation.writer()
    await writer.stop()
    await writer.start()
    await writer.stop()
    await writer.stop()
