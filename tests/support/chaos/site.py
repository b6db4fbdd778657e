"""An installation that is made to suffer: at least three workers, a sink, and the neighbours they depend on."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from services.shared.clickhouse import ClickHouse
from tests.support.chaos.forked import ForkedProcess, spanloom
from tests.support.chaos.trap import Plan, set_trap
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.eventually import NotInTimeError, eventually
from tests.support.installation import Installation, Service
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import committed_offset
from tests.support.otlp import HOUR, MINUTE
from tests.support.processes import Process
from tests.support.redis import RedisServer

WORKERS = 3
PARTITIONS = 6
GAP = 10 * MINUTE
LATENESS = 24 * HOUR
SESSION_TIMEOUT = 6  # seconds; with less, workers that only wait for a processor are taken for dead, one after another
PATIENCE = 400.0
"""Seconds after which what must happen has not happened.

On a busy machine a broker takes half a minute to come back, and a worker waits two for a lost checkpoint.
"""


@dataclass
class Surroundings:
    """What runs share. Whoever touches the broker holds `broker_in_use`."""

    kafka: ApacheKafka
    clickhouse: ClickHouseServer
    redis: RedisServer
    broker_in_use: threading.Lock = field(default_factory=threading.Lock)

    def heal(self) -> None:
        """Whatever a run that failed has left undone."""
        self.clickhouse.set_faults()
        with self.broker_in_use:
            if not self.kafka.is_started:
                self.kafka.start()
        if not self.redis.is_started:
            self.redis.start()


@contextmanager
def surroundings(folder: Path, kafka: ApacheKafka | None = None) -> Iterator[Surroundings]:
    """Start what is not given."""
    with ExitStack() as stack:
        if kafka is None:
            kafka = ApacheKafka(folder / "kafka")
            stack.callback(kafka.kill)
            kafka.start()
        clickhouse = stack.enter_context(ClickHouseServer(folder / "clickhouse"))
        yield Surroundings(kafka, clickhouse, stack.enter_context(RedisServer()))


class ForkedService(Service):
    """A service with a folder for its trap."""

    trap: Path

    def launch(self, command: str, log: Path, env: Mapping[str, str], program: Sequence[str]) -> Process:
        del program
        self.trap = log.with_suffix(".trap")
        return ForkedProcess(self.name, spanloom, (command,), log=log, trap=self.trap, env=env)


class ForkedInstallation(Installation):
    make_service = ForkedService

    def start_forked(self, command: str) -> ForkedService:
        service = self.start(command)
        assert isinstance(service, ForkedService)
        return service


class ChaosSite:
    """One run's installation. Workers that end are replaced, as a supervisor does; a bug is no reason to end."""

    def __init__(self, folder: Path, name: str, around: Surroundings) -> None:
        self.around, self.name = around, name
        folder.mkdir(parents=True)
        database = around.clickhouse.url(name.replace("-", "_"))
        self._stack = ExitStack()
        self.store: ClickHouse = migrated(database)
        self._stack.callback(self.store.close)
        self.settings = {
            "app_id": name,
            "kafka_bootstrap": around.kafka.bootstrap,
            "spans_topic": f"{name}-spans",
            "trace_spans_topic": f"{name}-trace-spans",
            "session_spans_topic": f"{name}-session-spans",
            "rollups_topic": f"{name}-rollups",
            "clickhouse_url": database,
            "redis_url": around.redis.url,
            "topic_partitions": str(PARTITIONS),
            "gap": f"{GAP}ns",
            "allowed_lateness": f"{LATENESS}ns",
            "idle_after": "1s",
            "checkpoint_interval": "100ms",
            "sink_flush_interval": "200ms",
            "kafka_session_timeout": f"{SESSION_TIMEOUT}s",
            "span_storage": "off",
        }
        made = ForkedInstallation(folder, name, around.kafka.bootstrap, **self.settings)
        self.installation = self._stack.enter_context(made)
        self.workers: list[ForkedService] = []
        self.sent = 0
        self._to_send: deque[bytes] = deque()
        self._refused: list[KafkaError] = []
        self._producer = Producer({"bootstrap.servers": around.kafka.bootstrap, "acks": "all", "log_level": 2})

    def start(self) -> None:
        """Every partition has an owner and a sink is there."""
        for _ in range(WORKERS):
            self.start_worker()
        self.sink = self.installation.start_forked("sink")
        self.wait_until_owned()  # another run may stop the broker meanwhile

    def start_worker(self, plan: Plan | None = None) -> ForkedService:
        worker = self.installation.start_forked("worker")
        if plan is not None:
            set_trap(worker.trap, plan)
        self.workers.append(worker)
        return worker

    def start_sink(self) -> None:
        self.sink = self.installation.start_forked("sink")

    def send_slowly(self, records: Sequence[bytes]) -> None:
        """They are sent one after another while the run waits for something, and the rest by `send_rest`."""
        self._to_send.extend(records)

    def send_rest(self) -> None:
        """All that is left; returns when everything sent so far is acknowledged."""
        while self._to_send:
            self._send_next()
        left = self._producer.flush(PATIENCE)
        assert not left, f"{left} records were not acknowledged"
        assert not self._refused, f"not written: {self._refused[0]}"

    def _send_next(self) -> None:
        topic, number = self.installation.spans_topic, self.sent % PARTITIONS
        self._producer.produce(topic, self._to_send.popleft(), partition=number, on_delivery=self._hear)
        self._producer.poll(0)
        self.sent += 1

    def _hear(self, error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            self._refused.append(error)

    def keep(self) -> None:
        """What a supervisor does. Raises when a process was ended by a bug or by its settings."""
        for worker in [worker for worker in self.workers if not worker.process.is_running]:
            if worker.process.status not in (1, -9) or "a bug ended it" in worker.process.log.read_text():
                raise AssertionError(f"ended with status {worker.process.status}\n{worker.process.tail()}")
            self.workers.remove(worker)
        while len(self.workers) < WORKERS:
            self.start_worker()
        if not self.sink.process.may_end:
            self.sink.process.check_running()

    def wait(self, look: Callable[[], bool], what: str) -> None:
        """Until `look()`, keeping the workers alive and the traffic going. What everybody did is in the error."""

        def look_and_keep() -> bool:
            self.keep()
            if self._to_send:
                self._send_next()
            try:
                return look()
            except KafkaException:
                return False  # the broker is away

        try:
            eventually(look_and_keep, within=PATIENCE, what=what, every=0.05)
        except NotInTimeError as error:
            owned = {worker.name: self.owned(worker) for worker in self.workers}
            logs = "\n".join(service.process.tail() for service in (*self.workers, self.sink))
            raise NotInTimeError(f"{error}; partitions owned: {owned}\n{logs}") from None

    def routed(self) -> int:
        """Records of the spans topic that are committed as routed."""
        topic = self.installation.spans_topic
        numbers = range(PARTITIONS)
        return sum(committed_offset(self.installation.bootstrap, self.name, topic, n) or 0 for n in numbers)

    def owned(self, worker: Service) -> int:
        metrics = worker.metrics()
        return int(sum(value for (name, *_), value in metrics.items() if name == "spanloom_owned_partitions"))

    def wait_until_owned(self, *, without: Service | None = None) -> None:
        """Until each stage's partitions are all with workers that run; `without` is known to hold none any more."""
        metric = "spanloom_owned_partitions"

        def look() -> bool:
            counts: dict[tuple[str, ...], float] = {}
            for worker in self.workers:
                for name, value in worker.metrics().items() if worker is not without else ():
                    if name[0] == metric:
                        counts[name] = counts.get(name, 0) + value
            return len(counts) > 1 and all(count == PARTITIONS for count in counts.values())

        self.wait(look, "every partition has an owner")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
