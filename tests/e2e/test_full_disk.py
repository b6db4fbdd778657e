"""`spanloom up` on a disk that is full for a while, for good, and from the start."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from services.sessionizer.engine.policy import Policy
from tests.support.chdb_rows import chdb_rows
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.flood import flood, headers_of
from tests.support.full_disk import UpOnSmallDisk
from tests.support.otlp import HOUR, MINUTE
from tests.support.reference import reference_windows
from tests.support.traffic import Traffic, make_traffic

GAP = 10 * MINUTE
SETTINGS = {
    "SPANLOOM_GAP": f"{GAP}ns",
    "SPANLOOM_ALLOWED_LATENESS": "24h",
    "SPANLOOM_IDLE_AFTER": "1s",
    "SPANLOOM_OUT_OF_ORDERNESS": "1s",
    "SPANLOOM_CHECKPOINT_INTERVAL": "200ms",
    "SPANLOOM_SINK_FLUSH_INTERVAL": "200ms",
}
MEGABYTE = 1 << 20
NOTICED = "insert failed, trying again in"
UNNOTICED = 5
"""Requests that are sent into a full disk before a sink has noticed; the room ahead of it is for many more."""


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(running: ExitStack, folder: Path, **settings: str) -> UpOnSmallDisk:
    service = UpOnSmallDisk(folder, {**SETTINGS, **settings})
    running.enter_context(service.process)
    service.wait_until_ready()
    return service


def traffic_of(spans: int) -> Traffic:
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the process under test has this clock
    return make_traffic(seed=11, sessions=spans // 20, spans=spans, begin=begin, length=3 * HOUR, gap=GAP)


def send_until_refused(service: UpOnSmallDisk, bodies: list[bytes]) -> tuple[int, str]:
    """How many were accepted, and why the next one was not.

    A sink notices that the disk is full when it inserts. Till then all is accepted, and how much that is depends on who
    is faster: so the sender waits for the sink after `UNNOTICED` requests, and the next one must be refused.
    """
    with httpx.Client(base_url=service.url, timeout=30.0, trust_env=False) as client:
        for number, body in enumerate(bodies[: UNNOTICED + 1]):
            if number == UNNOTICED:
                service.process.wait_for(NOTICED, within=60)
            answer = client.post("/v1/traces", content=body, headers=headers_of(body))
            if answer.status_code != 200:
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                return number, answer.text
    raise AssertionError("all were accepted, the last one after a sink had noticed that the disk is full")


def said(service: UpOnSmallDisk, what: str) -> re.Match[str]:
    """The first match in its log, which another process writes, and may still be writing."""
    log = service.process.log
    found = eventually(lambda: re.search(what, log.read_text()), within=60, what=f"{what!r} in {log}")
    assert found is not None
    return found


def stored_spans(service: UpOnSmallDisk) -> float:
    return service.metric("spanloom_sink_rows_total", "span-sink", "spans")


@pytest.mark.slow
async def test_what_was_accepted_survives_a_full_disk_and_the_rest_is_refused_with_the_reason(
    running: ExitStack, tmp_path: Path
) -> None:
    traffic = traffic_of(10_000)
    service = start(running, tmp_path)
    bodies = list(traffic.records)
    begun = len(bodies) // 4
    await flood(service.url, bodies[:begun], senders=4)
    eventually(lambda: stored_spans(service) > 0, within=20, what="spans in ClickHouse")
    memory = psutil.Process(service.process.pid).memory_info().rss

    service.fill_disk()
    accepted, reason = send_until_refused(service, bodies[begun:])
    assert re.search(r"(span|rollup)-sink cannot insert: ClickHouse: insert into \w+: .*File too large", reason), reason
    service.process.wait_for(NOTICED, within=60)
    for _ in range(100):  # what is refused is not kept
        assert send_until_refused(service, bodies[begun + accepted :])[0] == 0
    assert psutil.Process(service.process.pid).memory_info().rss - memory < 150 * MEGABYTE
    assert max(service.metric("spanloom_sink_waiting_seconds", sink) for sink in ("span-sink", "rollup-sink")) > 0

    service.free_disk()
    await flood(service.url, bodies[begun + accepted :], senders=4)
    service.process.wait_for("insert works again, after", within=60)

    def all_is_closed() -> bool:
        service.process.check_running()
        added = service.metric("spanloom_windowed_spans_total", "added")
        open_windows = [service.metric("spanloom_open_windows", str(number)) for number in range(4)]
        return added == traffic.spans and not any(open_windows)

    eventually(all_is_closed, within=60, what=f"{traffic.spans} spans in closed windows", every=0.3)
    assert service.process.stop(within=60) == 0
    expected = reference_windows(traffic.groups(), Policy(gap=GAP, allowed_lateness=24 * HOUR))
    turns = chdb_rows(tmp_path / "data", "SELECT * FROM session_turns")
    assert_equal_to_reference(expected, chdb_rows(tmp_path / "data", "SELECT * FROM session_windows"), turns)


@pytest.mark.slow
def test_a_stop_while_the_disk_is_full_says_what_is_lost_and_why(running: ExitStack, tmp_path: Path) -> None:
    service = start(running, tmp_path, SPANLOOM_DRAIN_TIMEOUT="5s")
    service.fill_disk()
    accepted, _ = send_until_refused(service, list(traffic_of(4_000).records))
    assert accepted > 0
    assert service.process.stop(within=30) == 1
    lost = said(service, r"(\d+) records of otlp_spans.* are lost with the embedded broker: (.*)")
    assert int(lost[1]) <= accepted
    assert "File too large" in lost[2]
    assert "Traceback" not in service.process.log.read_text()


def test_a_start_on_a_full_disk_ends_with_a_message(running: ExitStack, tmp_path: Path) -> None:
    service = UpOnSmallDisk(tmp_path, SETTINGS, blocks="0")
    running.enter_context(service.process)
    assert service.process.wait(within=30) in (1, 2)
    said(service, "no folder for temporary files, set TMPDIR to one with space")
    assert "Traceback" not in service.process.log.read_text()
