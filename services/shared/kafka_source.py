"""What a sink reads from: a member of a consumer group, through librdkafka.

librdkafka fetches for a third of the CPU of aiokafka. It beats the heart of the membership by itself, but takes part
in a rebalance only while it is asked for records: where nobody asks for seconds, because ClickHouse
takes nothing, it is asked all the same, with its partitions paused, so that others need not wait.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.shared.errors import SettingsError, TransientError
from services.shared.kafka_topics import partition_counts
from services.shared.records.source_record import Place, SourceRecord

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOVED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - librdkafka's own codes start with "_"
        KafkaError._STATE,  # noqa: SLF001 - likewise
    }
)
_ABSENT = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # nobody has made it yet
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - it left the group, and joins again by reading on
    }
)
_JOIN_PATIENCE = 30.0  # seconds
_TIMEOUT = 30.0
_UNASKED = 3.0  # seconds
_AHEAD = 32 << 20  # bytes that the client may fetch ahead of what is asked for, of all partitions
_MOST_OF_PARTITION, _LEAST_OF_PARTITION = 8 << 20, 256 << 10
_AT_ONCE = 8 << 20  # bytes of one poll, about; a larger record comes all the same
_log = logging.getLogger(__name__)


def bytes_ahead(partitions: int) -> int:
    """How much one fetch may bring of one of so many partitions. A larger record comes all the same, by itself."""
    return min(_MOST_OF_PARTITION, max(_LEAST_OF_PARTITION, _AHEAD // max(1, partitions)))


class KafkaSource:
    """Reads one topic as a member of a group. All errors are `TransientError`; nothing commits by itself.

    Committed records only; the embedded broker has no transactions, so there every record is one.
    """

    def __init__(
        self, bootstrap: str, group: str, topic: str, *, embedded: bool, session_timeout_ms: int = 15_000
    ) -> None:
        self._name = f"{group} on {topic}"
        self._bootstrap, self._group, self._topic = bootstrap, group, topic
        self._is_alone, self._session_timeout_ms = embedded, session_timeout_ms
        self._thread: ThreadPoolExecutor | None = None
        self._consumer: Consumer | None = None
        self._size = 1  # bytes of a record, of late
        self._is_asked = self._is_paused = False
        self._held: list[SourceRecord] = []  # what came although it was paused
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the group. After a failure it can be called again."""
        partitions = await self._partitions()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"read-{self._topic}")
        self._consumer = self._make(bytes_ahead(partitions), embedded=self._is_alone)
        self._consumer.subscribe([self._topic], on_assign=self._take)
        with suppress(TimeoutError):  # it goes on joining while it is asked for records
            async with asyncio.timeout(_JOIN_PATIENCE):
                while partitions and not self._consumer.memberid():  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.02)
        self._serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            self._is_asked = False
            await asyncio.sleep(_UNASKED)
            if not self._is_asked:
                await self._call(self._take_part)

    def _take(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Begin with these partitions. One that was paused when it went is paused when it comes again, by itself."""
        consumer.assign(places)
        (consumer.pause if self._is_paused else consumer.resume)(places)

    def _take_part(self) -> None:
        """Let a rebalance go on. What was fetched ahead is forgotten, and fetched again when somebody asks."""
        self._is_paused = True
        try:
            self._running.pause(self._running.assignment())
            message = self._running.poll(0)
        except KafkaException as error:
            _log.warning("%s: taking part in a rebalance: %s", self._name, error)
            return
        if message is not None and message.error() is None:  # of a partition that has just come
            self._held.append(self._record(message))

    def _make(self, ahead: int, *, embedded: bool) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_uncommitted" if embedded else "read_committed",
                "partition.assignment.strategy": "roundrobin",  # as all versions before: a group may be mixed
                "session.timeout.ms": self._session_timeout_ms,
                "heartbeat.interval.ms": self._session_timeout_ms // 5,
                "max.poll.interval.ms": 30 * 60_000,  # a sink that waits for ClickHouse keeps its partitions
                "check.crcs": False,  # TCP and the broker check already
                "queued.max.messages.kbytes": _AHEAD >> 10,
                "fetch.message.max.bytes": ahead,
                "fetch.max.bytes": _AHEAD,
                "fetch.wait.max.ms": 200,
                "fetch.queue.backoff.ms": 20,  # a full queue is empty again soon
                "receive.message.max.bytes": 200 << 20,
                "topic.metadata.refresh.interval.ms": 30_000,
                "log_level": 2,
            }
        )

    async def _partitions(self) -> int:
        """How many the topic has now; 0 where it is not there yet, which the consumer waits for."""
        try:
            return (await partition_counts(self._bootstrap, [self._topic]))[self._topic]
        except SettingsError:
            return 0

    async def poll(self, seconds: float, max_records: int) -> list[SourceRecord]:
        """What there is, up to some megabytes, or what comes first within `seconds`; offsets of a partition rise."""
        self._is_asked = True
        try:
            return await self._call(self._poll, seconds, max_records)
        finally:
            self._is_asked = True

    def _poll(self, seconds: float, max_records: int) -> list[SourceRecord]:
        if self._is_paused:
            self._is_paused = False
            self._running.resume(self._running.assignment())
        found, self._held = self._held, []
        fault: KafkaError | None = None
        room = _AT_ONCE
        wanted = 1
        while messages := self._running.consume(wanted, 0 if found else seconds):
            for message in messages:
                error = message.error()
                if error is None:
                    record = self._record(message)
                    room -= len(record.value or b"")
                    found.append(record)
                elif error.code() not in _ABSENT:
                    fault = error
            if room <= 0 or len(found) >= max_records or not found:
                break
            self._size = max(1, (_AT_ONCE - room) // len(found))
            wanted = max(1, min(max_records - len(found), room // self._size))
        if fault is not None:
            if not found:
                raise TransientError(f"{self._name}: reading: {fault}")
            _log.warning("%s: reading: %s", self._name, fault)  # librdkafka tries again; what came is to be stored
        return found

    async def commit(self, positions: Mapping[Place, int]) -> None:
        """Records below these positions need not be read again. Partitions that moved to others are left out."""
        await self._call(self._commit, positions)

    def _commit(self, positions: Mapping[Place, int]) -> None:
        consumer = self._running
        assigned = {(place.topic, place.partition) for place in consumer.assignment()}
        mine = [TopicPartition(*place, position) for place, position in positions.items() if place in assigned]
        if not mine:
            return
        try:
            committed = consumer.commit(offsets=mine, asynchronous=False) or ()
        except KafkaException as error:
            self._not_committed(error.args[0])
            return
        for place in committed:
            if place.error is not None:
                self._not_committed(place.error)

    def _not_committed(self, error: KafkaError) -> None:
        if error.code() not in _MOVED:
            raise TransientError(f"{self._name}: commit: {error}")
        _log.info("%s: not committed, the partitions moved: %s", self._name, error)

    async def behind(self) -> int:
        """How many records of its partitions the broker has that `poll` has not returned yet.

        In embedded mode all partitions are its own, so it waits until it has them.
        """
        try:
            async with asyncio.timeout(_JOIN_PATIENCE):
                while self._is_alone and not self._running.assignment():
                    await self._call(self._take_part)
                    await asyncio.sleep(0.05)
                return await self._call(self._behind)
        except (KafkaException, TimeoutError) as error:
            raise TransientError(f"{self._name}: end of the log: {error!r}") from error

    def _behind(self) -> int:
        consumer = self._running
        total = 0
        for place in consumer.assignment():
            bounds = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
            if bounds is None or OFFSET_INVALID in bounds:
                raise TransientError(f"{self._name}: the broker does not tell the end of {place.partition}")
            first, end = bounds
            position = consumer.position([place])[0].offset
            if position < 0:  # nothing of it has been read yet
                position = max(first, consumer.committed([place], timeout=_TIMEOUT)[0].offset)
            total += max(0, end - position)
        return total + len(self._held)

    async def stop(self) -> None:
        """Leave the group. Safe without `start`."""
        if self._serving is not None:
            self._serving.cancel()
        if self._consumer is not None:
            await self._call(self._consumer.close)
            self._consumer = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        assert self._thread is not None, "start() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    @property
    def _running(self) -> Consumer:
        assert self._consumer is not None, "start() comes first"
        return self._consumer

    def _record(self, message: Message) -> SourceRecord:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        headers: Any = message.headers() or ()  # the stubs allow forms that librdkafka never returns
        _, milliseconds = message.timestamp()
        key, value = message.key(), message.value()
        return SourceRecord(self._topic, partition, offset, milliseconds * 10**6, key, value, tuple(headers))
