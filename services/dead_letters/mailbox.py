"""Finds the dead letter topics of an installation and reads letters and ledger."""

from collections.abc import Iterator

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from services.dead_letters.ledger import Ledger
from services.dead_letters.selection import Selection
from services.shared.errors import SettingsError, TransientError
from services.shared.kafka_topics import TopicSpec, topic_specs, unstored_topic
from services.shared.records.dead_letters import SUFFIX, Letter, read_letter
from services.shared.settings import Settings
from services.shared.topic_reader import Range, TopicReader

_TIMEOUT = 30.0


def ledger_spec(settings: Settings) -> TopicSpec:
    """The topic that remembers which letters were sent again. It is small and kept for ever."""
    config = {"cleanup.policy": "delete", "retention.ms": "-1"}
    return TopicSpec(f"{settings.app_id}-replayed", 1, settings.topic_replication, config, frozenset(config))


class Mailbox:
    """The dead letters of one installation. Every method blocks; `TransientError` when no broker answers."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        self._bootstrap, self._client = bootstrap, f"{settings.app_id}-dead-letter"
        self._ours = {spec.name for spec in topic_specs(settings)}
        self._ledger_topic = ledger_spec(settings).name
        self._unstored = unstored_topic(settings.spans_topic)
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        try:
            found = self._admin.list_topics(timeout=_TIMEOUT).topics
        except KafkaException as error:
            raise TransientError(f"no Kafka broker answers at {bootstrap}: {error.args[0].str()}") from error
        self._partitions = {name: len(topic.partitions) for name, topic in found.items()}

    def topics(self, selection: Selection) -> list[str]:
        """The dead letter topics that are there, of those that are meant. Raises `SettingsError` for a strange one."""
        ours = {name for name in self._ours if name.endswith(SUFFIX)}
        if strangers := sorted(set(selection.topics) - ours):
            known = ", ".join(sorted(ours))
            raise SettingsError(
                f"{', '.join(strangers)}: not a dead letter topic of this installation, which has {known}"
            )
        return sorted(name for name in selection.topics or ours if self._partitions.get(name))

    def letters(self, topic: str, selection: Selection) -> Iterator[Letter]:
        """The letters of a topic that are meant, in the order of time, up to those that are there now."""
        with TopicReader(self._bootstrap, topic, name=self._client) as reader:
            ranges = reader.all() if selection.since is None else reader.since(selection.since)
            for record in reader.read(ranges):
                letter = read_letter(record)
                if selection.takes(letter):
                    yield letter

    def topic_id(self, topic: str) -> str:
        """What the broker calls this topic and none before it of the same name."""
        try:
            (future,) = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT).values()
            return str(future.result().topic_id)
        except KafkaException as error:
            raise TransientError(f"asking the id of {topic}: {error.args[0].str()}") from error

    def ledger(self) -> Ledger:
        """What was sent again so far. Empty where nothing ever was."""
        if not self._partitions.get(self._ledger_topic):
            return Ledger()
        with TopicReader(self._bootstrap, self._ledger_topic, name=self._client) as reader:
            whole: dict[int, Range] = reader.all()
            return Ledger(record.value for record in reader.read(whole) if record.value is not None)

    def home(self, letter: Letter) -> tuple[str, int] | str:
        """Topic and partition that the letter goes back to, or why it goes nowhere."""
        if letter.source is None:
            return "says no source"
        topic, number = letter.source
        if letter.record.topic == self._unstored:
            return "has spans that were counted already: sent again, they could count twice"
        if topic not in self._ours or topic.endswith(SUFFIX):
            return f"comes from {topic}, which is no topic of this installation"
        if not (count := self._partitions.get(topic, 0)):
            return f"comes from {topic}, which is not there"
        return topic, number % count
