"""What stands in a topic, as one kind of reader sees it."""

from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tests.support.eventually import eventually


@dataclass(frozen=True, slots=True)
class LogRecord:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = field(default=0, compare=False)  # ns


def read_all(
    bootstrap: str, topic: str, partitions: int, *, committed_only: bool = True, within: float = 30.0
) -> list[LogRecord]:
    """Every record up to the present end of each partition, by partition in offset order."""
    reader = Consumer(
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
    records: list[LogRecord] = []
    ended: set[int] = set()

    def look() -> bool:
        for message in reader.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition() or 0)
            else:
                raise AssertionError(f"reading {topic}: {error.str()}")
        return len(ended) == partitions

    try:
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
        eventually(look, within=within, what=f"the end of {topic}", every=0.0)
    finally:
        reader.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def committed_offset(bootstrap: str, group: str, topic: str, partition: int) -> int | None:
    """The group's committed offset, or None."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        (answer,) = reader.committed([TopicPartition(topic, partition)], timeout=10.0)
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
