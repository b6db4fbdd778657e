"""Where cases run: a broker, a folder, installations whose topics are made and removed."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient

from services.shared.kafka_topics import changelog_topic, ensure_topics, topic_specs
from services.shared.settings import Settings
from tests.support.installation import Installation
from tests.support.kafka.apache import ApacheKafka

PARTITIONS = 4

_PROPERTIES = {
    # What a case has written goes when the case is over.
    "log.segment.delete.delay.ms": "1000",
}
_PRODUCER = {
    "message.max.bytes": 64 << 20,
    "queue.buffering.max.kbytes": 64 << 10,
    "linger.ms": 5,
    "acks": "all",
    "log_level": 2,
}
_PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Site:
    """A broker for all cases, and a folder for what their processes say."""

    broker: ApacheKafka
    broker_folder: Path
    folder: Path

    @contextmanager
    def installation(self, name: str, **settings: str) -> Iterator["BenchInstallation"]:
        """An installation whose topics exist. Afterwards its processes have ended and its topics are being deleted."""
        folder = self.folder / name
        folder.mkdir()
        chosen = {"topic_partitions": str(PARTITIONS), **settings}
        with BenchInstallation(folder, name, self.broker.bootstrap, **chosen) as made:
            made.broker_folder = self.broker_folder
            made.make_topics(int(chosen["topic_partitions"]))
            yield made
        made.remove_topics()


class BenchInstallation(Installation):
    """An installation that knows its topics."""

    broker_folder: Path
    settings: Settings

    def make_topics(self, partitions: int) -> None:
        """As the worker makes them."""
        self.settings = Settings(
            app_id=self.name,
            spans_topic=self.spans_topic,
            trace_spans_topic=f"{self.name}-trace-spans",
            session_spans_topic=f"{self.name}-session-spans",
            rollups_topic=self.rollups_topic,
            topic_partitions=partitions,
        )
        asyncio.run(ensure_topics(self.bootstrap, topic_specs(self.settings)))

    def remove_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        names = [spec.name for spec in topic_specs(self.settings)]
        for future in admin.delete_topics(names, operation_timeout=30.0).values():
            future.result()

    @property
    def partitions(self) -> int:
        return self.settings.topic_partitions

    def fill(self, records: Iterable[bytes]) -> None:
        """Write records to the partitions of the spans topic in turn, as fast as the broker takes them."""
        self.write(self.spans_topic, ((None, value) for value in records))

    def write(self, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> None:
        """Write keys and values to the partitions of a topic in turn, acknowledged."""
        faults: list[KafkaError] = []

        def hear(error: KafkaError | None, message: Message) -> None:
            del message
            if error is not None:
                faults.append(error)

        producer = Producer({"bootstrap.servers": self.bootstrap, **_PRODUCER})
        partitions = itertools.cycle(range(self.settings.topic_partitions))
        for (key, value), partition in zip(records, partitions, strict=False):
            while not _is_taken(producer, topic, value, key=key, partition=partition, on_delivery=hear):
                producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(_PATIENCE)
        assert not left, f"{left} records were not acknowledged"
        assert not faults, f"not written: {faults[0]}"

    def topic_bytes(self) -> dict[str, int]:
        """Of the segments of each topic that is measured, as the broker has them on disk, by the topic's role."""
        topics = {
            "otlp_spans": self.settings.spans_topic,
            "trace_spans": self.settings.trace_spans_topic,
            "session_spans": self.settings.session_spans_topic,
            "session_rollups": self.settings.rollups_topic,
            "resolve-changelog": changelog_topic(self.settings.app_id, "resolve"),
            "window-changelog": changelog_topic(self.settings.app_id, "window"),
        }
        return {role: self._log_bytes(topic) for role, topic in topics.items()}

    def _log_bytes(self, topic: str) -> int:
        return sum(path.stat().st_size for path in (self.broker_folder / "logs").glob(f"{topic}-[0-9]/*.log"))


def _is_taken(producer: Producer, topic: str, value: bytes, **more: Any) -> bool:
    try:
        producer.produce(topic, value, **more)
    except BufferError:  # what waits for the broker is bounded
        return False
    return True


@contextmanager
def site(folder: Path, *, join_seconds: float = 0.0) -> Iterator[Site]:
    """A new broker in this folder, which ends with the block. A new group waits so long for more members."""
    broker_folder = folder / "kafka"
    delay = {"group.initial.rebalance.delay.ms": f"{1000 * join_seconds:.0f}"}
    broker = ApacheKafka(broker_folder, _PROPERTIES | delay)
    try:
        broker.start()
        yield Site(broker, broker_folder, folder)
    finally:
        broker.kill()
