"""Records on their way to Kafka: which partition, whether there is room, and when a client may be told."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.gateway.records import Record
from services.shared.errors import PermanentError, TransientError
from services.shared.kafka import record_size
from services.shared.room import Room


class Producer(Protocol):
    """The way into the spans topic (`shared.kafka.SpanProducer`)."""

    def partitions(self) -> int:
        """How many partitions the topic has now."""

    async def send(self, partition: int, value: bytes) -> int:
        """The offset, once the broker has acknowledged the record. Raises `TransientError` or `PermanentError`."""


class NoRoomError(TransientError):
    """Readers are too far behind to write more. Nothing was written."""


class Delivery:
    """Writes round robin, skipping partitions without room. For one event loop, any number of requests."""

    def __init__(self, producer: Producer, room: Room, topic: str, timeout: float) -> None:
        self._producer, self._room, self._topic, self._timeout = producer, room, topic, timeout
        self._next = 0
        self._running: set[asyncio.Task[None]] = set()

    async def deliver(self, records: Sequence[Record]) -> list[Record]:
        """Return when Kafka has acknowledged the records, with those that it will never take.

        Raises `NoRoomError` at once where there is room for nothing or a reader stands still, and
        `TransientError` when it takes too long or fails; some records may then be written, and are
        written again when the client sends the request again. A started request waits for room,
        because a large one needs more than there is at any time.
        """
        if why := self._room.blockage:
            raise NoRoomError(why)
        sent: list[tuple[Record, asyncio.Task[None]]] = []
        try:
            async with asyncio.timeout(self._timeout):
                for record in records:
                    partition = await self._take_room(record_size(None, record.value), may_wait=bool(sent))
                    task = asyncio.create_task(self._send(partition, record.value))
                    self._running.add(task)
                    task.add_done_callback(self._ended)
                    sent.append((record, task))
                if sent:  # what is on its way is not stopped by a timeout: its room is settled when it ends
                    await asyncio.wait([task for _, task in sent])
        except TimeoutError as error:
            raise TransientError(f"Kafka has not taken all of it within {self._timeout:g} s") from error
        return [record for record, task in sent if not _is_written(task)]

    async def drained(self) -> None:
        """Wait for records of requests that gave up."""
        if self._running:
            await asyncio.wait(self._running)

    async def _take_room(self, size: int, *, may_wait: bool) -> int:
        count = self._producer.partitions()
        for step in range(count):
            partition = (self._next + step) % count
            if self._room.try_take(self._topic, partition, size):
                self._next = partition + 1
                return partition
        if not may_wait:
            raise NoRoomError("the readers of the spans topic are behind")
        partition = self._next % count
        self._next = partition + 1
        await self._room.take(self._topic, partition, size)
        return partition

    async def _send(self, partition: int, value: bytes) -> None:
        size = record_size(None, value)
        offset: int | None = None
        try:
            offset = await self._producer.send(partition, value)
        finally:
            if offset is None:
                self._room.give_back(self._topic, partition, size)
            else:
                self._room.wrote(self._topic, partition, offset, size)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # read here, because nobody else may be left to


def _is_written(task: asyncio.Task[None]) -> bool:
    """Raises what the task raised, except that Kafka will never take the record."""
    try:
        task.result()
    except PermanentError:
        return False
    return True
