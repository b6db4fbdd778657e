"""How a service ends. Each case is a real process with a real signal."""

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.processes import Process

SERVICE = """
import asyncio, sys, time
from services.shared.errors import PermanentError, SettingsError
from services.shared.process import run_process
from services.shared.settings import load_settings

async def service(settings, telemetry, stop, health):
    telemetry.count("spanloom_live_errors_total", by=7)
    print("started", flush=True)
    {body}
    print("drained", flush=True)

settings = load_settings(metrics_port={port}, drain_timeout="{drain_timeout}")
sys.exit(run_process("spanloom test", service, settings, serves_health=True))
"""


class Starter:
    """Runs SERVICE with a body; ends what still runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Process] = []

    def __call__(self, body: str, *, port: int = 0, drain_timeout: str = "30s") -> Process:
        log = self._folder / f"{len(self.started)}.log"
        code = SERVICE.format(body=body, port=port, drain_timeout=drain_timeout)
        process = Process("service", [sys.executable, "-c", code], log)
        self.started.append(process)
        return process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for process in starter.started:
        process.kill()


def _ends(process: Process) -> int:
    eventually(lambda: not process.is_running, within=20, what="the process ends")
    assert process.status is not None
    return process.status


def _health_url(process: Process) -> str:
    process.wait_for("metrics and health on ", within=20)
    return process.log.read_text().partition("metrics and health on ")[2].split()[0]


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_the_service_drain(start: Starter, number: signal.Signals) -> None:
    process = start("health.ready = lambda: True; await stop.wait()")
    process.wait_for("started", within=20)

    process.signal(number)

    assert _ends(process) == 0
    assert "drained" in process.log.read_text()


def test_a_second_signal_ends_a_draining_process_at_once(start: Starter) -> None:
    process = start("await stop.wait(); print('draining', flush=True); await asyncio.Event().wait()")
    process.wait_for("started", within=20)
    process.signal(signal.SIGTERM)
    process.wait_for("draining", within=20)

    process.signal(signal.SIGINT)

    assert _ends(process) == 130
    assert "spanloom test: second signal, ended at once" in process.log.read_text()


@pytest.mark.parametrize(
    "hanging", ["await asyncio.Event().wait()", "import threading; threading.Event().wait()"], ids=["task", "loop"]
)
def test_a_drain_over_its_time_is_ended(start: Starter, hanging: str) -> None:
    process = start(f"await stop.wait(); {hanging}", drain_timeout="200ms")
    process.wait_for("started", within=20)

    process.signal(signal.SIGTERM)

    assert _ends(process) == 1
    assert "SPANLOOM_DRAIN_TIMEOUT" in process.log.read_text()


def test_settings_that_a_service_refuses_are_told_without_a_traceback(start: Starter) -> None:
    process = start("raise SettingsError('SPANLOOM_KAFKA_BOOTSTRAP is not set')")

    assert _ends(process) == 2
    assert process.log.read_text().endswith("SPANLOOM_KAFKA_BOOTSTRAP is not set\n")
    assert "Traceback" not in process.log.read_text()


def test_an_error_on_purpose_is_told_without_a_traceback(start: Starter) -> None:
    process = start("raise PermanentError('fenced')")

    assert _ends(process) == 1
    assert process.log.read_text().endswith("spanloom test: fenced\n")
    assert "Traceback" not in process.log.read_text()


def test_an_error_from_inside_a_task_group_is_told_like_any_other(start: Starter) -> None:
    process = start("raise ExceptionGroup('tasks', [PermanentError('fenced')])")

    assert _ends(process) == 1
    assert process.log.read_text().endswith("spanloom test: fenced\n")


def test_a_bug_ends_the_process_with_its_traceback_and_waits_for_no_thread(start: Starter) -> None:
    process = start("asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600); raise KeyError('bug')")

    assert _ends(process) == 1
    assert "KeyError: 'bug'" in process.log.read_text()


def test_probes_see_when_a_service_is_ready_and_prometheus_reads_its_metrics(start: Starter) -> None:
    process = start("health.ready = lambda: False; await stop.wait()")
    url = _health_url(process)

    assert _get(f"{url}/healthz") == (200, "ok\n")
    assert _get(f"{url}/readyz") == (503, "not now\n")
    assert "spanloom_live_errors_total 7.0" in _get(f"{url}/metrics")[1]
    assert _get(f"{url}/nothing")[0] == 404


def test_a_port_that_is_taken_is_told_with_the_setting_to_change(start: Starter) -> None:
    url = _health_url(start("await stop.wait()"))

    second = start("await stop.wait()", port=int(url.rpartition(":")[2]))

    assert _ends(second) == 2
    assert "set SPANLOOM_METRICS_PORT" in second.log.read_text()
