"""Brokers as fixtures; tests that use one of Apache Kafka are marked `kafka`."""

from collections.abc import Iterator

import pytest

from services.embedded.broker import EmbeddedBroker
from tests.support.kafka.apache import ApacheKafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka for the whole session. Tests share it: each uses topics, groups and ids of its own."""
    broker = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """An Apache Kafka for one test, which may stop it."""
    broker = ApacheKafka(tmp_path_factory.mktemp("own-kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def embedded_kafka() -> Iterator[EmbeddedBroker]:
    """librdkafka's broker."""
    with EmbeddedBroker() as broker:
        yield broker
