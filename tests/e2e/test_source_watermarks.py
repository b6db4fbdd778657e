"""Time is a minimum over sources: outages of all workers, and a spans topic that gets more partitions.

Event time is made: each record is a minute in the life of every session, so a watermark that runs ahead of one
partition closes windows at once. Nothing here waits for real silence.
"""

import sys
import time

import pytest

from tests.support.eventually import eventually
from tests.support.otlp import HOUR, MINUTE, SECOND, request, span, to_protobuf
from tests.support.worker_group import STAGES, Row, StartGroup, WorkerGroup

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SESSIONS = 20
SOURCE_TIMEOUT = 20  # seconds
SLOW_RECOVERY = (sys.executable, "-m", "tests.support.slow_recovery")


class Minutes:
    """Records, each a minute of every session's life: one span of each. They go to the partitions in turn."""

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
        self.spans = 0

    def send(self, minutes: range, partitions: range) -> None:
        """The minute `m` goes to partition `m` modulo the number of partitions, if that is one of `partitions`."""
        for number in partitions:
            mine = [self._record(minute) for minute in minutes if minute % self.group.partitions == number]
            self.group.send_to(number, mine)
            self.spans += len(mine) * SESSIONS

    def send_nothing_new(self) -> None:
        """In each partition a span of the first moment that names no session: no silence, and no time."""
        for number in range(self.group.partitions):
            self.group.send_to(number, [to_protobuf(request(span(trace_id=998, start=self.begin, end=self.begin)))])

    def send_the_end(self) -> None:
        """In each partition a span of now, so that everything else is over. It names no session."""
        now = time.time_ns()  # noqa: TID251 - the brokers' clock is this one
        for number in range(self.group.partitions):
            self.group.send_to(number, [to_protobuf(request(span(trace_id=999, start=now, end=now)))])

    def _record(self, minute: int) -> bytes:
        at = self.begin + minute * MINUTE
        spans = [
            span(
                trace_id=1_000 * minute + session + 1,
                span_id=1_000 * minute + session + 1,
                start=at,
                end=at + SECOND,
                attributes={"session.id": f"session {session}"},
            )
            for session in range(SESSIONS)
        ]
        return to_protobuf(request(*spans))


def assert_one_window_each_without_late_spans(windows: list[Row]) -> None:
    assert sorted(row["session_id"] for row in windows) == sorted(f"session {number}" for number in range(SESSIONS))
    assert {(row["close_reason"], row["is_late"], row["late_span_count"]) for row in windows} == {("idle", False, 0)}


def assert_nothing_was_closed(group: WorkerGroup) -> None:
    windows, _ = group.published()
    assert windows, "nothing was published yet"
    assert {row["state"] for row in windows} == {"open"}


def test_after_an_outage_longer_than_the_source_timeout_nothing_closes_before_all_partitions_are_read(
    start_group: StartGroup,
) -> None:
    """Two workers stop. The one that is back first must not take the silence of the other's partitions for time."""
    # Nobody is idle while the workers start: `idle_after` cannot be longer than `source_timeout`.
    group = start_group(
        idle_after=f"{SOURCE_TIMEOUT - 1}s",
        source_timeout=f"{SOURCE_TIMEOUT}s",
        kafka_session_timeout="60s",
        snapshot_interval="1s",
    )
    every = range(group.partitions)
    minutes = Minutes(group)
    (first,) = group.start(instance_id="first")
    first.wait_until_ready()
    minutes.send_nothing_new()
    (second,) = group.start(instance_id="second")

    def have_both() -> bool:
        minutes.send_nothing_new()
        return group.are_owned()

    eventually(have_both, within=60.0, what="two owners", every=1.0)
    assert group.owned(first) == group.owned(second) == dict.fromkeys(STAGES, group.partitions // 2)
    minutes.send(range(30), every)
    group.wait_until_routed(group.sent)
    group.stop(first)
    group.stop(second)
    ended = time.monotonic()
    stood_at = group.routed_of_each()
    minutes.send(range(30, 120), every)
    over_at = ended + SOURCE_TIMEOUT + 1
    eventually(lambda: time.monotonic() > over_at, within=2 * SOURCE_TIMEOUT, what="an outage that long")
    # The same partitions as before: the second one is a member all the time, and reads seconds later.
    group.start(instance_id="first")
    group.start(instance_id="second", program=(*SLOW_RECOVERY, "3"))

    def how_many_are_read() -> int:
        return sum(now > before + 20 for now, before in zip(group.routed_of_each(), stood_at, strict=True))

    eventually(lambda: how_many_are_read() >= len(every) // 2, within=60.0, what="two partitions read", every=0.02)
    assert how_many_are_read() < len(every), "both were equally quick"
    assert_nothing_was_closed(group)
    group.wait_until_routed(group.sent)
    assert_nothing_was_closed(group)
    minutes.send_the_end()
    assert_one_window_each_without_late_spans(group.wait_until_closed(minutes.spans))


def test_new_partitions_of_the_spans_topic_are_found_and_hold_time_back_until_they_are_read(
    start_group: StartGroup,
) -> None:
    group = start_group(partitions=2, idle_after="1m", metadata_refresh="2s", snapshot_interval="1s")
    minutes = Minutes(group)
    (worker,) = group.start_ready()
    minutes.send(range(30), range(2))
    group.wait_until_routed(group.sent)
    group.extend(4)
    # From now on spans are in new partitions, too. Nobody reads them until the worker has found them.
    minutes.send(range(30, 36), range(4))
    started = time.monotonic()
    group.wait_until_routed(group.sent)
    found_after = time.monotonic() - started
    assert found_after < 15.0, f"the new partitions were found after {found_after:.1f} s"
    assert group.owned(worker) == {"route": 4, "window": 2}
    # Of the new partitions one is much behind, and one was never written to before.
    minutes.send(range(36, 90), range(3))
    group.wait_until_routed(group.sent)
    assert_nothing_was_closed(group)
    minutes.send(range(36, 90), range(3, 4))
    group.wait_until_routed(group.sent)
    assert_nothing_was_closed(group)
    minutes.send_the_end()
    assert_one_window_each_without_late_spans(group.wait_until_closed(minutes.spans))
