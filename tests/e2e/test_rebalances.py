"""Workers that join, leave, stop, stand still and come back, on Apache Kafka: what is published stays exact."""

import signal
import sys
import time

import pytest

from tests.e2e.figures import FIGURES
from tests.support.otlp import HOUR
from tests.support.traffic import Traffic, make_traffic
from tests.support.worker_group import POLICY, StartGroup, in_parts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NOTHING = {"route": 0, "window": 0}
FENCED = "a newer owner has taken over"
SLOW_RECOVERY = (sys.executable, "-m", "tests.support.slow_recovery")


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Three hours that ended three hours ago, so that every window is over as soon as all is read."""
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    return make_traffic(
        seed=4, sessions=300, spans=6_000, begin=begin, length=3 * HOUR, gap=POLICY.gap, largest_batch=25
    )


def test_more_workers_than_partitions_and_rebalances_one_right_after_the_other_change_nothing(
    start_group: StartGroup, traffic: Traffic
) -> None:
    group = start_group(partitions=2, kafka_session_timeout="6s")
    (first,) = group.start_ready()
    parts = in_parts(traffic.records, 3)
    group.send(parts[0])
    group.wait_until_routed(len(parts[0]) // 2)
    # Nobody waits for a rebalance to end: each of these joins while the others still load.
    second, *_ = group.start(3)
    group.send(parts[1])
    second.wait_until_ready()
    group.stop(first)
    group.wait_until_owned()
    idle = [worker for worker in group.workers if group.owned(worker) == NOTHING]
    assert idle, "three workers cannot all have one of two partitions"
    group.kill(next(worker for worker in group.workers if worker not in idle))
    killed = time.monotonic()
    group.send(parts[2])
    group.wait_until_routed(group.sent)
    FIGURES.append(f"SIGKILL, session timeout 6 s: all is read again after {time.monotonic() - killed:.1f} s")
    group.assert_exact(traffic, POLICY)


def test_a_rebalance_during_recovery_changes_nothing(start_group: StartGroup, traffic: Traffic) -> None:
    group = start_group()
    (first,) = group.start_ready()
    before, after = in_parts(traffic.records, 2)
    group.send(before)
    group.wait_until_routed(group.sent)
    (slow,) = group.start(program=(*SLOW_RECOVERY, "15"))  # longer than a process takes to start on a busy machine
    slow.process.wait_for("recovery takes its time", within=30.0)
    group.send(after)
    # It joins, and the first one leaves, while the slow one still reads.
    (third,) = group.start()
    group.stop(first)
    third.wait_until_ready()
    group.wait_until_owned()
    assert group.rebalances(slow) > 1, "the rebalance came too late"
    group.assert_exact(traffic, POLICY)


def test_a_worker_stopped_during_recovery_leaves_at_once(start_group: StartGroup, traffic: Traffic) -> None:
    group = start_group()
    (first,) = group.start_ready()
    group.send(traffic.records)
    group.wait_until_routed(group.sent)
    group.stop(first)
    (slow,) = group.start(program=(*SLOW_RECOVERY, "120"))
    slow.process.wait_for("recovery takes its time", within=60.0)
    group.stop(slow, within=60.0)
    group.start_ready()
    group.assert_exact(traffic, POLICY)


def test_a_static_member_that_is_back_in_time_moves_nothing(start_group: StartGroup, traffic: Traffic) -> None:
    """A rolling restart of workers with names, under load: nobody else stops for a moment."""
    group = start_group(kafka_session_timeout="30s")
    names = ("a", "b")
    members = {name: group.start(instance_id=name)[0] for name in names}
    group.wait_until_owned()
    owned = {name: group.owned(member) for name, member in members.items()}
    parts = in_parts(traffic.records, len(names))
    before = {name: group.rebalances(member) for name, member in members.items()}
    for name, part in zip(names, parts, strict=True):
        group.send(part)
        began = time.monotonic()
        group.stop(members[name])
        stopped = time.monotonic()
        (members[name],) = group.start_ready(instance_id=name)
        back = time.monotonic() - stopped
        FIGURES.append(
            f"restart of a static member: stopped in {stopped - began:.1f} s, works again {back:.1f} s later"
        )
        before[name] = 1
        assert group.owned(members[name]) == owned[name]
        assert {name: group.rebalances(member) for name, member in members.items()} == before
    group.assert_exact(traffic, POLICY)


def test_of_two_processes_with_one_static_id_the_older_ends_and_nothing_counts_twice(
    start_group: StartGroup, traffic: Traffic
) -> None:
    group = start_group()
    (older,) = group.start_ready(instance_id="same")
    before, after = in_parts(traffic.records, 2)
    group.send(before)
    group.wait_until_routed(group.sent // 2)
    older.process.may_end = True
    group.workers.remove(older)
    group.start(instance_id="same")
    group.send(after)
    assert older.process.wait(within=90.0) == 1
    log = older.process.log.read_text()
    assert FENCED in log or "the membership ended" in log, older.process.tail()
    assert "Traceback" not in log
    group.wait_until_owned()
    group.assert_exact(traffic, POLICY)


def test_a_worker_paused_longer_than_its_session_is_fenced_and_says_why_it_ends(
    start_group: StartGroup, traffic: Traffic
) -> None:
    group = start_group(kafka_session_timeout="3s")
    paused, _ = group.start_ready(2)
    before, after = in_parts(traffic.records, 2)
    group.send(before)
    group.wait_until_routed(group.sent // 3)
    paused.process.signal(signal.SIGSTOP)
    paused.process.may_end = True
    group.workers.remove(paused)
    group.send(after)
    group.wait_until_owned()
    paused.process.signal(signal.SIGCONT)
    assert paused.process.wait(within=30.0) == 1
    assert FENCED in paused.process.log.read_text(), paused.process.tail()
    group.assert_exact(traffic, POLICY)
