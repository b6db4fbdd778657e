"""Spans in, sessions out, on Apache Kafka and ClickHouse, with every fault a worker can have in between.

The traffic is a Collector's: 20,000 spans in 1,000 sessions, some records sent twice. Whatever
happens on the way, ClickHouse holds what the reference model says, field by field.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.clickhouse import ClickHouse
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.installation import Installation, Service, send
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import committed_offset
from tests.support.otlp import HOUR, MINUTE
from tests.support.reference import reference_windows
from tests.support.traffic import Traffic, make_traffic

pytestmark = pytest.mark.kafka

PARTITIONS = 6
GAP = 10 * MINUTE
LATENESS = 24 * HOUR
SESSIONS, SPANS = 1_000, 20_000
SESSION_TIMEOUT = 6  # seconds; the broker's least

DONE = (
    "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open FROM session_windows FINAL WHERE is_deleted = 0"
)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Three hours that ended three hours ago, so that every window is over as soon as all is read."""
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    return make_traffic(
        seed=20_261_121, sessions=SESSIONS, spans=SPANS, begin=begin, length=3 * HOUR, gap=GAP, largest_batch=150
    )


class Site:
    """An installation with ClickHouse, and what the tests look at."""

    def __init__(self, installation: Installation, store: ClickHouse) -> None:
        self.installation, self.store = installation, store

    def send(self, records: list[bytes], first: int) -> None:
        send(self.installation.bootstrap, self.installation.spans_topic, records, PARTITIONS, first)

    def routed(self) -> int:
        """How many records of the spans topic are committed as routed."""
        kafka, app, topic = self.installation.bootstrap, self.installation.name, self.installation.spans_topic
        return sum(committed_offset(kafka, app, topic, number) or 0 for number in range(PARTITIONS))

    def wait_until_routed(self, records: int, within: float = 60.0) -> None:
        def look() -> bool:
            self.installation.check_running()
            return self.routed() >= records

        eventually(look, within=within, what=f"{records} records routed")

    def wait_until_all_is_closed(self, spans: int, within: float) -> None:
        def look() -> bool:
            self.installation.check_running()
            (row,) = self.store.query(DONE)
            return (row["spans"], row["open"]) == (spans, 0)

        eventually(look, within=within, what=f"{spans} spans in closed windows", every=0.5)

    def assert_equal_to(self, traffic: Traffic) -> None:
        expected = reference_windows(traffic.groups(), Policy(gap=GAP, allowed_lateness=LATENESS))
        assert len(expected) > SESSIONS, "no session has two windows: the traffic is too tame"
        windows = self.store.query("SELECT * FROM session_windows")
        turns = self.store.query("SELECT * FROM session_turns")
        assert_equal_to_reference(expected, windows, turns)


@pytest.fixture
def site(
    kafka: ApacheKafka, clickhouse_url: str, clickhouse: ClickHouse, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Site]:
    settings = {
        "clickhouse_url": clickhouse_url,
        "topic_partitions": str(PARTITIONS),
        "gap": f"{GAP}ns",
        "allowed_lateness": f"{LATENESS}ns",
        "idle_after": "2s",
        "checkpoint_interval": "200ms",
        "sink_flush_interval": "200ms",
        "kafka_session_timeout": f"{SESSION_TIMEOUT}s",
        "span_storage": "off",
    }
    name = request.node.name.removeprefix("test_")[:60]
    with Installation(tmp_path, name, kafka.bootstrap, **settings) as installation:
        yield Site(installation, clickhouse)


def test_clickhouse_equals_the_reference_model_field_by_field(site: Site, traffic: Traffic) -> None:
    workers = [site.installation.start("worker") for _ in range(3)]
    site.installation.start("sink")
    for worker in workers:
        worker.wait_until_ready()
    site.send(traffic.records, 0)
    site.wait_until_all_is_closed(traffic.spans, within=60.0)
    site.assert_equal_to(traffic)
    # Every span was counted by exactly one of the workers, and repetitions were seen as such.
    outcomes = {
        outcome: sum(worker.metric("spanloom_windowed_spans_total", outcome) for worker in workers)
        for outcome in ("added", "duplicate")
    }
    assert outcomes["added"] == traffic.spans
    assert outcomes["duplicate"] > 0
    assert sum(worker.metric("spanloom_spans_total", "waiting") for worker in workers) >= traffic.noise


def test_killed_and_paused_workers_change_nothing(site: Site, traffic: Traffic) -> None:
    """Three kills in the middle of work, and a pause longer than the session timeout."""
    installation = site.installation
    workers = Workers(installation)
    workers.start()
    workers.start()
    installation.start("sink")
    parts = _parts(traffic.records, 8)
    sent = 0
    for number, part in enumerate(parts[:-1]):
        site.send(part, sent)
        sent += len(part)
        site.wait_until_routed(sent - len(part) // 2)
        if number in (1, 3, 5):
            workers.kill_one()
            workers.start()
    site.send(parts[-1], sent)
    paused = workers.pause_one()
    # The other one reads on where the paused one stood, once the broker has given that one up.
    site.wait_until_routed(len(traffic.records))
    _wait_until_it_owns_everything(workers.other_than(paused), within=10.0 * SESSION_TIMEOUT)
    paused.process.may_end = True  # it is fenced, as it must be
    paused.process.signal(signal.SIGCONT)
    _wait_until_it_has_noticed(paused)
    site.wait_until_all_is_closed(traffic.spans, within=60.0)
    site.assert_equal_to(traffic)
    survivor = workers.other_than(paused)
    survivor.process.check_running()
    assert survivor.metric("spanloom_restored_entries_total", "window") > 0, "no fault hit a worker that had a state"


def test_a_worker_that_is_stopped_hands_over_within_a_bounded_time(site: Site, traffic: Traffic) -> None:
    """SIGTERM under load: the last checkpoint, then it leaves the group; nobody waits for a session timeout."""
    installation = site.installation
    workers = Workers(installation)
    workers.start()
    workers.start()
    installation.start("sink")
    half = len(traffic.records) // 2
    site.send(traffic.records[:half], 0)
    site.wait_until_routed(half // 2)
    workers.stop_one()
    workers.start()
    site.send(traffic.records[half:], half)
    site.wait_until_all_is_closed(traffic.spans, within=60.0)
    site.assert_equal_to(traffic)


class Workers:
    """The two workers of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._running: list[Service] = []

    def start(self) -> None:
        worker = self._installation.start("worker")
        worker.wait_until_ready()
        self._running.append(worker)

    def kill_one(self) -> None:
        self._running.pop(0).process.kill()

    def stop_one(self) -> None:
        assert self._running.pop(0).process.stop(within=60.0) == 0

    def pause_one(self) -> Service:
        paused = self._running[0]
        paused.process.signal(signal.SIGSTOP)
        return paused

    def other_than(self, one: Service) -> Service:
        (other,) = (worker for worker in self._running if worker is not one)
        return other


def _wait_until_it_owns_everything(worker: Service, within: float) -> None:
    def look() -> bool:
        metrics = worker.metrics()
        return all(metrics.get(("spanloom_owned_partitions", stage)) == PARTITIONS for stage in ("route", "window"))

    eventually(look, within=within, what=f"all partitions owned by {worker.name}")


def _wait_until_it_has_noticed(woken: Service) -> None:
    """It is fenced and ends, or joins the group again; until then it could do harm."""

    def look() -> bool:
        return not woken.process.is_running or woken.get("/readyz")[0] == 200

    eventually(look, within=60.0, what=f"{woken.name} ends or joins again")


def _parts(records: list[bytes], count: int) -> list[list[bytes]]:
    size = -(-len(records) // count)
    return [records[start : start + size] for start in range(0, len(records), size)]
