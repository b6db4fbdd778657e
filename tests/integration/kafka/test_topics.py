"""`ensure_topics` and `partition_counts` on Apache Kafka."""

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from services.embedded.broker import PARTITIONS, EmbeddedBroker
from services.shared.errors import SettingsError, TransientError
from services.shared.kafka_topics import TopicSpec, ensure_topics, partition_counts, topic_specs
from services.shared.settings import Settings
from tests.support.kafka.apache import ApacheKafka
from tests.support.ports import free_ports


def settings_named(prefix: str) -> Settings:
    return Settings(
        app_id=prefix,
        spans_topic=f"{prefix}-spans",
        trace_spans_topic=f"{prefix}-trace-spans",
        session_spans_topic=f"{prefix}-session-spans",
        rollups_topic=f"{prefix}-rollups",
        topic_partitions=3,
    )


def configuration(kafka: ApacheKafka, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in future.result().items()}


@pytest.mark.kafka
async def test_missing_topics_are_made_once_with_their_policies(kafka: ApacheKafka) -> None:
    specs = topic_specs(settings_named("made"))
    created = await ensure_topics(kafka.bootstrap, specs)
    assert sorted(created) == sorted(spec.name for spec in specs)
    assert await ensure_topics(kafka.bootstrap, specs) == []
    counts = await partition_counts(kafka.bootstrap, [spec.name for spec in specs])
    assert set(counts.values()) == {3}
    for spec in specs:
        found = configuration(kafka, spec.name)
        assert {name: found[name] for name in spec.config} == dict(spec.config)


@pytest.mark.kafka
async def test_only_the_missing_topic_is_made_and_others_keep_their_partitions(kafka: ApacheKafka) -> None:
    specs = topic_specs(settings_named("partly"))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("partly-spans", 7, 1)])["partly-spans"].result()
    created = await ensure_topics(kafka.bootstrap, specs)
    assert "partly-spans" not in created
    assert (await partition_counts(kafka.bootstrap, ["partly-spans"])) == {"partly-spans": 7}


@pytest.mark.kafka
async def test_a_changelog_that_is_not_compacted_is_refused_with_its_name(kafka: ApacheKafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    name = "deleted-window-changelog"
    admin.create_topics([NewTopic(name, 3, 1, config={"cleanup.policy": "delete"})])[name].result()
    with pytest.raises(SettingsError, match=f"{name} has cleanup.policy=delete, needed is compact"):
        await ensure_topics(kafka.bootstrap, topic_specs(settings_named("deleted")))


@pytest.mark.kafka
async def test_a_topic_the_broker_refuses_is_a_settings_error_with_the_brokers_words(kafka: ApacheKafka) -> None:
    with pytest.raises(SettingsError, match=r"refused-topic.*cleanup\.policy"):
        await ensure_topics(kafka.bootstrap, [TopicSpec("refused-topic", 1, -1, {"cleanup.policy": "nonsense"})])


@pytest.mark.kafka
async def test_the_partitions_of_a_topic_that_does_not_exist_are_a_settings_error(kafka: ApacheKafka) -> None:
    with pytest.raises(SettingsError, match="no topic absent-topic"):
        await partition_counts(kafka.bootstrap, ["absent-topic"])


async def test_asking_for_partitions_makes_the_topic_on_the_embedded_broker(embedded_kafka: EmbeddedBroker) -> None:
    counts = await partition_counts(embedded_kafka.bootstrap, ["a", "b"])
    assert counts == {"a": PARTITIONS, "b": PARTITIONS}


async def test_a_broker_that_does_not_answer_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.kafka_topics._TIMEOUT", 1.0)
    (port,) = free_ports(1)
    with pytest.raises(TransientError, match="no Kafka broker answers"):
        await partition_counts(f"127.0.0.1:{port}", ["a"])
