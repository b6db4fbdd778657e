"""What processes took: CPU time with all threads, memory."""

from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.support.installation import Service


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far, those of their threads that ended included, children not."""
    return sum(times.user + times.system for times in (psutil.Process(pid).cpu_times() for pid in pids))


def peak_memory(pid: int) -> int:
    """The most memory that the process ever held, in bytes."""
    return _status(pid, "VmHWM")


def memory(pid: int) -> int:
    """The memory that the process holds, in bytes."""
    return _status(pid, "VmRSS")


def total(services: Iterable[Service], name: str, *labels: str) -> float:
    """A counter of all these services. Each look costs them some milliseconds."""
    found = 0.0
    for service in services:
        service.process.check_running()
        found += service.metric(name, *labels)
    return found


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"the system does not tell {name} of a process")
