"""The yardstick of every run: what the protobuf library takes to parse the records, and nothing else."""

import time
from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.support.eventually import eventually

_PASSES = 3
_BYTES = 128 << 20  # of records in memory: a part of a large case stands for all of it


def parse_cpu_seconds(values: Sequence[bytes]) -> float:
    """CPU-seconds of one pass over the records: the least of some passes, since others only disturb."""
    return min(_one_pass(values) for _ in range(_PASSES))


def parse_of_topic(bootstrap: str, topic: str, partitions: int) -> float:
    """CPU-seconds a span of parsing the records of a topic as a consumer gets them, the first 128 MB at most."""
    values = _read(bootstrap, topic, partitions)
    spans = sum(
        len(scope.spans)
        for value in values
        for group in TracesData.FromString(value).resource_spans
        for scope in group.scope_spans
    )
    return parse_cpu_seconds(values) / spans


def _one_pass(values: Sequence[bytes]) -> float:
    started = time.process_time()
    for value in values:
        TracesData.FromString(value)
    return time.process_time() - started


def _read(bootstrap: str, topic: str, partitions: int) -> list[bytes]:
    """Records from the beginnings of the partitions until there is enough."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "yardstick",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "receive.message.max.bytes": 200 << 20,
        }
    )
    values: list[bytes] = []
    ended: set[int] = set()
    size = 0

    def read() -> bool:
        nonlocal size
        for message in reader.consume(200, 0.05):
            if message.error() is not None:
                ended.add(message.partition() or 0)
            elif value := message.value():
                values.append(value)
                size += len(value)
        return size >= _BYTES or len(ended) == partitions

    try:
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
        eventually(read, within=60.0, what=f"records of {topic}", every=0.0)
    finally:
        reader.close()
    return values
