"""Apache Kafka restarts, and is then unreachable for a minute, under load: bounded memory, 503, and exact sessions.

Clients send through the gateway and repeat what is refused, as exporters do.
"""

import gzip
import os
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from services.shared.clickhouse import ClickHouse
from tests.e2e.figures import FIGURES
from tests.support.eventually import eventually
from tests.support.installation import Installation
from tests.support.kafka.apache import ApacheKafka
from tests.support.otlp import HOUR, request, span, to_protobuf
from tests.support.ports import free_ports
from tests.support.stored_sessions import are_closed, assert_exact
from tests.support.supervisor import Supervised
from tests.support.traffic import Traffic, make_traffic
from tests.support.worker_group import POLICY, in_parts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

UNREACHABLE = 60.0  # seconds
MEGABYTE = 1 << 20
MOST_MEMORY = {"gateway": 300, "worker": 400, "sink": 400}  # MB
FLOOD_CLIENTS, FLOOD_SPAN = 8, 50_000


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    return make_traffic(seed=7, sessions=200, spans=4_000, begin=begin, length=3 * HOUR, gap=POLICY.gap)


class Clients:
    """Exporters: one that has sessions to send, and others that flood. They go on until `close`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopped = Event()
        self.answers: Counter[int] = Counter()
        self.without_retry_after = 0

    def close(self) -> None:
        self._stopped.set()

    def deliver(self, records: Sequence[bytes]) -> None:
        """Send each until it is taken."""
        for record in records:
            while self._post(record) != 200:
                self._stopped.wait(0.5)
                assert not self._stopped.is_set(), "closed before everything was delivered"

    def flood(self) -> None:
        """Large exports of spans that belong to no session, as fast as the answers come."""
        text = os.urandom(FLOOD_SPAN // 2).hex()  # nothing that compresses to nothing
        spans = [span(trace_id=1 << 100, span_id=number, attributes={"input.value": text}) for number in range(1, 21)]
        body = to_protobuf(request(*spans))
        while not self._stopped.is_set():
            if self._post(body) != 200:
                self._stopped.wait(0.05)

    def _post(self, record: bytes) -> int:
        is_packed = record.startswith(b"\x1f\x8b")
        is_json = (gzip.decompress(record) if is_packed else record).startswith(b"{")
        headers = {"content-type": "application/json" if is_json else "application/x-protobuf"}
        if is_packed:
            headers["content-encoding"] = "gzip"
        export = urllib.request.Request(self._url, record, headers)
        try:
            with _DIRECT.open(export, timeout=30.0) as answer:
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
                self.without_retry_after += status == 503 and "retry-after" not in error.headers
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            status = 0
        self.answers[status] += 1
        return status


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the environment says


class Site:
    """A whole installation, each service supervised."""

    def __init__(self, installation: Installation, store: ClickHouse, gateway_port: int) -> None:
        self.store = store
        self.gateway = Supervised(installation, "gateway", gateway_port=str(gateway_port), gateway_timeout="2s")
        self.workers = [Supervised(installation, "worker") for _ in range(2)]
        self.sink = Supervised(installation, "sink")
        self.url = f"http://127.0.0.1:{gateway_port}/v1/traces"

    @property
    def services(self) -> list[tuple[str, Supervised]]:
        return [("gateway", self.gateway), *(("worker", worker) for worker in self.workers), ("sink", self.sink)]

    def look(self) -> None:
        for _, service in self.services:
            service.look()

    def look_until(self, fact: Callable[[], bool], within: float, what: str) -> None:
        def look() -> bool:
            self.look()
            return fact()

        eventually(look, within=within, what=what)

    def wait_until_ready(self) -> None:
        for _, service in self.services:
            service.service.wait_until_ready()


@pytest.fixture
def site(own_kafka: ApacheKafka, clickhouse_url: str, clickhouse: ClickHouse, tmp_path: Path) -> Iterator[Site]:
    settings = {
        "clickhouse_url": clickhouse_url,
        "gap": f"{POLICY.gap}ns",
        "allowed_lateness": f"{POLICY.allowed_lateness}ns",
        "idle_after": "2s",
        "kafka_session_timeout": "6s",
        "span_storage": "off",
    }
    with Installation(tmp_path, "broker-outage", own_kafka.bootstrap, **settings) as installation:
        site = Site(installation, clickhouse, *free_ports(1))
        site.wait_until_ready()
        yield site


def test_a_broker_that_restarts_and_one_unreachable_for_a_minute_cost_time_only(
    site: Site, own_kafka: ApacheKafka, traffic: Traffic
) -> None:
    clients, flood = Clients(site.url), Clients(site.url)
    parts = in_parts(traffic.records, 4)
    with ThreadPoolExecutor(FLOOD_CLIENTS + 1) as pool, closing(clients), closing(flood):
        clients.deliver(parts[0])
        own_kafka.kill()
        delivery = pool.submit(clients.deliver, parts[1])
        own_kafka.start()
        site.look_until(delivery.done, within=60.0, what="delivery after a restart")
        delivery.result()
        own_kafka.process.signal(signal.SIGSTOP)
        floods = [pool.submit(flood.flood) for _ in range(FLOOD_CLIENTS)]
        delivery = pool.submit(clients.deliver, parts[2])
        back_at = time.monotonic() + UNREACHABLE
        site.look_until(lambda: time.monotonic() > back_at, within=2 * UNREACHABLE, what="a minute without a broker")
        assert not delivery.done(), "a broker that stands still has taken spans"
        flood.close()
        own_kafka.process.signal(signal.SIGCONT)
        site.look_until(delivery.done, within=60.0, what="delivery after the outage")
        for task in (delivery, *floods):
            task.result()
        clients.deliver(parts[3])
    assert flood.answers[503] > FLOOD_CLIENTS * UNREACHABLE / 10, f"hardly an export was refused: {flood.answers}"
    assert not flood.without_retry_after + clients.without_retry_after
    site.look_until(lambda: are_closed(site.store, traffic.spans), within=120.0, what="all spans in closed windows")
    assert_exact(site.store, traffic, POLICY)
    figures = [(name, service.peak_memory // MEGABYTE, len(service.ended)) for name, service in site.services]
    FIGURES.append(f"peak memory in MB and restarts in an outage of {UNREACHABLE:.0f} s: {figures}")
    assert all(megabytes < MOST_MEMORY[name] for name, megabytes, _ in figures), FIGURES[-1]
