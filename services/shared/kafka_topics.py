"""The topics Spanloom makes and the policies it needs on them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from services.shared.errors import SettingsError, TransientError
from services.shared.kafka import LARGEST_DEAD_LETTER, LARGEST_RECORD
from services.shared.settings import Settings

_TIMEOUT = 30.0
_MILLISECOND = 10**6
_DAY_MS = 24 * 3600 * 1000


def dead_letter_topic(topic: str) -> str:
    """Where what can never be read of `topic` goes."""
    return f"{topic}.dead-letter"


def unstored_topic(spans_topic: str) -> str:
    """Where records go of which ClickHouse refused a span.

    Not to the dead letters of the topic: nobody has counted the spans of those, so they may be
    sent again. The spans of these have been counted, and are only missing in `spans`.
    """
    return dead_letter_topic(f"{spans_topic}.span-sink")


def changelog_topic(app_id: str, stage: str) -> str:
    """Where the states of a stage are kept."""
    return f"{app_id}-{stage}-changelog"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to make where it is missing. `replication` -1: the broker's default.

    `required` is the part of `config` without which an existing topic must not be used.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic of one installation. All have the same number of partitions, so that outputs can keep their number.

    A record of the spans topic may be large (a Collector's batch of long prompts), and its dead
    letter is a little larger. Timestamps are the broker's where they are part of the semantics.
    """
    count, replication = settings.topic_partitions, settings.topic_replication
    timed = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
    large = {"max.message.bytes": str(LARGEST_RECORD)}
    letters = {
        "cleanup.policy": "delete",
        "max.message.bytes": str(LARGEST_DEAD_LETTER),
        # What nobody can decode is kept whole, also what the redaction policy would leave out of it.
        "retention.ms": str(settings.dead_letter_retention // _MILLISECOND),
    }
    compacted = {
        "cleanup.policy": "compact",
        # Only closed segments are compacted, and recovery reads everything that is not.
        "segment.ms": str(10 * 60 * 1000),
        "segment.bytes": str(64 << 20),
        "min.cleanable.dirty.ratio": "0.2",
        # A reader that is slower than this would miss a tombstone.
        "delete.retention.ms": str(_DAY_MS),
    }
    spans_dead, rollups_dead = dead_letter_topic(settings.spans_topic), dead_letter_topic(settings.rollups_topic)
    traces = [] if settings.resolve == "off" else [settings.trace_spans_topic]
    stages = ["window"] if settings.resolve == "off" else ["resolve", "window"]
    return [
        TopicSpec(settings.spans_topic, count, replication, {**timed, **large, **_days(7)}),
        *(
            TopicSpec(name, count, replication, {**timed, **_days(7)})
            for name in (*traces, settings.session_spans_topic)
        ),
        TopicSpec(settings.rollups_topic, count, replication, {**timed, **_days(30)}),
        *(
            TopicSpec(
                changelog_topic(settings.app_id, stage), count, replication, compacted, frozenset({"cleanup.policy"})
            )
            for stage in stages
        ),
        TopicSpec(spans_dead, count, replication, letters),
        TopicSpec(rollups_dead, count, replication, letters),
        TopicSpec(unstored_topic(settings.spans_topic), count, replication, letters),
    ]


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * _DAY_MS)}


async def ensure_topics(bootstrap: str, specs: Sequence[TopicSpec]) -> list[str]:
    """Make the topics that are missing and return their names; look at those that are there.

    Safe to call from several processes at once. Raises `SettingsError` for a topic whose required
    configuration differs and for one that the broker refuses to make, `TransientError` when no
    broker answers. The embedded broker makes topics on first use and must not be asked.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    known = await _known_topics(admin, bootstrap)
    missing = [spec for spec in specs if spec.name not in known]
    created = await _create(admin, missing) if missing else []
    await _wait_until_known(admin, bootstrap, {spec.name for spec in specs})
    await _check(admin, [spec for spec in specs if spec.required and spec.name not in created])
    return created


async def partition_counts(bootstrap: str, topics: Iterable[str]) -> dict[str, int]:
    """How many partitions each topic has. On the embedded broker asking makes the topic.

    Raises `SettingsError` for a topic that does not exist, `TransientError` when no broker answers.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2, "allow.auto.create.topics": True})
    counts = {}
    for topic in topics:
        counts[topic] = (await _known_topics(admin, bootstrap, topic)).get(topic, 0)
        if not counts[topic]:
            raise SettingsError(f"there is no topic {topic} on {bootstrap}: start the worker first or make it")
    return counts


async def _known_topics(admin: AdminClient, bootstrap: str, topic: str | None = None) -> dict[str, int]:
    try:
        metadata = await asyncio.to_thread(admin.list_topics, *([topic] if topic else []), timeout=_TIMEOUT)
    except KafkaException as error:
        raise TransientError(f"no Kafka broker answers at {bootstrap}: {error}") from error
    return {name: len(found.partitions) for name, found in metadata.topics.items() if found.error is None}


async def _create(admin: AdminClient, specs: Sequence[TopicSpec]) -> list[str]:
    futures = admin.create_topics(
        [NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config)) for spec in specs],
        operation_timeout=_TIMEOUT,
    )
    created = []
    for name, future in futures.items():
        try:
            await asyncio.wrap_future(future)
        except KafkaException as error:
            fault = error.args[0]
            if fault.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # another process was quicker
            if fault.retriable():
                raise TransientError(f"making topic {name}: {fault.str()}") from error
            raise SettingsError(f"the broker does not make topic {name}: {fault.str()}") from error
        created.append(name)
    return created


async def _check(admin: AdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, spec.name) for spec in specs])
    try:
        found = {resource.name: await asyncio.wrap_future(future) for resource, future in futures.items()}
    except KafkaException as error:  # of topics that another process makes at this moment, too
        raise TransientError(f"asking for the configuration of topics: {error.args[0].str()}") from error
    faults = [
        f"  topic {spec.name} has {name}={found[spec.name][name].value}, needed is {spec.config[name]}:"
        f" change it, or name another topic"
        for spec in specs
        for name in sorted(spec.required)
        if found[spec.name][name].value != spec.config[name]
    ]
    if faults:
        raise SettingsError("topics that cannot be used:\n" + "\n".join(faults))


async def _wait_until_known(admin: AdminClient, bootstrap: str, names: set[str]) -> None:
    """A broker answers "created" before every broker knows the topic."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            while not names <= (await _known_topics(admin, bootstrap)).keys():  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise TransientError(f"topics just made are not known to every broker after {_TIMEOUT:.0f} s") from error
