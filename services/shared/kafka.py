"""Producers: what writes a partition's checkpoint, and what the gateway sends with.

What sinks read with: kafka_source.py. Topics: kafka_topics.py.
"""

import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.structs import OffsetAndMetadata

from services.shared.clock import Clock
from services.shared.errors import PermanentError, TransientError
from services.shared.kafka_log import thin_logs
from services.shared.record_batch import Record, batches
from services.shared.room import Room

LARGEST_RECORD = 32 << 20
"""Bytes of the largest record of the spans topic."""

LARGEST_DEAD_LETTER = LARGEST_RECORD + (1 << 20)
"""A dead letter holds the untouched bytes of a record, and headers that say why."""

_ALONE = 64 << 10  # bytes: a record of a request that takes no less waits for no others
_BATCH = 900_000  # under the 1 MB that a broker takes by default; a larger record goes alone
BACKOFF_MS = 250  # aiokafka's 100 ms, times every partition's producer, is a busy loop while a broker is down
_STOP_PATIENCE = 5.0  # an idempotent producer would otherwise wait for a broker that is gone for ever
_RECORD_OVERHEAD = 100  # bytes around key and value in the log, and some reserve

_log = logging.getLogger(__name__)


class FencedError(PermanentError):
    """A newer owner of the partition has started its producer: this one must not write any more."""


OutputRecord = tuple[str, int, bytes | None, bytes, tuple[tuple[str, bytes], ...]]
"""One record to produce (the stages' `Output`): topic, partition, key, value, headers."""


class PartitionWriter(Protocol):
    """The right to write what follows from one input partition. One task uses it at a time."""

    async def start(self) -> None:
        """Take the right from every older owner. Call before reading what they committed."""

    async def commit(
        self, outputs: Sequence[OutputRecord], changes: Sequence[tuple[bytes, bytes | None]], position: int
    ) -> None:
        """Make outputs, changed states and the input position durable together.

        Raises `FencedError` for an older owner, `TransientError` or `PermanentError` for any
        other failure; what became of the checkpoint is then unknown, and the writer unusable.
        """

    async def stop(self) -> None:
        """Let go of connections. Safe after a failure and without a start."""


def record_size(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> int:
    """About how many bytes of a broker's log a record takes; the measure used with `Room`."""
    around = sum(len(name) + len(text) + 8 for name, text in headers)
    return _RECORD_OVERHEAD + len(key or b"") + len(value or b"") + around


class TransactionalWriter:
    """Each commit is one Kafka transaction of the producer `transactional_id`; starting it fences older ones.

    The changelog record goes into the partition of the changelog that has the input's number.
    While the broker is unreachable a commit waits, for at most `patience` seconds.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        transactional_id: str,
        group: str,
        input_topic: str,
        partition: int,
        changelog_topic: str | None,
        transaction_timeout_ms: int,
        clock: Clock,
        patience: float = 120.0,
    ) -> None:
        self._group, self._input, self._clock = group, TopicPartition(input_topic, partition), clock
        self._changelog, self._patience = changelog_topic, patience
        self._name = transactional_id
        self._make = partial(
            _producer,
            bootstrap,
            transactional_id=transactional_id,
            transaction_timeout_ms=transaction_timeout_ms,
        )
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        self._producer = self._make()
        async with _kafka_errors(f"starting producer {self._name}", self._patience):
            await self._producer.start()

    async def commit(
        self, outputs: Sequence[OutputRecord], changes: Sequence[tuple[bytes, bytes | None]], position: int
    ) -> None:
        assert self._producer is not None, "start() comes first"
        records: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        for topic, partition, key, value, headers in outputs:
            records[topic, partition].append((key, value, headers))
        if changes:
            assert self._changelog is not None, "a stage without a changelog has no changes"
            records[self._changelog, self._input.partition] += changes
        async with _kafka_errors(f"checkpoint of {self._name}", self._patience):
            await self._producer.begin_transaction()
            await asyncio.gather(*(self._send(*where, batch) for where, batch in records.items()))
            await self._producer.send_offsets_to_transaction(
                {self._input: OffsetAndMetadata(position, "")}, self._group
            )
            await self._producer.commit_transaction()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        await _stop(producer)

    async def _send(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Write records of one partition in order, batch by batch; all are acknowledged afterwards."""
        assert self._producer is not None
        await self._producer.partitions_for(topic)
        now = self._clock.now() // 1_000_000
        sent = [
            await self._producer.send_batch(batch, topic, partition=partition)
            for batch in batches(records, now, _BATCH)
        ]
        await asyncio.gather(*sent)


class PlainWriter:
    """The same order of writes on the embedded broker: no transaction, no fence, no changelog.

    Takes room before each record, so `commit` waits while readers are too far behind. States
    live in the process and go to a file at a clean stop, so `changes` and `position` are not written.
    """

    def __init__(self, bootstrap: str, room: Room) -> None:
        self._make = partial(_producer, bootstrap)
        self._room = room
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        self._producer = self._make()
        async with _kafka_errors("starting an embedded producer", None):
            await self._producer.start()

    async def commit(
        self, outputs: Sequence[OutputRecord], changes: Sequence[tuple[bytes, bytes | None]], position: int
    ) -> None:
        del changes, position
        async with _kafka_errors("checkpoint on the embedded broker", None):
            await asyncio.gather(*[await self._send(output) for output in outputs])

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        await _stop(producer)

    async def _send(self, output: OutputRecord) -> "asyncio.Future[Any]":
        assert self._producer is not None, "start() comes first"
        topic, partition, key, value, headers = output
        size = record_size(key, value, headers)
        await self._room.take(topic, partition, size)

        def report(future: "asyncio.Future[Any]") -> None:
            # As soon as it is known: a later record of the same commit may wait for the readers to pass this one.
            if future.cancelled() or future.exception() is not None:
                self._room.give_back(topic, partition, size)
            else:
                self._room.wrote(topic, partition, future.result().offset, size)

        sent: asyncio.Future[Any] = await self._producer.send(
            topic, value, key=key, partition=partition, headers=list(headers)
        )
        sent.add_done_callback(report)
        return sent


class SpanProducer:
    """The gateway's way into the spans topic: acknowledged by all replicas or not at all.

    Small records wait 5 ms for others; large ones are batches of our own, since aiokafka compresses for five times the
    CPU, to a tenth less.
    """

    def __init__(self, bootstrap: str, topic: str, *, embedded: bool, timeout: float, clock: Clock) -> None:
        self._topic, self._timeout, self._clock = topic, timeout, clock
        self._alone = sys.maxsize if embedded else _ALONE
        self._make = partial(
            _producer,
            bootstrap,
            enable_idempotence=not embedded,
            linger_ms=5,
            compression_type=None if embedded else "lz4",
        )
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises `TransientError` when no broker answers."""
        self._producer = self._make()
        async with _kafka_errors(f"connecting to write {self._topic}", self._timeout):
            await self._producer.start()
            await self._producer.partitions_for(self._topic)

    def partitions(self) -> int:
        """How many partitions the topic has now. Only after `start`."""
        assert self._producer is not None, "start() comes first"
        known = self._producer.client.cluster.partitions_for_topic(self._topic)
        return max(1, len(known or ()))

    async def send(self, partition: int, value: bytes) -> int:
        """Write one record and return its offset once the broker has acknowledged it.

        Raises `TransientError` when that takes longer than the timeout (the record may be
        written all the same: a retry then makes a duplicate) and `PermanentError` for a record
        that the broker will never take.
        """
        assert self._producer is not None, "start() comes first"
        async with _kafka_errors(f"writing to {self._topic}/{partition}", self._timeout):
            if len(value) < self._alone:
                sent = await self._producer.send(self._topic, value, partition=partition)
            else:
                (batch,) = batches([(None, value)], self._clock.now() // 1_000_000, _BATCH, transactional=False)
                sent = await self._producer.send_batch(batch, self._topic, partition=partition)
            offset: int = (await sent).offset
        return offset

    async def stop(self) -> None:
        """Flush and let go. Safe without `start`."""
        producer, self._producer = self._producer, None
        await _stop(producer)


def _producer(bootstrap: str, **more: object) -> AIOKafkaProducer:
    thin_logs()
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        max_batch_size=_BATCH,
        max_request_size=LARGEST_DEAD_LETTER,
        retry_backoff_ms=BACKOFF_MS,
        metadata_max_age_ms=30_000,
        **more,
    )


async def _stop(producer: AIOKafkaProducer | None) -> None:
    if producer is None:
        return
    try:
        async with asyncio.timeout(_STOP_PATIENCE):
            await producer.stop()
    except TimeoutError:
        _log.warning("a producer still had records for a broker that does not answer: given up")
        await producer.client.close()


@asynccontextmanager
async def _kafka_errors(doing: str, patience: float | None) -> AsyncIterator[None]:
    """Say what failed in the words of our error tree, after at most `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            yield
    except TimeoutError as error:
        raise TransientError(f"{doing}: no answer from Kafka within {patience} s") from error
    except (ProducerFenced, InvalidProducerEpoch, OutOfOrderSequenceNumber) as error:
        why = "a newer owner has taken over, or the transaction was open for too long"
        raise FencedError(f"{doing}: {why} ({error!r})") from error
    except MessageSizeTooLargeError as error:
        raise PermanentError(f"{doing}: record too large, raise max.message.bytes of the topic ({error})") from error
    except KafkaError as error:
        raise TransientError(f"{doing}: {error!r}") from error
