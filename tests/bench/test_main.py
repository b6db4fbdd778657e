"""A run that is ended leaves nothing behind."""

import signal
import sys
from pathlib import Path

import psutil

from tests.support.eventually import eventually
from tests.support.processes import Process

STARTED = 0.5
"""Seconds of CPU: more than a process takes before it knows its own signals, and much less than a case of the part."""


def test_a_run_that_is_told_to_end_ends_what_it_started(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.bench.main", "state"]
    with Process("bench", program, tmp_path / "bench.log", {"TMPDIR": str(tmp_path)}) as run:
        this = psutil.Process(run.pid)

        def measuring() -> list[psutil.Process]:
            run.check_running()
            found = this.children(recursive=True)
            return found if any(child.cpu_times().user > STARTED for child in found) else []

        children = eventually(measuring, within=30.0, what="a process that measures")
        assert run.stop(within=10.0) == 128 + signal.SIGTERM
        _, left = psutil.wait_procs(children, timeout=10.0)
        assert not left
        assert "Traceback" not in run.log.read_text()
        assert [path.name for path in tmp_path.iterdir()] == ["bench.log"]
