"""Sessions cut again from the log beside a live pipeline, on Apache Kafka and ClickHouse."""

import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from services.reprocess.main import DIFFERENCES
from services.sessionizer.engine.policy import Policy
from services.shared.clickhouse import ClickHouse
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import SpanGroup
from tests.support.command import Done, run_in
from tests.support.comparison import differences_from_reference
from tests.support.eventually import eventually
from tests.support.installation import Installation, Service, send
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import committed_offset
from tests.support.otlp import HOUR, MINUTE, T0, request, span, to_protobuf
from tests.support.reference import ReferenceWindow, reference_windows
from tests.support.traffic import Traffic, make_traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 3
GAP, OTHER_GAP = 10 * MINUTE, 2 * MINUTE
LATENESS = 2 * HOUR
DONE = (
    "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open FROM session_windows FINAL"
    " WHERE is_deleted = 0 AND project != 'clock'"
)


Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Windows and turns."""


def traffic_of(seed: int, *, sessions: int, spans: int, begin: int, length: int) -> Traffic:
    return make_traffic(
        seed=seed, sessions=sessions, spans=spans, begin=begin, length=length, gap=GAP, largest_batch=50
    )


def reference(groups: list[SpanGroup], gap: int) -> list[ReferenceWindow]:
    return reference_windows(groups, Policy(gap=gap, allowed_lateness=LATENESS))


def differences(groups: list[SpanGroup], gap: int, rows: Rows) -> list[str]:
    """From the reference model; sessions of project `clock` are not looked at."""
    windows, turns = ([row for row in of if row["project"] != "clock"] for of in rows)
    return differences_from_reference(reference(groups, gap), windows, turns)


def of_keys(rows: Rows, keys: Collection[SessionKey]) -> Rows:
    windows, turns = ([row for row in of if (row["project"], row["session_id"]) in keys] for of in rows)
    return windows, turns


@pytest.fixture
def installation(
    kafka: ApacheKafka, clickhouse_url: str, clickhouse: ClickHouse, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    settings = {
        "clickhouse_url": clickhouse_url,
        "topic_partitions": str(PARTITIONS),
        "gap": f"{GAP}ns",
        "allowed_lateness": f"{LATENESS}ns",
        "idle_after": "5m",
        "checkpoint_interval": "200ms",
        "sink_flush_interval": "200ms",
        "span_storage": "off",
    }
    with Installation(
        tmp_path, request.node.name.removeprefix("test_")[:20], kafka.bootstrap, **settings
    ) as installation:
        yield installation


class Site:
    """`begin` is when its event time begins (ns): twelve hours ago. Nothing but records lets time go on."""

    def __init__(self, installation: Installation, store: ClickHouse) -> None:
        self.installation, self.store = installation, store
        self.begin = time.time_ns() - 12 * HOUR  # noqa: TID251 - the brokers' clock is this one
        self._sent = 0

    def start(self, *commands: str) -> list[Service]:
        services = [self.installation.start(command) for command in commands]
        for service in services:
            service.wait_until_ready()
        return services

    def send(self, records: list[bytes]) -> None:
        send(self.installation.bootstrap, self.installation.spans_topic, records, PARTITIONS, self._sent)
        self._sent += len(records)

    def take_times_of_senders(self) -> None:
        resource = ConfigResource(ResourceType.TOPIC, self.installation.spans_topic)
        name, value = "message.timestamp.type", "CreateTime"
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        admin = AdminClient({"bootstrap.servers": self.installation.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(30.0)

    def send_at(self, timestamp: int, records: list[bytes]) -> None:
        producer = Producer({"bootstrap.servers": self.installation.bootstrap, "acks": "all", "log_level": 2})
        for number, value in enumerate(records, self._sent):
            milliseconds = (self.begin + timestamp) // 10**6
            producer.produce(
                self.installation.spans_topic, value, partition=number % PARTITIONS, timestamp=milliseconds
            )
        assert producer.flush(30.0) == 0
        self._sent += len(records)

    def let_time_pass(self, until: int) -> None:
        """In every source, by a span of a session of its own that ends then (ns from the beginning)."""
        for _ in range(PARTITIONS):
            end, number = self.begin + until, self._sent % PARTITIONS
            tick = span(
                trace_id=9_000 + self._sent, span_id=1, start=end, end=end, attributes={"session.id": str(number)}
            )
            self.send([to_protobuf(request(tick, resource={"openinference.project.name": "clock"}))])

    def wait_until_all_is_closed(self, spans: int) -> None:
        def look() -> bool:
            self.installation.check_running()
            (row,) = self.store.query(DONE)
            return (row["spans"], row["open"]) == (spans, 0)

        eventually(look, within=60.0, what=f"{spans} spans in closed windows", every=0.5)

    def wait_until_nothing_is_held(self, worker: Service) -> None:
        """But two windows of each session of the clock."""

        def look() -> bool:
            held = [worker.metric("spanloom_held_windows", str(number)) for number in range(PARTITIONS)]
            return sum(held) == 2 * PARTITIONS

        eventually(look, within=60.0, what="windows expire")

    def send_slowly(self, records: list[bytes]) -> None:
        """Ten pieces, each when the one before is routed."""
        bootstrap, topic, app = self.installation.bootstrap, self.installation.spans_topic, self.installation.name
        size = -(-len(records) // 10)
        for start in range(0, len(records), size):
            self.send(records[start : start + size])

            def routed() -> bool:
                return sum(committed_offset(bootstrap, app, topic, n) or 0 for n in range(PARTITIONS)) >= self._sent

            eventually(routed, within=30.0, what="a piece routed")

    def groups(self) -> set[str]:
        """Every group that ever joined or committed for these topics."""
        admin = AdminClient({"bootstrap.servers": self.installation.bootstrap})
        listed = admin.list_consumer_groups(request_timeout=30.0).result()
        return {group.group_id for group in listed.valid if group.group_id.startswith(self.installation.name)}

    def rows(self, run: str = "") -> Rows:
        shadow = f"_reprocess_{run}" if run else ""
        windows, turns = (
            self.store.query(f"SELECT * FROM {table}{shadow} FINAL WHERE is_deleted = 0 ORDER BY ALL")
            for table in ("session_windows", "session_turns")
        )
        return windows, turns

    def rows_of_senders(self) -> Rows:
        """Without those that let time pass."""
        windows, turns = ([row for row in of if row["project"] != "clock"] for of in self.rows())
        return windows, turns

    def windows_by_api(self, api: Service, key: SessionKey) -> int:
        status, body = api.get(
            f"/v1/sessions/{quote(key.session_id, safe='')}/summary?project_identifier={key.project}"
        )
        assert status == 200, body
        return len(orjson.loads(body)["data"]["windows"])

    def reprocess(self, *arguments: str, code: int = 0, **settings: str) -> Done:
        done = run_in(self.installation, "reprocess", *arguments, **settings)
        assert done.code == code, done.output + done.errors
        return done

    def compared(self, *arguments: str, code: int, **settings: str) -> dict[str, Any]:
        compared: dict[str, Any] = orjson.loads(
            self.reprocess(*arguments, "--compare", "--json", code=code, **settings).output
        )
        return compared


def test_sessions_are_cut_again_compared_and_replaced_beside_the_live_pipeline(
    installation: Installation, clickhouse: ClickHouse
) -> None:
    site = Site(installation, clickhouse)
    worker, _, api = site.start("worker", "sink", "api")
    old = traffic_of(1, sessions=120, spans=2_400, begin=site.begin, length=3 * HOUR)
    site.send(old.records)
    site.let_time_pass(3 * HOUR + 2 * GAP)
    site.wait_until_all_is_closed(old.spans)
    site.let_time_pass(3 * HOUR + 4 * GAP + LATENESS)
    site.wait_until_nothing_is_held(worker)
    groups = site.groups()

    # The same settings: the same windows.
    same = site.compared("--from", "start", "--run", "same", code=0)
    assert same["differences"] == 0
    assert same["left_out"].keys() <= {"open", "held"}
    assert sum(same["left_out"].values()) == PARTITIONS  # those that let time pass
    totals = [project["before"]["span_count"] for name, project in same["projects"].items() if name != "clock"]
    assert sum(totals) == old.spans
    assert differences(old.groups(), GAP, site.rows("same")) == []

    # Other settings, while more spans come in, for some of these sessions, too.
    new = traffic_of(2, sessions=30, spans=600, begin=site.begin + 6 * HOUR, length=HOUR)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(site.send_slowly, new.records)
        site.reprocess("--from", "start", "--run", "other", "--max-rate", "1", gap=f"{OTHER_GAP}ns")
        sending.result(timeout=60.0)
    site.let_time_pass(7 * HOUR + 2 * GAP)
    site.wait_until_all_is_closed(old.spans + new.spans)
    both = old.groups() + new.groups()
    assert differences(both, GAP, site.rows()) == []
    assert site.groups() == groups
    moving = {group.key for group in new.groups()}
    settled = [group for group in old.groups() if group.key not in moving]
    keys = {group.key for group in settled}
    assert differences(settled, OTHER_GAP, of_keys(site.rows("other"), keys)) == []
    other = site.compared("--run", "other", code=DIFFERENCES)
    assert other["differences"] > 0
    assert sum(other["left_out"].values()) == len(moving) + PARTITIONS

    # Replaced are the sessions that the live pipeline is done with; the others stay as they are.
    site.reprocess("--run", "other", "--swap")
    assert differences(settled, OTHER_GAP, of_keys(site.rows(), keys)) == []
    assert differences([g for g in both if g.key in moving], GAP, of_keys(site.rows(), moving)) == []
    assert site.compared("--run", "other", code=0)["differences"] == 0
    group = next(g for g in settled if len(reference([g], OTHER_GAP)) > len(reference([g], GAP)))
    key, windows = group.key, len(reference([group], OTHER_GAP))
    assert site.windows_by_api(api, key) == windows

    # A second time there is nothing to do, and what comes late for a replaced session is a window of its own.
    before = site.rows()
    site.reprocess("--run", "other", "--swap")
    assert site.rows() == before
    late = span(trace_id=7_000, span_id=7, start=T0, end=T0 + 1, attributes={"session.id": key.session_id})
    site.send([to_protobuf(request(late, resource={"openinference.project.name": key.project}))])
    eventually(lambda: site.windows_by_api(api, key) == windows + 1, within=30.0, what="the late window")
    known = {row["window_id"] for row in before[0]}
    assert [row for row in site.rows()[0] if row["window_id"] in known] == before[0]

    site.reprocess("--run", "other", "--drop")
    assert "there are: same" in site.reprocess("--run", "other", "--compare", code=2).errors


def test_from_a_time_or_from_offsets_what_is_complete_from_there_is_replaced_and_nothing_before(
    installation: Installation, clickhouse: ClickHouse
) -> None:
    site = Site(installation, clickhouse)
    worker, _ = site.start("worker", "sink")
    site.take_times_of_senders()
    old = traffic_of(4, sessions=40, spans=800, begin=site.begin, length=2 * HOUR)
    new = traffic_of(5, sessions=40, spans=600, begin=site.begin + 7 * HOUR, length=2 * HOUR)
    site.send_at(3 * HOUR, old.records)
    site.send_at(10 * HOUR, new.records)
    site.let_time_pass(9 * HOUR + 2 * GAP)
    site.wait_until_all_is_closed(old.spans + new.spans)
    site.let_time_pass(9 * HOUR + 4 * GAP + LATENESS)
    site.wait_until_nothing_is_held(worker)
    before = reference(old.groups(), GAP)
    at = datetime.fromtimestamp((site.begin + 4 * HOUR) / 10**9, UTC).isoformat()
    site.reprocess("--from", at, "--run", "time", "--swap", gap=f"{OTHER_GAP}ns")
    assert differences(new.groups(), OTHER_GAP, site.rows("time")) == []
    cut_anew = before + reference(new.groups(), OTHER_GAP)
    assert differences_from_reference(cut_anew, *site.rows_of_senders()) == []

    # What came before the first record that is read came no later: windows that start after it are complete.
    ends = [len(range(number, len(old.records), PARTITIONS)) for number in range(PARTITIONS)]
    for run, first, gap in (("without", 0, OTHER_GAP), ("with_last", -1, GAP)):
        offsets = ",".join(f"{number}@{end + first}" for number, end in enumerate(ends))
        site.reprocess("--from", offsets, "--run", run, "--swap")
        now = before + reference(new.groups(), gap)
        assert differences_from_reference(now, *site.rows_of_senders()) == []
    assert differences(new.groups(), GAP, site.rows("without")) == []
    assert "there is no partition 7; there are 3" in site.reprocess("--from", "7@0", code=2).errors
    assert "partition 0 has offsets from 0 to" in site.reprocess("--from", "0@100000", code=2).errors


def test_a_pipeline_that_stands_still_is_not_waited_for_for_ever(
    installation: Installation, clickhouse: ClickHouse
) -> None:
    site = Site(installation, clickhouse)
    site.start("worker")
    traffic = traffic_of(3, sessions=5, spans=50, begin=site.begin, length=HOUR)
    site.send(traffic.records)

    done = site.reprocess("--from", "start", "--run", "stands", "--compare", "--patience", "3", code=1)

    assert f"{installation.name}-rollup-sink does not go on" in done.errors
    assert sum(row["span_count"] for row in site.rows("stands")[0]) == traffic.spans
