"""Session ids on one span of each trace only, on Apache Kafka: what is published is what the reference model says."""

import time

import pytest

from tests.support.otlp import HOUR
from tests.support.scattered import scattered_traffic
from tests.support.worker_group import POLICY, StartGroup, in_parts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_one_id_a_trace_is_enough_whatever_its_place_through_kills_of_three_workers(start_group: StartGroup) -> None:
    """The spans of each trace lie in other records and partitions; a worker is killed while they wait, twice."""
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    traffic = scattered_traffic(
        seed=5, sessions=200, session_spans=20, begin=begin, length=3 * HOUR, gap=POLICY.gap, record_spans=20
    )
    group = start_group(partitions=4)
    group.start_ready(3)
    parts = in_parts(traffic.records, 3)
    for part in parts[:2]:
        group.send(part)
        group.wait_until_routed(group.sent - len(part) // 2)
        group.kill(group.workers[0])
        group.start()
    group.send(parts[2])
    group.assert_exact(traffic, POLICY)
    resolved = sum(worker.metric("spanloom_resolved_spans_total", "resolved") for worker in group.workers)
    assert resolved > traffic.spans // 10, "hardly a span waited for another record"
    assert sum(worker.metric("spanloom_restored_entries_total", "resolve") for worker in group.workers) > 0
