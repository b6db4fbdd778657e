"""What a sink reads from and where it puts what nobody will ever take: a group consumer and a producer."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from services.shared.errors import SettingsError, TransientError
from services.shared.kafka import BACKOFF_MS, LARGEST_RECORD
from services.shared.kafka_log import thin_logs
from services.shared.kafka_topics import partition_counts
from services.shared.records.source_record import Place, SourceRecord

_MOVED = (CommitFailedError, IllegalGenerationError, IllegalStateError, RebalanceInProgressError, UnknownMemberIdError)
_JOIN_PATIENCE = 30.0  # seconds
_AHEAD = 32 << 20  # bytes that the client may fetch ahead of what is asked for, of all partitions
_MOST_OF_PARTITION, _LEAST_OF_PARTITION = 8 << 20, 256 << 10
_log = logging.getLogger(__name__)


def bytes_ahead(partitions: int) -> int:
    """How much may be fetched of one of so many partitions while nobody asks: a sink that waits keeps that in memory.

    A larger record comes all the same, by itself.
    """
    return min(_MOST_OF_PARTITION, max(_LEAST_OF_PARTITION, _AHEAD // max(1, partitions)))


def make_consumer(
    bootstrap: str,
    group: str,
    topic: str,
    *,
    embedded: bool,
    session_timeout_ms: int = 15_000,
    ahead: int = _MOST_OF_PARTITION,
) -> AIOKafkaConsumer:
    """A group consumer for a sink, not yet started: whole fetches, committed records only, commits by hand.

    The embedded broker has no transactions, so there every record is a committed one.
    """
    thin_logs()
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_uncommitted" if embedded else "read_committed",
        max_partition_fetch_bytes=ahead,
        fetch_max_bytes=_AHEAD,
        fetch_max_wait_ms=200,
        check_crcs=False,  # TCP and the broker check already; this is a third of the CPU of a fetch
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=session_timeout_ms // 5,
        max_poll_interval_ms=30 * 60_000,  # a sink that waits for ClickHouse keeps its partitions
        retry_backoff_ms=BACKOFF_MS,
        metadata_max_age_ms=30_000,
    )


class KafkaSource:
    """Reads one topic as a member of a group. All errors are `TransientError`; nothing commits by itself."""

    def __init__(
        self, bootstrap: str, group: str, topic: str, *, embedded: bool, session_timeout_ms: int = 15_000
    ) -> None:
        self._make = partial(
            make_consumer, bootstrap, group, topic, embedded=embedded, session_timeout_ms=session_timeout_ms
        )
        self._name = f"{group} on {topic}"
        self._bootstrap, self._topic = bootstrap, topic
        self._is_alone = embedded
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Join the group. After a failure it can be called again."""
        consumer = self._make(ahead=bytes_ahead(await self._partitions()))
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            raise TransientError(f"{self._name}: no Kafka: {error!r}") from error
        self._consumer = consumer

    async def _partitions(self) -> int:
        """How many the topic has now; 0 where it is not there yet, which the consumer waits for."""
        try:
            return (await partition_counts(self._bootstrap, [self._topic]))[self._topic]
        except SettingsError:
            return 0

    async def poll(self, seconds: float, max_records: int) -> list[SourceRecord]:
        """What there is, or what comes first within `seconds`; offsets of a partition rise."""
        try:
            found = await self._running.getmany(timeout_ms=round(seconds * 1000), max_records=max_records)
        except KafkaError as error:
            raise TransientError(f"{self._name}: reading: {error!r}") from error
        return [_record(record) for records in found.values() for record in records]

    async def commit(self, positions: Mapping[Place, int]) -> None:
        """Records below these positions need not be read again. Partitions that moved to others are left out."""
        assigned = self._running.assignment()
        mine = {TopicPartition(*place): position for place, position in positions.items()}
        mine = {place: position for place, position in mine.items() if place in assigned}
        if not mine:
            return
        try:
            await self._running.commit(mine)
        except _MOVED as error:
            _log.info("%s: not committed, the partitions moved: %r", self._name, error)
        except KafkaError as error:
            raise TransientError(f"{self._name}: commit: {error!r}") from error

    async def behind(self) -> int:
        """How many records of its partitions the broker has that `poll` has not returned yet.

        In embedded mode all partitions are its own, so it waits until it has them.
        """
        consumer = self._running
        try:
            async with asyncio.timeout(_JOIN_PATIENCE):
                while self._is_alone and not consumer.assignment():  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.05)
            ends = await consumer.end_offsets(list(consumer.assignment()))
            return sum([max(0, int(end) - int(await consumer.position(place))) for place, end in ends.items()])
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"{self._name}: end of the log: {error!r}") from error

    async def stop(self) -> None:
        """Leave the group. Safe without `start`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    @property
    def _running(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() comes first"
        return self._consumer


class DeadLetterTopic:
    """Puts records, bytes untouched, into one dead letter topic. Connects when the first one comes."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._producer: AIOKafkaProducer | None = None

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        """Returns when the broker has it; raises `TransientError` otherwise."""
        try:
            producer = await self._connected()
            await producer.send_and_wait(
                self._topic,
                record.value,
                key=record.key,
                headers=[*record.headers, *((name, text.encode()) for name, text in headers.items())],
            )
        except KafkaError as error:
            raise TransientError(f"writing to {self._topic}: {error!r}") from error

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            thin_logs()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, acks="all", max_request_size=LARGEST_RECORD + (1 << 20)
            )
            await producer.start()
            self._producer = producer
        return self._producer


def _record(record: ConsumerRecord) -> SourceRecord:
    return SourceRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp * 10**6,
        record.key,
        record.value,
        tuple(record.headers or ()),
    )
