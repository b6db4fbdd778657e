"""`spanloom up`: everything in one process, nothing lost in a flood, the same windows after a stop."""

import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.otlp.decode import decode_request
from services.shared.records.session_spans import SpanGroup
from tests.support.chdb_rows import chdb_rows
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.flood import flood
from tests.support.installation import Installation, Service
from tests.support.otlp import HOUR, MINUTE, SECOND, request, span, to_protobuf
from tests.support.reference import reference_windows
from tests.support.traffic import make_traffic

FLOOD_SPANS = 200_000
GAP = 10 * MINUTE


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path, "embedded", "", checkpoint_interval="200ms", sink_flush_interval="200ms") as made:
        yield made


def start(installation: Installation, **settings: str) -> Service:
    service = installation.start("up", **settings)
    service.wait_until_ready()
    return service


def windows_of(installation: Installation) -> list[dict[str, Any]]:
    """All windows at their last versions; only while nothing runs."""
    return chdb_rows(installation.data_dir, "SELECT * FROM session_windows FINAL WHERE is_deleted = 0")


def wait_for(service: Service, wanted: dict[tuple[str, ...], float], within: float) -> None:
    """Wait until metrics have these values."""

    def look() -> bool:
        service.process.check_running()
        metrics = service.metrics()
        return all(metrics.get(what) == value for what, value in wanted.items())

    try:
        eventually(look, within=within, what=str(wanted), every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.process.tail()}") from None


def added(count: int) -> dict[tuple[str, ...], float]:
    return {("spanloom_windowed_spans_total", "added"): count}


def all_closed() -> dict[tuple[str, ...], float]:
    return {("spanloom_open_windows", str(number)): 0 for number in range(4)}


@pytest.mark.both_paths
@pytest.mark.slow
async def test_a_flood_of_200_000_spans_loses_none(installation: Installation) -> None:
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the process under test has this clock
    traffic = make_traffic(seed=7, sessions=4_000, spans=FLOOD_SPANS, begin=begin, length=3 * HOUR, gap=GAP)
    service = start(
        installation,
        gap=f"{GAP}ns",
        allowed_lateness="24h",
        idle_after="2s",
        out_of_orderness="1s",
    )
    result = await flood(service.url, traffic.records, senders=16)
    assert result.refused > 0, "the flood was none: the gateway never had to refuse"
    wait_for(service, added(traffic.spans) | all_closed(), within=120.0)
    assert service.process.stop(within=60.0) == 0
    expected = reference_windows(traffic.groups(), Policy(gap=GAP, allowed_lateness=24 * HOUR))
    turns = chdb_rows(installation.data_dir, "SELECT * FROM session_turns")
    assert_equal_to_reference(expected, chdb_rows(installation.data_dir, "SELECT * FROM session_windows"), turns)
    stored = chdb_rows(installation.data_dir, "SELECT uniqExact(trace_id, span_id) AS spans FROM spans")
    assert stored == [{"spans": len(identities(traffic.records))}]


def identities(records: Sequence[bytes]) -> set[tuple[bytes, bytes]]:
    """Every span of these records, those of no session included."""
    requests = [decode_request(record) for record in records]
    return {
        (found.trace_id, found.span_id)
        for decoded in requests
        if isinstance(decoded, TracesData)
        for resource in decoded.resource_spans
        for scope in resource.scope_spans
        for found in scope.spans
    }


class Conversations:
    """Sessions of two turns each, ten seconds apart: one sent before a stop, one after."""

    def __init__(self, count: int) -> None:
        self.begin = time.time_ns()  # noqa: TID251 - the process under test has this clock
        self.count = count

    def turn(self, number: int) -> list[SpanFacts]:
        """One span of each session."""
        start = self.begin + number * 10 * SECOND
        return [
            SpanFacts(
                trace_id=(1 + session + number * self.count).to_bytes(16, "big"),
                span_id=(1 + session).to_bytes(8, "big"),
                parent_id=b"",
                start=start,
                end=start + SECOND,
                name="turn",
            )
            for session in range(self.count)
        ]

    def body(self, number: int) -> bytes:
        spans = [
            span(
                trace_id=facts.trace_id,
                span_id=facts.span_id,
                start=facts.start,
                end=facts.end,
                name=facts.name,
                attributes={"session.id": f"s-{session}"},
            )
            for session, facts in enumerate(self.turn(number))
        ]
        return to_protobuf(request(*spans))

    def groups(self, numbers: Sequence[int]) -> list[SpanGroup]:
        sessions = zip(*(self.turn(number) for number in numbers), strict=True)
        return [SpanGroup(SessionKey("default", f"s-{n}"), 0, tuple(spans)) for n, spans in enumerate(sessions)]


async def test_windows_that_are_open_at_a_stop_go_on_after_it(installation: Installation) -> None:
    talks = Conversations(50)
    policy = {"gap": "15s", "out_of_orderness": "1s", "idle_after": "1s", "snapshot_interval": "0s"}
    first = start(installation, **policy)
    await flood(first.url, [talks.body(0)], senders=1)
    wait_for(first, added(50), within=20.0)
    assert first.process.stop(within=30.0) == 0
    before = {row["session_id"]: row["window_id"] for row in windows_of(installation)}
    assert len(before) == 50
    second = start(installation, **policy)
    await flood(second.url, [talks.body(1)], senders=1)
    wait_for(second, added(50) | all_closed(), within=60.0)
    assert second.process.stop(within=30.0) == 0
    after = windows_of(installation)
    assert {row["session_id"]: row["window_id"] for row in after} == before
    expected = reference_windows(talks.groups([0, 1]), Policy(gap=15 * SECOND, allowed_lateness=HOUR))
    assert_equal_to_reference(expected, after, chdb_rows(installation.data_dir, "SELECT * FROM session_turns"))


async def test_a_start_that_fails_or_is_stopped_at_once_loses_no_open_session(installation: Installation) -> None:
    talks = Conversations(10)
    first = start(installation, snapshot_interval="0s")
    await flood(first.url, [talks.body(0)], senders=1)
    wait_for(first, added(10), within=20.0)
    assert first.process.stop(within=30.0) == 0
    before = {row["session_id"]: row["window_id"] for row in windows_of(installation)}

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failing = installation.start("up", port=str(taken.getsockname()[1]))
        assert failing.process.wait(within=30.0) == 2, failing.process.tail()
    hurried = installation.start("up")
    hurried.process.wait_for("listening", within=30.0)
    assert hurried.process.stop(within=30.0) == 0, hurried.process.tail()

    last = start(installation, snapshot_interval="0s")
    await flood(last.url, [talks.body(1)], senders=1)
    wait_for(last, added(10), within=20.0)
    assert last.process.stop(within=30.0) == 0
    rows = windows_of(installation)
    assert {row["session_id"]: row["window_id"] for row in rows} == before
    assert {row["span_count"] for row in rows} == {2}


async def test_windows_that_were_open_at_a_kill_are_closed_as_interrupted_at_the_next_start(
    installation: Installation,
) -> None:
    talks = Conversations(20)
    first = start(installation, snapshot_interval="0s")
    await flood(first.url, [talks.body(0)], senders=1)
    stored: dict[tuple[str, ...], float] = {("spanloom_sink_rows_total", "rollup-sink", "session_windows"): 20}
    wait_for(first, stored, within=20.0)
    first.process.kill()
    second = start(installation, snapshot_interval="0s")
    await flood(second.url, [talks.body(1)], senders=1)
    wait_for(second, added(20), within=20.0)
    assert second.process.stop(within=30.0) == 0
    rows = windows_of(installation)
    interrupted = [row for row in rows if row["close_reason"] == "interrupted"]
    others = [row for row in rows if row["close_reason"] != "interrupted"]
    assert {row["session_id"] for row in interrupted} == {f"s-{n}" for n in range(20)}
    assert {(row["state"], row["span_count"]) for row in interrupted} == {("closed", 1)}
    assert {row["session_id"]: row["span_count"] for row in others} == {f"s-{n}": 1 for n in range(20)}
    assert {row["version"] >> 48 for row in rows} == {2}, "the second start is the second epoch"
