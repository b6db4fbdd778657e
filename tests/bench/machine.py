"""Where figures come from: machine, versions, commit."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from services.shared import compiled
from tests.support.processes import REPOSITORY

_PACKAGES = (
    *("spanloom", "protobuf", "cython", "confluent-kafka", "aiokafka", "faust-streaming", "msgpack", "orjson"),
    *("clickhouse-connect", "chdb-core"),
)
_POM = REPOSITORY / "tests" / "support" / "kafka" / "pom.xml"


def description() -> dict[str, str]:
    """By name, in the order in which they are shown."""
    return {
        "machine": f"{os.cpu_count()} cores, {_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load before": " ".join(f"{each:.1f}" for each in os.getloadavg()),
        "system": platform.platform(),
        "Python": platform.python_version(),
        "hot path": compiled.check(),
        **{name: version(name) for name in _PACKAGES},
        "Apache Kafka": _kafka_version(),
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",  # noqa: TID251 - when it was measured
    }


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _kafka_version() -> str:
    found = re.search(r"<artifactId>kafka_[0-9.]+</artifactId>\s*<version>([^<]+)", _POM.read_text())
    return found[1] if found else "unknown"


def _commit() -> str:
    """The commit, with a `+` where files differ from it; empty outside of a clone."""
    found = _git("rev-parse", "--short=12", "HEAD")
    return f"{found}+" if found and _git("status", "--porcelain") else found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()
