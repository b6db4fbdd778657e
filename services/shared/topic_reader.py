"""Reads a topic once, from given offsets to given ends, in the order of time: for tools, not for services.

It belongs to no group and commits nothing, so whoever else reads the topic does not notice.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from services.shared.clock import SystemClock
from services.shared.errors import PermanentError, SettingsError, TransientError
from services.shared.records.source_record import SourceRecord

_TIMEOUT = 30.0
_POLL = 0.1
_MOST_AT_ONCE = 500
_MILLISECOND = 10**6


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of one partition: `begin` included, `end` not."""

    begin: int
    end: int

    @property
    def is_empty(self) -> bool:
        return self.begin >= self.end


@dataclass(slots=True)
class _Lane:
    """What was fetched of one partition and not yet handed out."""

    end: int
    records: deque[SourceRecord] = field(default_factory=deque)
    size: int = 0
    is_done: bool = False
    is_paused: bool = False


class TopicReader:
    """Committed records of one topic. Every method blocks, and raises `TransientError` when no broker answers.

    `room` is about how many bytes are held at a time, `patience` how many seconds a partition
    may give nothing. `name` is what the broker knows this client by.
    """

    def __init__(self, bootstrap: str, topic: str, *, name: str, room: int = 64 << 20, patience: float = 60.0) -> None:
        self._topic, self._room, self._patience = topic, room, patience
        self._clock = SystemClock()
        self._lanes: dict[int, _Lane] = {}
        self._at_once = 1  # records of one call
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": name,
                "group.id": name,  # librdkafka wants one; it is never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "check.crcs": False,  # TCP and the broker check already
                "queued.max.messages.kbytes": 16 << 10,
                "fetch.wait.max.ms": 100,
                "receive.message.max.bytes": 200 << 20,
                "log_level": 2,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self) -> list[int]:
        """Numbers of the topic's partitions. Raises `SettingsError` when there is no such topic."""
        try:
            found = self._consumer.list_topics(self._topic, timeout=_TIMEOUT).topics[self._topic]
        except KafkaException as error:
            raise TransientError(f"no Kafka broker answers: {error}") from error
        if found.error is not None or not found.partitions:
            raise SettingsError(f"there is no topic {self._topic}")
        return sorted(found.partitions)

    def all(self) -> dict[int, Range]:
        """What the log holds of each partition now: from its first record to the last committed one."""
        return {number: self._bounds(number) for number in self.partitions()}

    def since(self, time_ns: int) -> dict[int, Range]:
        """What the log holds of each partition from the first record with this timestamp or a later one."""
        bounds = self.all()
        milliseconds = -(-time_ns // _MILLISECOND)
        try:
            found = self._consumer.offsets_for_times(
                [TopicPartition(self._topic, number, milliseconds) for number in bounds], timeout=_TIMEOUT
            )
        except KafkaException as error:
            raise TransientError(f"{self._topic}: offsets at a time: {error}") from error
        begins = {place.partition: place.offset for place in found}
        return {
            number: Range(begins[number] if begins[number] >= 0 else bound.end, bound.end)
            for number, bound in bounds.items()
        }

    def read(self, ranges: Mapping[int, Range]) -> Iterator[SourceRecord]:
        """The records of these ranges, each partition in its order, between them the one with the least timestamp.

        Equal timestamps go by partition, so the order is a function of the log alone. A second call ends the first one.
        """
        wanted = {number: each for number, each in ranges.items() if not each.is_empty}
        self._lanes = {number: _Lane(each.end) for number, each in wanted.items()}
        places = [TopicPartition(self._topic, number, each.begin) for number, each in wanted.items()]
        self._consumer.assign(places)
        self._consumer.resume(places)  # what an earlier reading paused stays paused
        while self._fill():
            number = min(self._lanes, key=lambda number: (self._lanes[number].records[0].timestamp, number))
            lane = self._lanes[number]
            record = lane.records.popleft()
            lane.size -= _size(record)
            yield record

    def _fill(self) -> bool:
        """Fetch until every partition that has not ended has a record in hand. False: all have ended."""
        deadline = math.inf
        while lacking := [number for number, lane in self._lanes.items() if not lane.records]:
            for number in lacking:
                if self._lanes[number].is_done:
                    del self._lanes[number]
                elif self._lanes[number].is_paused:
                    self._pause(number, paused=False)
            if not any(number in self._lanes for number in lacking):
                break
            messages = self._consumer.consume(self._at_once, _POLL)
            now = self._clock.monotonic()
            if messages or deadline == math.inf:
                deadline = now + self._patience
            elif now > deadline:
                raise TransientError(f"reading {self._topic}: nothing from the broker for {self._patience:.0f} s")
            for message in messages:
                self._take(message)
            self._adapt(sum(len(message) for message in messages), len(messages))
        return bool(self._lanes)

    def _adapt(self, size: int, count: int) -> None:
        """One call takes what there is, up to a number of records: let that be no more bytes than a lane may hold."""
        if size:
            room = self._room // (4 * max(1, len(self._lanes)))
            self._at_once = max(1, min(_MOST_AT_ONCE, 2 * self._at_once, room * count // size))

    def _take(self, message: Message) -> None:
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its own codes start with "_"
            fault = TransientError if error.retriable() else PermanentError
            raise fault(f"reading {self._topic}/{number}: {error.str()}")
        assert number is not None
        assert offset is not None
        lane = self._lanes.get(number)
        if lane is None or lane.is_done:
            return
        # The end of a partition, and control records that are never delivered, count as offsets, too.
        if offset < lane.end and error is None:
            record = _source_record(message)
            lane.records.append(record)
            lane.size += _size(record)
        lane.is_done = offset >= lane.end - (error is None)
        if lane.is_done or lane.size > self._room // len(self._lanes):
            self._pause(number, paused=True)

    def _pause(self, number: int, *, paused: bool) -> None:
        lane, place = self._lanes[number], [TopicPartition(self._topic, number)]
        if lane.is_paused == paused:
            return
        lane.is_paused = paused
        if paused:
            self._consumer.pause(place)
        else:
            self._consumer.resume(place)

    def _bounds(self, number: int) -> Range:
        try:
            bounds = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=_TIMEOUT)
        except KafkaException as error:
            raise TransientError(f"{self._topic}/{number}: bounds: {error}") from error
        if bounds is None or OFFSET_INVALID in bounds:
            raise TransientError(f"the broker did not tell the bounds of {self._topic}/{number}")
        return Range(*bounds)


def _size(record: SourceRecord) -> int:
    return 200 + len(record.key or b"") + len(record.value or b"")


def _source_record(message: Message) -> SourceRecord:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers: Any = message.headers() or ()  # the stubs allow forms that librdkafka never returns
    _, milliseconds = message.timestamp()
    time = milliseconds * _MILLISECOND
    return SourceRecord(topic, partition, offset, time, message.key(), message.value(), tuple(headers))
