"""The Kafka broker of embedded mode: librdkafka's mock cluster, inside this process."""

from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from services.shared.errors import PermanentError

PARTITIONS = 4
"""Partitions of every topic; topics appear on first use."""

_START_TIMEOUT = 10.0


class EmbeddedBroker:
    """A broker on loopback with the real protocol, as long as this object is started.

    It is for trying out, and its limits shape everything around it:

    - It is memory: what it holds is gone with the process.
    - It keeps 5 MB or 100,000 records a partition and then drops the oldest without a word. So
      every writer takes room first (services/shared/room.py), and nothing is more than 2 MB
      ahead of its reader. Records should be at most 512 KB.
    - It knows no CreateTopics, no topic configuration and no compaction. Record timestamps are
      the producer's, which is the same clock here.
    - It fences nobody, and its transactional batches fail the CRC check: producers are plain.
    - A group has one member at a time, and group offsets live as long as the broker.
    """

    def __init__(self) -> None:
        self._cluster: Producer | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """`host:port`, once started."""
        assert self._bootstrap, "start() comes first"
        return self._bootstrap

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1. Raises `PermanentError` when that fails."""
        self._cluster = Producer({"test.mock.num.brokers": 1, "log_level": 2})
        brokers = list(self._cluster.list_topics(timeout=_START_TIMEOUT).brokers.values())
        if not brokers:
            raise PermanentError("librdkafka's embedded broker did not start")
        self._bootstrap = f"{brokers[0].host}:{brokers[0].port}"

    def stop(self) -> None:
        """Close the port and forget every record. Safe without `start`."""
        self._cluster = None  # librdkafka ends the cluster with its handle
        self._bootstrap = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
