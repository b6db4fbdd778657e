"""What processes took: CPU time with all threads, memory."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from tests.bench.figures import Look
from tests.support.installation import Service

_SHORTEST, _LONGEST, _UNKNOWN = 0.05, 10.0, 0.3  # seconds between two looks


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


def look_until(look: Callable[[], Look], enough: float, *, within: float, what: str) -> Look:
    """The first look that finds so many spans done by every step.

    Looks cost those who are looked at: there are few of them, each after half the time that is left as it seems.
    """
    begin = last = look()
    pause = threading.Event()
    while (done := min(last.spans)) < enough:
        since = last.at - begin.at
        assert since < within, f"not within {within:g} s: {what}; {done:,.0f} of {enough:,.0f} are done"
        rate = (done - min(begin.spans)) / since if since else 0.0
        pause.wait(min(max((enough - done) / rate / 2, _SHORTEST), _LONGEST) if rate else _UNKNOWN)
        last = look()
    return last


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"the system does not tell {name} of a process")
