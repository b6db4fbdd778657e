"""deploy/collector/collector.yaml with a real OpenTelemetry Collector: OTLP in, through Kafka, sessions out."""

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.installation import Installation, get
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import read_all
from tests.support.otlp import request, span, to_protobuf
from tests.support.ports import free_ports
from tests.support.processes import REPOSITORY, Process
from tests.support.rollup_log import last_windows
from tests.support.tools.collector import collector

pytestmark = [pytest.mark.kafka, pytest.mark.go, pytest.mark.slow]

CONFIGURATION = REPOSITORY / "deploy" / "collector" / "collector.yaml"
PARTITIONS = 2
SPANS = 1_200


@pytest.fixture(scope="module")
def program() -> Path:
    return collector()


def validate(program: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    command = [str(program), "validate", "--config", str(configuration)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_collector_accepts_the_configuration(program: Path) -> None:
    result = validate(program, CONFIGURATION)
    assert result.returncode == 0, result.stderr


def test_validation_would_have_found_a_setting_that_does_not_exist(program: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(CONFIGURATION.read_text().replace("required_acks:", "requiredAcks:"))
    assert validate(program, broken).returncode != 0


class Running:
    """The Collector of a test, with ports of its own."""

    def __init__(self, program: Path, folder: Path, installation: Installation) -> None:
        self.http, grpc, self.health, metrics = free_ports(4)
        env = {
            "KAFKA_BROKERS": installation.bootstrap,
            "SPANS_TOPIC": installation.spans_topic,
            "OTLP_HTTP_PORT": str(self.http),
            "OTLP_GRPC_PORT": str(grpc),
            "HEALTH_PORT": str(self.health),
            "METRICS_PORT": str(metrics),
        }
        self.process = Process(
            "Collector", [str(program), "--config", str(CONFIGURATION)], folder / "collector.log", env
        )

    def wait_until_ready(self) -> None:
        def look() -> bool:
            self.process.check_running()
            return get(f"http://127.0.0.1:{self.health}/")[0] == 200

        eventually(look, within=30.0, what="health of the Collector")

    def post(self, body: bytes) -> int:
        export = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/v1/traces", body, {"Content-Type": "application/x-protobuf"}
        )
        status, _ = get(export)
        return status


@pytest.fixture
def installation(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Installation]:
    settings = {"topic_partitions": str(PARTITIONS), "checkpoint_interval": "100ms", "snapshot_interval": "0s"}
    with Installation(tmp_path, "collector", kafka.bootstrap, **settings) as installation:
        yield installation


def test_spans_sent_to_the_collector_become_sessions(program: Path, installation: Installation, tmp_path: Path) -> None:
    worker = installation.start("worker")
    worker.wait_until_ready()
    running = Running(program, tmp_path, installation)
    with running.process:
        running.wait_until_ready()
        now = time.time_ns()  # noqa: TID251 - the broker's clock is this one
        for start in range(0, SPANS, 100):
            numbers = range(start + 1, start + 101)
            spans = [
                span(
                    trace_id=n,
                    span_id=n,
                    start=now,
                    end=now + n,
                    attributes={"session.id": f"s-{n % 40}", "text": "t" * 3_000},
                )
                for n in numbers
            ]
            assert running.post(to_protobuf(request(*spans))) == 200

        def look() -> bool:
            worker.process.check_running()
            windows = last_windows(installation.bootstrap, installation.rollups_topic, PARTITIONS)
            return len(windows) == 40 and sum(window["span_count"] for window in windows) == SPANS

        eventually(look, within=30.0, what=f"{SPANS} spans in 40 sessions", every=0.5)
        assert running.process.stop() == 0
    records = read_all(installation.bootstrap, installation.spans_topic, PARTITIONS)
    assert 1 < len(records) < SPANS / 10, "the Collector batches"
    assert max(len(record.value or b"") for record in records) <= 900_000
