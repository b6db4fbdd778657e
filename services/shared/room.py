"""How far writers may run ahead of readers, a partition at a time.

Apache Kafka keeps what it acknowledged, so there `Unlimited` is used. The embedded broker
keeps 5 MB or 100,000 records a partition and then drops the oldest without a word, so in one
process every writer takes room before it produces and every reader gives it back when it has
passed a record for good: nothing is ever more than `limit_bytes` ahead of its slowest reader.
"""

import asyncio
from collections import defaultdict, deque
from typing import Protocol


class Room(Protocol):
    """Shared by all writers and readers of one embedded process."""

    def try_take(self, topic: str, partition: int, size: int) -> bool:
        """Take room for one record of `size` bytes if there is any. `wrote` or `give_back` follows every take."""

    async def take(self, topic: str, partition: int, size: int) -> None:
        """Wait for room, then take it."""

    def wrote(self, topic: str, partition: int, offset: int, size: int) -> None:
        """The record that room was taken for is at `offset`."""

    def give_back(self, topic: str, partition: int, size: int) -> None:
        """The record that room was taken for was not written."""

    def passed(self, reader: str, topic: str, partition: int, position: int) -> None:
        """`reader` will never need a record below `position` again."""

    def blocked(self, reader: str, why: str) -> None:
        """`reader` stands still because of `why`; "": it goes on."""

    @property
    def blockage(self) -> str:
        """Why readers stand still, so that nothing more should be taken in; "" while all go on."""


class Unlimited:
    """Room on a broker that keeps what it acknowledged."""

    def try_take(self, topic: str, partition: int, size: int) -> bool:
        del topic, partition, size
        return True

    async def take(self, topic: str, partition: int, size: int) -> None:
        del topic, partition, size

    def wrote(self, topic: str, partition: int, offset: int, size: int) -> None:
        pass

    def give_back(self, topic: str, partition: int, size: int) -> None:
        pass

    def passed(self, reader: str, topic: str, partition: int, position: int) -> None:
        pass

    def blocked(self, reader: str, why: str) -> None:
        pass

    @property
    def blockage(self) -> str:
        return ""


class _Partition:
    """Records ahead of the slowest reader: taken but unwritten bytes, then (offset, size) in order."""

    def __init__(self, readers: frozenset[str]) -> None:
        self.positions = dict.fromkeys(readers, 0)
        self.ahead: deque[tuple[int, int]] = deque()
        self.size = 0
        self.records = 0

    def drop_passed(self) -> None:
        slowest = min(self.positions.values())
        while self.ahead and self.ahead[0][0] < slowest:
            self.size -= self.ahead.popleft()[1]
            self.records -= 1


class BoundedRoom:
    """Room on the embedded broker. `readers` names, for each topic that is bounded, who reads it.

    A record larger than the limit is let through when nothing else is ahead. Topics without
    readers are not bounded. Used from one event loop.
    """

    def __init__(
        self, readers: dict[str, frozenset[str]], limit_bytes: int = 2 << 20, limit_records: int = 20_000
    ) -> None:
        self._readers = readers
        self._limit_bytes, self._limit_records = limit_bytes, limit_records
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._freed: dict[tuple[str, int], asyncio.Event] = defaultdict(asyncio.Event)
        self._blocked: dict[str, str] = {}

    def try_take(self, topic: str, partition: int, size: int) -> bool:
        state = self._partition(topic, partition)
        if state is None:
            return True
        if state.records and (state.size + size > self._limit_bytes or state.records >= self._limit_records):
            return False
        state.size += size
        state.records += 1
        return True

    async def take(self, topic: str, partition: int, size: int) -> None:
        while not self.try_take(topic, partition, size):
            freed = self._freed[topic, partition]
            freed.clear()
            await freed.wait()

    def wrote(self, topic: str, partition: int, offset: int, size: int) -> None:
        if (state := self._partition(topic, partition)) is not None:
            state.ahead.append((offset, size))
            self._drop_passed(topic, partition, state)

    def give_back(self, topic: str, partition: int, size: int) -> None:
        if (state := self._partition(topic, partition)) is not None:
            state.size -= size
            state.records -= 1
            self._freed[topic, partition].set()

    def passed(self, reader: str, topic: str, partition: int, position: int) -> None:
        if (state := self._partition(topic, partition)) is not None and reader in state.positions:
            state.positions[reader] = max(position, state.positions[reader])
            self._drop_passed(topic, partition, state)

    def blocked(self, reader: str, why: str) -> None:
        self._blocked.pop(reader, None)
        if why:
            self._blocked[reader] = why

    @property
    def blockage(self) -> str:
        return "; ".join(self._blocked.values())

    def ahead(self) -> dict[str, int]:
        """How many records of each topic were not passed by all its readers; topics without any are left out."""
        counts: defaultdict[str, int] = defaultdict(int)
        for (topic, _), state in self._partitions.items():
            counts[topic] += state.records
        return {topic: count for topic, count in counts.items() if count}

    async def emptied(self, topic: str) -> None:
        """Wait until every record of the topic was passed by all its readers."""
        while busy := [n for (name, n), state in self._partitions.items() if name == topic and state.records]:
            freed = self._freed[topic, busy[0]]
            freed.clear()
            await freed.wait()

    def _partition(self, topic: str, partition: int) -> _Partition | None:
        if topic not in self._readers:
            return None
        return self._partitions.setdefault((topic, partition), _Partition(self._readers[topic]))

    def _drop_passed(self, topic: str, partition: int, state: _Partition) -> None:
        before = state.records
        state.drop_passed()
        if state.records != before:
            self._freed[topic, partition].set()
