"""A Kafka record as sinks see it."""

from typing import NamedTuple

Place = tuple[str, int]
"""Topic and partition."""


class SourceRecord(NamedTuple):
    """One record of a topic. `timestamp` in ns (Kafka's milliseconds times 10**6)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
