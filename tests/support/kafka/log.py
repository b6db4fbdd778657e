"""What stands in a topic, as one kind of reader sees it."""

from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.support.eventually import eventually

_NO_COORDINATOR_YET = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


@dataclass(frozen=True, slots=True)
class LogRecord:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = field(default=0, compare=False)  # ns


class LogFollower:
    """Reads a topic on from where it was read before, up to the present end of each partition."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, *, committed_only: bool = True) -> None:
        self._topic = topic
        self._positions = dict.fromkeys(range(partitions), OFFSET_BEGINNING)
        self._reader = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "reader-of-tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "isolation.level": "read_committed" if committed_only else "read_uncommitted",
                "receive.message.max.bytes": 200 << 20,
            }
        )

    def read(self, within: float = 30.0) -> list[LogRecord]:
        """Every record since the last call, by partition in offset order."""
        records: list[LogRecord] = []
        ended: dict[int, int] = {}

        def look() -> bool:
            for message in self._reader.consume(10_000, 0.05):
                error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended[number] = offset
                else:
                    raise AssertionError(f"reading {self._topic}: {error.str()}")
            return len(ended) == len(self._positions)

        self._reader.assign([TopicPartition(self._topic, number, at) for number, at in self._positions.items()])
        eventually(look, within=within, what=f"the end of {self._topic}", every=0.0)
        self._positions |= ended
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def close(self) -> None:
        self._reader.close()


def read_all(
    bootstrap: str, topic: str, partitions: int, *, committed_only: bool = True, within: float = 30.0
) -> list[LogRecord]:
    """Every record up to the present end of each partition, by partition in offset order."""
    follower = LogFollower(bootstrap, topic, partitions, committed_only=committed_only)
    try:
        return follower.read(within)
    finally:
        follower.close()


def committed_offset(bootstrap: str, group: str, topic: str, partition: int) -> int | None:
    """The group's committed offset, or None. A broker that was just started is given time to know the group."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})

    def look() -> TopicPartition | None:
        try:
            return reader.committed([TopicPartition(topic, partition)], timeout=10.0)[0]
        except KafkaException as error:
            if error.args[0].code() in _NO_COORDINATOR_YET:
                return None
            raise

    try:
        answer = eventually(look, within=30.0, what=f"a coordinator of {group}")
        assert answer is not None
    finally:
        reader.close()
    return None if answer.offset < 0 else answer.offset


def _record(message: Message) -> LogRecord:
    headers: Any = message.headers() or []  # the stubs allow forms that librdkafka never returns
    _, milliseconds = message.timestamp()
    return LogRecord(
        *(message.partition() or 0, message.offset() or 0, message.key(), message.value(), tuple(headers)),
        timestamp=milliseconds * 10**6,
    )
