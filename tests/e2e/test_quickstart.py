"""The quickstart as a person runs it: one command, printed sessions, Ctrl-C, again."""

import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from services.shared.clock import SystemClock
from tests.support.eventually import eventually
from tests.support.installation import get
from tests.support.otlp import SECOND, request, span, to_protobuf
from tests.support.ports import free_ports
from tests.support.processes import REPOSITORY, Process

HELD = "These are the conversations that were held: same turns, tokens and texts."


class Quickstart:
    """Starts the script on a port and a data directory of its own, as often as asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        [self.port] = free_ports(1)
        self.started: list[Process] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> Process:
        process = Process(
            "quickstart",
            [str(REPOSITORY / "deploy" / "quickstart"), *arguments],
            self._folder / f"{len(self.started)}.log",
            {"SPANLOOM_PORT": str(self.port), "SPANLOOM_DATA_DIR": str(self._folder / "data")},
        )
        self.started.append(process)
        return process

    def send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        assert get(urllib.request.Request(f"{self.url}/v1/traces", body, headers))[0] == 200


@pytest.fixture
def quickstart(tmp_path: Path) -> Iterator[Quickstart]:
    quickstart = Quickstart(tmp_path)
    yield quickstart
    for process in quickstart.started:
        for child in psutil.Process(process.pid).children(recursive=True) if process.is_running else ():
            child.kill()
        process.kill()


def _ended(process: Process, within: float) -> int:
    eventually(lambda: not process.is_running, within=within, what="the quickstart ends")
    assert process.status is not None
    return process.status


def _tree(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_once_prints_the_sessions_that_were_held_and_ends_with_0(quickstart: Quickstart) -> None:
    process = quickstart.start("--once")

    assert _ended(process, within=120) == 0, process.tail()
    printed = process.log.read_text()
    assert HELD in printed
    rows = [
        line.split() for line in printed.splitlines() if line.startswith(("order-", "faq-", "mixed-", "overloaded-"))
    ]
    assert [(row[0].rpartition("-")[0], row[1], row[2]) for row in rows] == [
        ("order-status", "closed", "4"),
        ("faq", "closed", "3"),
        ("mixed", "closed", "5"),
        ("overloaded", "closed", "2"),
    ]


def test_ctrl_c_ends_every_process_and_the_next_start_goes_on_with_the_open_sessions(quickstart: Quickstart) -> None:
    first = quickstart.start()
    first.wait_for("Ctrl-C stops it", within=120)
    quickstart.send(_turn(1))
    before = eventually(lambda: _summary(quickstart, turns=1), within=20, what="the first turn is shown")
    running = _tree(first)
    assert running

    first.signal(signal.SIGINT)

    assert _ended(first, within=60) == 0, first.tail()
    assert [process for process in running if process.is_running()] == []

    second = quickstart.start()
    second.wait_for("Ctrl-C stops it", within=120)
    quickstart.send(_turn(2))
    after = eventually(lambda: _summary(quickstart, turns=2), within=20, what="the second turn is shown")
    assert before["state"] == after["state"] == "open"
    assert [window["window_id"] for window in after["windows"]] == [window["window_id"] for window in before["windows"]]

    second.signal(signal.SIGTERM)

    assert _ended(second, within=60) == 0, second.tail()


def test_a_port_that_is_taken_is_told_before_anything_starts(quickstart: Quickstart) -> None:
    with socket.create_server(("127.0.0.1", quickstart.port)):
        process = quickstart.start()

        assert _ended(process, within=60) == 1
    assert f"port {quickstart.port} of 127.0.0.1 is taken" in process.log.read_text()


def _turn(number: int) -> bytes:
    """A turn that ended just now. Turns of a session whose gap is the usual 30 minutes."""
    now = SystemClock().now()
    attributes = {"session.id": "visit", "input.value": f"question {number}"}
    one = span(trace_id=number, span_id=number, start=now - SECOND, end=now, attributes=attributes)
    return to_protobuf(request(one, resource={"openinference.project.name": "shop"}))


def _summary(quickstart: Quickstart, *, turns: int) -> Any:
    """The summary of the session when it has that many turns, else None."""
    status, body = get(f"{quickstart.url}/v1/sessions/visit/summary?project_identifier=shop")
    summary = orjson.loads(body)["data"] if status == 200 else {}
    return summary if summary.get("turn_count") == turns else None
