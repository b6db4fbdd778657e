"""The worker without Kafka: records of OTLP in, every partition of every stage in one process, logs as lists.

When which partition reads on, and which worker dies, is drawn; what each stage did comes from its
log alone, so that nothing of it may matter.
"""

from collections import defaultdict
from random import Random

from services.sessionizer.pipeline import StageDefinition, resolve_definition, route_definition
from services.sessionizer.stage import Flush, InputRecord, Moment, Stage
from services.shared.kafka_topics import topic_specs
from services.shared.records import session_spans
from services.shared.records.session_spans import SpanGroup, SpansRecord
from services.shared.settings import Settings
from tests.support.otlp import HOUR, T0

Place = tuple[str, int]


class Lane:
    """One partition of one stage: what is durable of it, and the stage of its present owner."""

    def __init__(self, definition: StageDefinition, number: int) -> None:
        self._definition, self._number = definition, number
        self._changelog: list[tuple[bytes, bytes | None]] = []
        self._committed = 0
        self.take_over()

    def take_over(self) -> None:
        """A new owner goes on from what is committed."""
        self.stage: Stage = self._definition.build(self._number)
        self.stage.restore(self._changelog)
        restored = self.stage.restored()
        self.position = self._committed if restored is None else restored

    def read(self, log: list[bytes], records: int, now: int) -> None:
        for value in log[self.position : self.position + records]:
            record = InputRecord(self.position, now, None, value)
            while not self.stage.fold(record):
                pass
            self.position += 1

    def checkpoint(self, now: int, *, drain: bool = False) -> Flush:
        flush = self.stage.flush(Moment(now, caught_up=False, drain=drain))
        self._changelog += flush.changes
        self._committed = self.position
        return flush


class TraceFlow:
    """`route` and `resolve` over several partitions each."""

    def __init__(self, settings: Settings, random: Random) -> None:
        counts = {spec.name: settings.topic_partitions for spec in topic_specs(settings)}
        definitions = [route_definition(settings, counts), resolve_definition(settings, counts, 1)]
        self._lanes: dict[Place, Lane] = {
            (definition.topic, number): Lane(definition, number)
            for definition in definitions
            if definition is not None
            for number in range(counts[definition.topic])
        }
        self._settings, self._random = settings, random
        self.logs: defaultdict[Place, list[bytes]] = defaultdict(list)
        self._now = T0 + HOUR  # after all that the spans tell of

    def send(self, value: bytes) -> None:
        """To any partition of the spans topic."""
        self.logs[self._settings.spans_topic, self._random.randrange(self._settings.topic_partitions)].append(value)

    def step(self) -> None:
        """Some partition reads some records; it checkpoints, goes on, or its worker dies."""
        self._now += 10**8
        place = self._random.choice(list(self._lanes))
        lane = self._lanes[place]
        lane.read(self.logs[place], self._random.randint(1, 3), self._now)
        fate = self._random.random()
        if fate < 0.5:
            self._commit(lane)
        elif fate < 0.7:
            lane.take_over()

    def finish(self) -> None:
        """Everything is read and committed, in the direction of the flow."""
        for place, lane in self._lanes.items():
            self._now += 2 * 10**9
            lane.read(self.logs[place], len(self.logs[place]), self._now)
            self._commit(lane, drain=True)

    def _commit(self, lane: Lane, *, drain: bool = False) -> None:
        for output in lane.checkpoint(self._now, drain=drain).outputs:
            self.logs[output.topic, output.partition].append(output.value)

    def released(self) -> list[SpanGroup]:
        """What stands in `session_spans`, partition by partition; each group is in that of its key."""
        groups: list[SpanGroup] = []
        for (topic, partition), log in sorted(self.logs.items()):
            if topic != self._settings.session_spans_topic:
                continue
            for value in log:
                record = session_spans.decode(value)
                if isinstance(record, SpansRecord):
                    assert {g.key.partition(self._settings.topic_partitions) for g in record.groups} == {partition}
                    groups += record.groups
        return groups
