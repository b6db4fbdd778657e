"""Where a sink puts what nobody will ever take."""

from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.shared.errors import TransientError
from services.shared.kafka import LARGEST_RECORD
from services.shared.kafka_log import thin_logs
from services.shared.records.source_record import SourceRecord


class DeadLetterTopic:
    """Puts records, bytes untouched, into one dead letter topic. Connects when the first one comes."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._producer: AIOKafkaProducer | None = None

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        """Returns when the broker has it; raises `TransientError` otherwise."""
        try:
            producer = await self._connected()
            await producer.send_and_wait(
                self._topic,
                record.value,
                key=record.key,
                headers=[*record.headers, *((name, text.encode()) for name, text in headers.items())],
            )
        except KafkaError as error:
            raise TransientError(f"writing to {self._topic}: {error!r}") from error

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            thin_logs()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, acks="all", max_request_size=LARGEST_RECORD + (1 << 20)
            )
            await producer.start()
            self._producer = producer
        return self._producer
