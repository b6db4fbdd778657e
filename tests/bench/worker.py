"""A case on Apache Kafka: fill the topic, start a worker, wait until every span is counted."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient

from services.shared.kafka_topics import changelog_topic, ensure_topics, topic_specs
from services.shared.settings import Settings
from tests.bench.case import Case
from tests.bench.figures import Sample
from tests.bench.load import LENGTH, records
from tests.bench.yardstick import parse_cpu_seconds
from tests.support.eventually import eventually
from tests.support.installation import Installation, Service, send
from tests.support.kafka.apache import ApacheKafka
from tests.support.otlp import HOUR

PARTITIONS = 4
_LONGEST = 600.0  # seconds of one case
_LOOK = 0.2  # seconds; each look costs the worker some milliseconds
_YARDSTICK_BYTES = 128 << 20  # of records in memory for the yardstick: a part of a large case stands for all of it


@dataclass(frozen=True, slots=True)
class Site:
    """A broker for all cases, and a folder for what their processes say."""

    broker: ApacheKafka
    broker_folder: Path
    folder: Path

    def idle_cpu_seconds(self) -> float:
        """What a worker that has nothing to read takes to become ready."""
        with self._installation("idle") as installation:
            _make_topics(installation)
            worker = installation.start("worker")
            worker.wait_until_ready()
            cpu = _cpu_seconds(worker)
            worker.process.stop()
            self._remove_topics(installation)
        return cpu

    def measure(self, number: int, case: Case, idle_cpu_seconds: float) -> Sample:
        """One run. Everything it started has ended afterwards, and its topics are being deleted."""
        begin = time.time_ns() - 2 * LENGTH - HOUR  # noqa: TID251 - spans of the future would be corrected
        with self._installation(f"case-{number}") as installation:
            topics = _make_topics(installation)
            send(installation.bootstrap, installation.spans_topic, records(case, begin), PARTITIONS)
            worker = installation.start("worker")
            worker.wait_until_ready()
            ready = time.perf_counter()
            _wait_until_counted(worker, case.spans)
            seconds, cpu = time.perf_counter() - ready, _cpu_seconds(worker)
            memory = _peak_memory(worker)
            sizes = {role: self._log_bytes(topic) for role, topic in topics.items()}
            worker.process.stop()
            self._remove_topics(installation)
        yardstick = _yardstick(case, begin)
        return Sample(case.spans, seconds, cpu, idle_cpu_seconds, memory, sizes, yardstick)

    def _installation(self, name: str) -> Installation:
        folder = self.folder / name
        folder.mkdir()
        return Installation(folder, name, self.broker.bootstrap, topic_partitions=str(PARTITIONS))

    def _log_bytes(self, topic: str) -> int:
        """Of the segments of all partitions, as the broker has them on disk."""
        return sum(path.stat().st_size for path in (self.broker_folder / "logs").glob(f"{topic}-[0-9]/*.log"))

    def _remove_topics(self, installation: Installation) -> None:
        admin = AdminClient({"bootstrap.servers": installation.bootstrap, "log_level": 2})
        names = [spec.name for spec in topic_specs(_settings(installation))]
        for future in admin.delete_topics(names, operation_timeout=30.0).values():
            future.result()


def _settings(installation: Installation) -> Settings:
    name = installation.name
    return Settings(
        app_id=name,
        spans_topic=installation.spans_topic,
        trace_spans_topic=f"{name}-trace-spans",
        session_spans_topic=f"{name}-session-spans",
        rollups_topic=installation.rollups_topic,
        topic_partitions=PARTITIONS,
    )


def _make_topics(installation: Installation) -> dict[str, str]:
    """As the worker makes them. The names of those that are measured, by their role."""
    settings = _settings(installation)
    asyncio.run(ensure_topics(installation.bootstrap, topic_specs(settings)))
    return {
        "otlp_spans": settings.spans_topic,
        "trace_spans": settings.trace_spans_topic,
        "session_spans": settings.session_spans_topic,
        "session_rollups": settings.rollups_topic,
        "resolve-changelog": changelog_topic(settings.app_id, "resolve"),
        "window-changelog": changelog_topic(settings.app_id, "window"),
    }


def _wait_until_counted(worker: Service, spans: int) -> None:
    """A span is counted when the transaction that adds it to its window is committed."""

    def look() -> bool:
        worker.process.check_running()
        return worker.metric("spanloom_windowed_spans_total", "added") >= spans

    eventually(look, within=_LONGEST, what=f"{spans} spans counted", every=_LOOK)


def _cpu_seconds(worker: Service) -> float:
    times = psutil.Process(worker.process.pid).cpu_times()
    return times.user + times.system


def _peak_memory(worker: Service) -> int:
    for line in Path(f"/proc/{worker.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the system does not tell the peak memory of a process")


def _yardstick(case: Case, begin: int) -> float:
    """CPU-seconds of parsing all records of the case, from as many of them as fit into memory."""
    values: list[bytes] = []
    size = 0
    for value in records(case, begin):
        values.append(value)
        size += len(value)
        if size >= _YARDSTICK_BYTES:
            break
    part = min(1.0, len(values) * case.record_spans / case.spans)
    return parse_cpu_seconds(values) / part
