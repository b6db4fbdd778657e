"""Reading back what earlier owners of a partition committed: states and positions.

A plain committed-read consumer outside the group, fifty times as fast as Faust's recovery.
Call these after the partition's producer has started: that ended every open transaction.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from services.sessionizer.recovery import RecoveryProgress
from services.shared.errors import TransientError

Entry = tuple[bytes, bytes | None]
"""A changelog record: key and value; no value is a tombstone."""

_BATCH = 5_000
"""Entries that are applied at a time: some 15 ms in which nothing else goes on."""
_PATIENCE = 0.05  # seconds; a fetch that is not full waits for all of it
_TIMEOUT = 30.0


def _reader(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # how long the broker keeps the end of the log to itself
            "check.crcs": False,
            "max.partition.fetch.bytes": 4 << 20,
            "queued.max.messages.kbytes": 16 << 10,  # it reads ahead while a batch is applied, not more
            "fetch.queue.backoff.ms": 5,
            "log_level": 2,  # aiokafka says in one line what librdkafka says in ten
        }
    )


async def read_changelog(
    bootstrap: str, group: str, topic: str, partition: int, progress: RecoveryProgress
) -> AsyncIterator[list[Entry]]:
    """Every committed entry in log order, in batches, up to the end the log has now.

    `progress` is told of a batch when the next one is asked for. Raises `TransientError` when the
    broker stops answering.
    """
    loop = asyncio.get_running_loop()
    reader = await loop.run_in_executor(None, _reader, bootstrap, group)
    where = TopicPartition(topic, partition, OFFSET_BEGINNING)
    try:
        try:
            bounds = await loop.run_in_executor(None, partial(reader.get_watermark_offsets, where, timeout=_TIMEOUT))
        except KafkaException as fault:
            raise TransientError(f"asking the end of {topic}/{partition}: {fault}") from fault
        if bounds is None or OFFSET_INVALID in bounds:
            raise TransientError(f"the broker did not tell the end of {topic}/{partition} within {_TIMEOUT:.0f} s")
        progress.begin(bounds[1] - bounds[0])
        await loop.run_in_executor(None, reader.assign, [where])
        finished = bounds[0] == bounds[1]
        while not finished:
            messages = await loop.run_in_executor(None, reader.consume, _BATCH, _PATIENCE)
            entries: list[Entry] = [(each.key() or b"", each.value()) for each in messages if each.error() is None]
            if len(entries) < len(messages):
                finished = any(_is_end(each, bounds[1]) for each in messages if each.error() is not None)
            if entries:
                yield entries
                last = next(each for each in reversed(messages) if each.error() is None)
                progress.read(len(entries), max(0, bounds[1] - 1 - (last.offset() or 0)))
    finally:
        progress.end()
        await loop.run_in_executor(None, reader.close)


def _is_end(message: Message, end: int) -> bool:
    """Whether this event, no entry, says that all up to `end` was read. Raises `TransientError` for a fault."""
    error = message.error()
    assert error is not None
    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes start with "_"
        raise TransientError(f"reading {message.topic()}/{message.partition()}: {error.str()}")
    # Its offset counts control records, which are never delivered.
    return (message.offset() or 0) >= end


async def committed_position(bootstrap: str, group: str, topic: str, partition: int) -> int | None:
    """The offset the group committed for an input partition, or None."""
    loop = asyncio.get_running_loop()
    reader = await loop.run_in_executor(None, _reader, bootstrap, group)
    try:
        where = [TopicPartition(topic, partition)]
        (answer,) = await loop.run_in_executor(None, partial(reader.committed, where, timeout=_TIMEOUT))
    except KafkaException as error:
        raise TransientError(f"asking the committed offset of {topic}/{partition}: {error}") from error
    finally:
        await loop.run_in_executor(None, reader.close)
    if answer.error is not None:
        raise TransientError(f"asking the committed offset of {topic}/{partition}: {answer.error.str()}")
    return None if answer.offset < 0 else answer.offset
