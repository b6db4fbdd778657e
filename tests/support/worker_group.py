"""Workers of one installation on Apache Kafka: spans in, and what they publish against the reference model.

Without ClickHouse: `session_rollups` is read as a sink reads it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from services.sessionizer.engine.policy import Policy
from services.shared.records.rollup_fields import complete
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.installation import SPANLOOM, Installation, Service, send, send_to
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import committed_offset, read_all
from tests.support.otlp import HOUR, MINUTE
from tests.support.reference import reference_windows
from tests.support.traffic import Traffic

Row = dict[str, Any]

POLICY = Policy(gap=10 * MINUTE, allowed_lateness=24 * HOUR)
"""Of the workers that `start_group` starts, unless a test says otherwise."""

STAGES = ("route", "window")

StartGroup = Callable[..., "WorkerGroup"]
"""`start_group(partitions=4, **settings)`."""


@pytest.fixture
def start_group(kafka: ApacheKafka, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartGroup]:
    """Makes the installation of a test on the shared broker; its processes end with the test."""
    with ExitStack() as installations:

        def start(*, partitions: int = 4, broker: ApacheKafka = kafka, **settings: str) -> WorkerGroup:
            chosen = {
                "topic_partitions": str(partitions),
                "gap": f"{POLICY.gap}ns",
                "allowed_lateness": f"{POLICY.allowed_lateness}ns",
                "idle_after": "2s",
                "checkpoint_interval": "200ms",
                "kafka_session_timeout": "10s",
                **settings,
            }
            name = request.node.name.removeprefix("test_")[:60]
            made = installations.enter_context(Installation(tmp_path, name, broker.bootstrap, **chosen))
            return WorkerGroup(made, partitions)

        yield start


def in_parts(records: Sequence[bytes], count: int) -> list[Sequence[bytes]]:
    """`count` runs of about the same length."""
    return [records[len(records) * part // count : len(records) * (part + 1) // count] for part in range(count)]


class WorkerGroup:
    """`partitions` of the spans topic; every other topic has as many until `extend`."""

    def __init__(self, installation: Installation, partitions: int) -> None:
        self.installation, self.partitions = installation, partitions
        self._fixed = partitions  # of every other topic
        self.workers: list[Service] = []
        """Those that are meant to run, in the order of their start."""
        self.sent = 0
        """Records written so far."""

    def start(self, count: int = 1, *, program: Sequence[str] = (SPANLOOM,), **settings: str) -> list[Service]:
        """Start workers without waiting for them."""
        started = [self.installation.start("worker", program=program, **settings) for _ in range(count)]
        self.workers += started
        return started

    def start_ready(self, count: int = 1, **settings: str) -> list[Service]:
        """Start workers and wait until all partitions are owned."""
        started = self.start(count, **settings)
        for worker in started:
            worker.wait_until_ready()
        self.wait_until_owned()
        return started

    def kill(self, worker: Service) -> None:
        self.workers.remove(worker)
        worker.process.kill()

    def stop(self, worker: Service, within: float = 15.0) -> None:
        """SIGTERM, and it must end cleanly."""
        self.workers.remove(worker)
        status = worker.process.stop(within=within)
        assert status == 0, f"status {status}\n{worker.process.tail()}"

    def send(self, records: Sequence[bytes]) -> None:
        """Write records to the partitions in turn."""
        send(self.installation.bootstrap, self.installation.spans_topic, records, self.partitions, self.sent)
        self.sent += len(records)

    def send_to(self, partition: int, records: Sequence[bytes]) -> None:
        """Write records to one partition."""
        send_to(self.installation.bootstrap, self.installation.spans_topic, [(partition, value) for value in records])
        self.sent += len(records)

    def extend(self, partitions: int) -> None:
        """Give the spans topic more partitions; the other topics stay as they are."""
        admin = AdminClient({"bootstrap.servers": self.installation.bootstrap})
        (done,) = admin.create_partitions([NewPartitions(self.installation.spans_topic, partitions)]).values()
        done.result(30.0)
        self.partitions = partitions

    def routed(self) -> int:
        """How many records of the spans topic are committed as routed."""
        return sum(self.routed_of_each())

    def routed_of_each(self) -> list[int]:
        """The same by partition."""
        kafka, app, topic = self.installation.bootstrap, self.installation.name, self.installation.spans_topic
        return [committed_offset(kafka, app, topic, number) or 0 for number in range(self.partitions)]

    def wait_until_routed(self, records: int, within: float = 60.0) -> None:
        def look() -> bool:
            self.installation.check_running()
            return self.routed() >= records

        eventually(look, within=within, what=f"{records} records routed")

    def owned(self, worker: Service) -> dict[str, int]:
        """How many partitions of each stage a worker says that it owns."""
        metrics = worker.metrics()
        return {stage: int(metrics.get(("spanloom_owned_partitions", stage), 0)) for stage in STAGES}

    def are_owned(self) -> bool:
        """Whether every partition of each stage is owned, none by two of the workers, and all workers are ready."""
        self.installation.check_running()
        total: Counter[str] = Counter()
        for worker in self.workers:
            if worker.get("/readyz")[0] != 200:
                return False
            total.update(self.owned(worker))
        return (total["route"], total["window"]) == (self.partitions, self._fixed)

    def wait_until_owned(self, within: float = 60.0) -> None:
        """Wait until `are_owned`."""
        eventually(self.are_owned, within=within, what=f"all partitions owned by {[w.name for w in self.workers]}")

    def rebalances(self, worker: Service) -> int:
        """How many assignments a worker has begun to carry through; one that is cut short may end with `route`."""
        return worker.process.log.read_text(errors="replace").count("route owns partitions")

    def published(self) -> tuple[list[Row], list[Row]]:
        """All windows and turns of the rollups topic, every version."""
        windows: list[Row] = []
        turns: list[Row] = []
        for record in read_all(self.installation.bootstrap, self.installation.rollups_topic, self._fixed):
            row = complete(orjson.loads(record.value or b""))
            turns += row.pop("turns", [])
            if row["type"] == "window":
                windows.append(row)
        return windows, turns

    def last_windows(self) -> list[Row]:
        """Each window at its last version; absorbed ones are gone."""
        last: dict[tuple[str, str, str], Row] = {}
        for row in self.published()[0]:
            identity = row["project"], row["session_id"], row["window_id"]
            if identity not in last or last[identity]["version"] <= row["version"]:
                last[identity] = row
        return [row for row in last.values() if not row["is_deleted"]]

    def wait_until_closed(self, spans: int, within: float = 60.0) -> list[Row]:
        """Until so many spans are in windows and none is open; these windows."""

        def look() -> list[Row]:
            self.installation.check_running()
            windows = self.last_windows()
            counted = sum(row["span_count"] for row in windows)
            assert counted <= spans, f"{counted} spans are counted, {spans} were sent"
            return windows if counted == spans and all(row["state"] == "closed" for row in windows) else []

        return eventually(look, within=within, what=f"{spans} spans in closed windows", every=0.5)

    def assert_exact(self, traffic: Traffic, policy: Policy, within: float = 60.0) -> None:
        """Wait until all is closed, then compare with the reference model, field by field."""
        self.wait_until_closed(traffic.spans, within)
        windows, turns = self.published()
        assert_equal_to_reference(reference_windows(traffic.groups(), policy), windows, turns)
