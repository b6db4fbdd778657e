"""SIGTERM on real processes: work in hand is committed and the group is left, within a time that is always bounded."""

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request

import pytest
from confluent_kafka.admin import AdminClient

from services.shared.clickhouse import ClickHouse
from tests.e2e.figures import FIGURES
from tests.support.eventually import eventually
from tests.support.installation import Installation, Service, get
from tests.support.kafka.apache import ApacheKafka
from tests.support.otlp import HOUR, request, span, to_protobuf
from tests.support.stored_sessions import are_closed, assert_exact
from tests.support.traffic import make_traffic
from tests.support.worker_group import POLICY, StartGroup, in_parts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PROMPT = 10.0  # seconds that a stop may take while everything answers
DRAIN_TIMEOUT = 4.0  # seconds
AT_ONCE = 2.0  # seconds, on a machine that does other things
COMMANDS = ("worker", "sink", "gateway")


def members(bootstrap: str, group: str) -> int:
    """How many members a group has."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (answer,) = admin.describe_consumer_groups([group]).values()
    return len(answer.result(30.0).members)


def test_worker_and_sink_commit_what_they_have_in_hand_and_leave_their_groups(
    start_group: StartGroup, clickhouse_url: str, clickhouse: ClickHouse
) -> None:
    """Both stop in the middle of work, and others go on where they stood, without waiting for a session to time out."""
    begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the brokers' clock is this one
    traffic = make_traffic(seed=5, sessions=150, spans=3_000, begin=begin, length=3 * HOUR, gap=POLICY.gap)
    group = start_group(clickhouse_url=clickhouse_url, span_storage="off", kafka_session_timeout="60s")
    (worker,) = group.start_ready()
    sink = group.installation.start("sink")
    sink.wait_until_ready()
    before, after = in_parts(traffic.records, 2)
    group.send(before)
    group.wait_until_routed(group.sent // 2)
    began = time.monotonic()
    group.stop(worker, within=PROMPT)
    FIGURES.append(f"SIGTERM of a worker at work: ended after {time.monotonic() - began:.2f} s")
    began = time.monotonic()
    assert sink.process.stop(within=PROMPT) == 0
    FIGURES.append(f"SIGTERM of a sink at work: ended after {time.monotonic() - began:.2f} s")
    for name in (group.installation.name, f"{group.installation.name}-rollup-sink"):
        assert members(group.installation.bootstrap, name) == 0, f"{name} still has members"
    (worker,) = group.start()
    group.installation.start("sink")
    group.send(after)
    group.wait_until_closed(traffic.spans)
    eventually(lambda: are_closed(clickhouse, traffic.spans), within=30.0, what="every span in ClickHouse")
    assert_exact(clickhouse, traffic, POLICY)


def post_one_span(gateway: Service) -> tuple[int, bytes]:
    body = to_protobuf(request(span(attributes={"session.id": "a"})))
    return get(Request(f"{gateway.url}/v1/traces", body, {"content-type": "application/x-protobuf"}))


def test_a_stop_is_bounded_without_a_broker_and_a_second_signal_ends_at_once(
    own_kafka: ApacheKafka, clickhouse_url: str, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    """The broker stands still, so nothing can be committed and no group can be left."""
    del clickhouse  # migrated
    with (
        Installation(tmp_path, "stops", own_kafka.bootstrap, clickhouse_url=clickhouse_url) as installation,
        ThreadPoolExecutor() as pool,
    ):
        first_worker = installation.start("worker", drain_timeout=f"{DRAIN_TIMEOUT}s")
        first_worker.wait_until_ready()  # it has made the topics
        bounded = [first_worker, *(installation.start(c, drain_timeout=f"{DRAIN_TIMEOUT}s") for c in COMMANDS[1:])]
        patient = [installation.start(command, drain_timeout="10m") for command in COMMANDS]
        for service in (*bounded, *patient):
            service.wait_until_ready()
            service.process.may_end = True
        own_kafka.process.signal(signal.SIGSTOP)
        # A gateway drains the requests that it has.
        answers: list[Future[tuple[int, bytes]]] = [pool.submit(post_one_span, each[-1]) for each in (bounded, patient)]
        for service in (*bounded, *patient):
            service.process.signal(signal.SIGTERM)
            service.process.wait_for("a second signal ends at once", within=60.0)
        for service in patient:
            service.process.check_running()
            began = time.monotonic()
            service.process.signal(signal.SIGTERM)
            assert service.process.wait(within=AT_ONCE) == 130, service.process.tail()
            FIGURES.append(f"second SIGTERM of a {service.name}: ended after {time.monotonic() - began:.2f} s")
        for service in bounded:
            status = service.process.wait(within=DRAIN_TIMEOUT + AT_ONCE)
            # What has nothing to say to the broker may still end cleanly.
            assert status == 0 or "SPANLOOM_DRAIN_TIMEOUT" in service.process.log.read_text(), service.process.tail()
        assert bounded[0].process.status == 1, "a worker cannot have left without a broker"
        assert {answer.result()[0] for answer in answers} <= {0, 503}
