"""The bytes of owned partitions, through librdkafka.

Faust and aiokafka hold the membership and never fetch; librdkafka fetches what is owned, from
where each state stands, at a third of the cost (decisions/0001-membership-and-bytes.md).
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import orjson
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.sessionizer.stage import InputRecord
from services.shared.clock import Clock
from services.shared.errors import PermanentError, TransientError

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PATIENCE = 0.1  # seconds to wait for a record; also how long a revoke may have to wait for the lock
_LINGER = 0.02  # seconds to wait for more: each fetch costs two changes of threads
_TIMEOUT = 30.0  # seconds
_SILENCE = 3.0  # seconds without an answer; statistics come once a second

# One fetch gives about so much, so that memory is used again while it is still in the processor's cache. What
# librdkafka has queued bounds it, however large a record is.
_BYTES = 8 << 20
_FEWEST, _MOST = 4, 2_000


class Fetcher:
    """Fetches the partitions of one topic that are assigned to it. One task uses it at a time.

    It belongs to no group that balances: `group` is only a name. The caller makes sure that
    `assign` and `fetch` never overlap; a fetch on its way would swallow records of the new
    assignment.
    """

    def __init__(self, bootstrap: str, group: str, topic: str, *, committed_only: bool, clock: Clock) -> None:
        self._topic, self._clock = topic, clock
        self._count = _FEWEST  # records of the next fetch
        self._caught_up: dict[int, bool] = {}
        self._answered: dict[int, float] = {}  # when the partition's leader last said anything
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"fetch-{topic}")
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{group}-fetch",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # Positions are ours and exist. One that does not is a fault to hear of, not to skip over.
                "auto.offset.reset": "error",
                "isolation.level": "read_committed" if committed_only else "read_uncommitted",
                "enable.partition.eof": True,
                "check.crcs": False,  # TCP and the broker check already; this is a third of the fetch's CPU
                "queued.max.messages.kbytes": 32 << 10,
                "fetch.min.bytes": 64 << 10,
                "fetch.wait.max.ms": 50,  # how long a broker collects so much, and how long it waits for anything
                "statistics.interval.ms": 1000,
                "stats_cb": self._note_statistics,
                "receive.message.max.bytes": 200 << 20,
                "log_level": 2,  # aiokafka says in one line what librdkafka says in ten
            }
        )

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Fetch these partitions from these offsets, and no others. Blocks the loop for no I/O."""
        self._caught_up, self._answered = dict.fromkeys(positions, False), {}
        await self._call(self._consumer.assign, [TopicPartition(self._topic, n, at) for n, at in positions.items()])

    def caught_up(self, partition: int) -> bool:
        """Whether the log had nothing more to read at the last fetch.

        Nobody knows that of a partition whose leader has not answered for seconds: others may still reach it.
        """
        silence = self._clock.monotonic() - self._answered.get(partition, float("-inf"))
        return self._caught_up.get(partition, False) and silence < _SILENCE

    async def fetch(self) -> dict[int, list[InputRecord]]:
        """Records that are there by now, by partition in offset order; empty after 0.1 s without any.

        Raises `TransientError` or `PermanentError` when librdkafka gives up on a partition.
        """
        batches: dict[int, list[InputRecord]] = {}
        size = count = 0
        for message in await self._call(self._consume, self._count):
            number = message.partition()
            assert number is not None
            if message.error() is not None:
                self._note(message)
                continue
            self._caught_up[number] = False
            record = _input_record(message)
            count += 1
            size += len(record.value or b"")
            batches.setdefault(number, []).append(record)
        if count:
            self._count = max(_FEWEST, min(_MOST, _BYTES * count // max(size, 1)))
        return batches

    def _consume(self, count: int) -> list[Message]:
        """At once when the first record has waited for so many others, or a moment after it came."""
        messages = self._consumer.consume(1, _PATIENCE)
        return messages + self._consumer.consume(count, _LINGER) if messages else messages

    async def bounds(self, partition: int) -> tuple[int, int]:
        """First and next offset of the partition's log, asked from the broker.

        Raises `TransientError` when it does not tell within 30 s.
        """
        where = TopicPartition(self._topic, partition)
        try:
            # The topic may have been extended since librdkafka last looked.
            await self._call(self._consumer.list_topics, self._topic, _TIMEOUT)
            bounds: tuple[int, int] | None = await self._call(self._consumer.get_watermark_offsets, where, _TIMEOUT)
        except KafkaException as error:
            raise TransientError(f"asking the bounds of {self._topic}/{partition}: {error}") from error
        if bounds is None or OFFSET_INVALID in bounds:
            raise TransientError(f"the broker did not tell the bounds of {self._topic}/{partition}")
        return bounds

    async def close(self) -> None:
        await self._call(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    def _note_statistics(self, text: str) -> None:
        """Once a second, inside `consume`: how long ago each leader's last answer was. Fetches are 0.1 s apart."""
        statistics = orjson.loads(text)
        now = self._clock.monotonic()
        answered: dict[int, float] = {}
        for broker in statistics["brokers"].values():
            # A group's coordinator is in this list, too, as another connection to the same node.
            if broker["state"] == "UP" and broker["rxidle"] >= 0:
                node = broker["nodeid"]
                answered[node] = max(answered.get(node, 0.0), now - broker["rxidle"] / 1e6)
        partitions = statistics["topics"].get(self._topic, {}).get("partitions", {})
        for number in self._caught_up:
            leader = partitions.get(str(number), {}).get("leader")
            if leader in answered:
                self._answered[number] = answered[leader]

    def _note(self, message: Message) -> None:
        error, number = message.error(), message.partition()
        assert error is not None
        assert number is not None
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes start with "_"
            self._caught_up[number] = True
            self._answered[number] = self._clock.monotonic()
        elif error.retriable():
            raise TransientError(f"fetching {self._topic}/{number}: {error.str()}")
        else:
            raise PermanentError(f"fetching {self._topic}/{number}: {error.str()}")


def _input_record(message: Message) -> InputRecord:
    offset, (_, milliseconds) = message.offset(), message.timestamp()
    assert offset is not None
    headers: Any = message.headers() or ()  # the stubs allow forms that librdkafka never returns
    return InputRecord(offset, milliseconds * 1_000_000, message.key(), message.value(), tuple(headers))
