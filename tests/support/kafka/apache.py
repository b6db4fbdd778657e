"""One Apache Kafka broker for tests, from its Maven artifacts: KRaft, one JVM, loopback, free ports."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.processes import REPOSITORY, Process

_HERE = Path(__file__).parent
_CACHE = REPOSITORY / ".cache" / "kafka"
_JVM = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
_START = 180.0  # seconds, on a machine that is busy with other things, too
_STOP = 180.0
_ATTEMPTS = 3  # a port may be taken between asking for a free one and listening on it

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
num.partitions=4
# A topic that nobody made on purpose is a fault that must show.
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=5000
log.cleaner.dedupe.buffer.size=16000000
"""


def jars() -> Path:
    """The folder with Kafka's jars; fetched once for each content of pom.xml."""
    pom = _HERE / "pom.xml"
    target = _CACHE / f"jars-{sha256(pom.read_bytes()).hexdigest()[:12]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            print(f"fetching Apache Kafka into {target} ...", flush=True)  # noqa: T201 - a long step shows itself
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
                options = [f"-DoutputDirectory={folder}/jars", "-DincludeScope=runtime"]
                done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise AssertionError(
                        f"Maven did not fetch Apache Kafka:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
                    )
                os.rename(f"{folder}/jars", target)  # noqa: PTH104 - whole or not at all
    return target


class ApacheKafka:
    """A broker that can be stopped, killed and started again on the same data and port.

    `properties` come after those of every broker of tests, and win.
    """

    def __init__(self, folder: Path, properties: Mapping[str, str] | None = None) -> None:
        self._folder, self._properties = folder, properties or {}
        self._jars = jars()
        self._process: Process | None = None
        self._port = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def is_started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        assert self._process is None, "already started"
        for _ in range(1 if self._port else _ATTEMPTS):
            if not (self._folder / "logs").exists():
                self._configure()
            self._process = Process("Apache Kafka", self._java("kafka.Kafka"), self._folder / "broker.log")
            eventually(self._is_answering, within=_START, what=f"an answer of Apache Kafka on {self.bootstrap}")
            if self._process.is_running:
                return
            lost, self._process = self._process, None
            shutil.rmtree(self._folder / "logs")
        raise AssertionError(f"Apache Kafka does not start\n{lost.tail()}")

    def stop(self) -> None:
        """A clean stop."""
        process, self._process = self._process, None
        if process is not None:
            process.stop(within=_STOP)

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    @property
    def process(self) -> Process:
        assert self._process is not None, "not started"
        return self._process

    def _configure(self) -> None:
        self._port, controller = free_ports(2)
        text = _PROPERTIES.format(port=self._port, controller=controller, logs=self._folder / "logs")
        text += "".join(f"{name}={value}\n" for name, value in self._properties.items())
        (self._folder / "server.properties").write_text(text)
        format_storage = self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c")
        done = subprocess.run(format_storage, capture_output=True, text=True, check=False, cwd=self._folder)
        if done.returncode != 0:
            raise AssertionError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _java(self, *arguments: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}"
        return ["java", *_JVM, log4j, "-cp", f"{self._jars}/*", *arguments, str(self._folder / "server.properties")]

    def _is_answering(self) -> bool:
        """True also when the process has ended: there is nothing to wait for any more."""
        if self._process is None or not self._process.is_running:
            return True
        try:
            admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            return bool(admin.list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False
