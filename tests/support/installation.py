"""Spanloom as it is deployed: one process a service, settings by environment, on brokers and databases of a test."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer
from prometheus_client.parser import text_string_to_metric_families

from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.processes import Process

SPANLOOM = str(Path(sys.executable).parent / "spanloom")
_START = 60.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the environment says


def get(request: str | urllib.request.Request) -> tuple[int, bytes]:
    """Status and body of an HTTP answer; status 0 where nothing answers."""
    try:
        with _DIRECT.open(request, timeout=30.0) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, b""


class Service:
    """One `spanloom ...` process and its /metrics, /healthz and /readyz."""

    def __init__(
        self, command: str, name: str, folder: Path, settings: Mapping[str, str], program: Sequence[str] = (SPANLOOM,)
    ) -> None:
        (self.port,) = free_ports(1)
        names = ("SPANLOOM_METRICS_PORT", "SPANLOOM_PORT", "SPANLOOM_GATEWAY_PORT")
        ports = dict.fromkeys(names, str(self.port))
        if command == "gateway":
            self.port = int(settings.get("SPANLOOM_GATEWAY_PORT", self.port))
        # Nothing of the developer's own environment decides a test, but which hot path is tested.
        clean = {name: "" for name in os.environ if name.startswith("SPANLOOM_") and name != "SPANLOOM_COMPILED"}
        assert not clean, f"unset {', '.join(clean)} to run the tests"
        self.name = name
        self.process = self.launch(command, folder / f"{name}.log", {**ports, **settings}, program)

    def launch(self, command: str, log: Path, env: Mapping[str, str], program: Sequence[str]) -> Process:
        return Process(self.name, [*program, command], log, env)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 while nothing listens."""
        return get(self.url + path)

    def wait_until_ready(self, within: float = _START) -> None:
        def look() -> bool:
            self.process.check_running()
            return self.get("/readyz")[0] == 200

        try:
            eventually(look, within=within, what=f"readiness of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.process.tail()}") from None

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Samples by name and label values in the order of label names; empty while nothing listens."""
        status, body = self.get("/metrics")
        if status != 200:
            return {}
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def metric(self, name: str, *labels: str) -> float:
        """One sample, 0 where there is none yet."""
        return self.metrics().get((name, *labels), 0.0)


class Installation:
    """The services of one test. Each has topics, groups and a folder of its own on a shared broker."""

    make_service: type[Service] = Service

    def __init__(self, folder: Path, name: str, bootstrap: str, **settings: str) -> None:
        self.folder, self.name, self.bootstrap = folder, name, bootstrap
        self.spans_topic = f"{name}-spans"
        self.rollups_topic = f"{name}-rollups"
        self.data_dir = folder / "data"
        self._settings = {
            "SPANLOOM_APP_ID": name,
            "SPANLOOM_DATA_DIR": str(self.data_dir),
            "SPANLOOM_KAFKA_BOOTSTRAP": bootstrap,
            "SPANLOOM_SPANS_TOPIC": self.spans_topic,
            "SPANLOOM_TRACE_SPANS_TOPIC": f"{name}-trace-spans",
            "SPANLOOM_SESSION_SPANS_TOPIC": f"{name}-session-spans",
            "SPANLOOM_ROLLUPS_TOPIC": self.rollups_topic,
            "SPANLOOM_LOG_LEVEL": "info",
            **_variables(settings),
        }
        self._running = ExitStack()
        self._services: list[Service] = []

    def start(self, command: str, *, program: Sequence[str] = (SPANLOOM,), **settings: str) -> Service:
        """Start a service; settings by their names in `Settings`. It is killed at the end of the test at the latest.

        `program`: what runs the command, where it is not `spanloom` itself.
        """
        name = f"{command}-{len(self._services) + 1}"
        environment = {**self._settings, **_variables(settings)}
        service = self.make_service(command, name, self.folder, environment, program)
        self._running.enter_context(service.process)
        self._services.append(service)
        return service

    def check_running(self) -> None:
        """Raises with the log of a service that has ended although nobody ended it."""
        for service in self._services:
            if not service.process.may_end:
                service.process.check_running()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()


def send(bootstrap: str, topic: str, records: Iterable[bytes], partitions: int, first: int = 0) -> None:
    """Write records, acknowledged, one after another to the partitions in turn, beginning at number `first`."""
    send_to(bootstrap, topic, ((number % partitions, value) for number, value in enumerate(records, first)))


def send_to(bootstrap: str, topic: str, records: Iterable[tuple[int, bytes]]) -> None:
    """Write (partition, value) records, acknowledged."""
    faults: list[KafkaError] = []

    def hear(error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            faults.append(error)

    options = {"message.max.bytes": 64 << 20, "linger.ms": 5, "acks": "all", "log_level": 2}
    producer = Producer({"bootstrap.servers": bootstrap, **options})
    for partition, value in records:
        producer.produce(topic, value, partition=partition, on_delivery=hear)
        producer.poll(0)
    left = producer.flush(60.0)
    assert not left, f"{left} records were not acknowledged"
    assert not faults, f"not written: {faults[0]}"


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"SPANLOOM_{name.upper()}": value for name, value in settings.items()}
