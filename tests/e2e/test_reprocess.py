"""Sessions cut again from the log beside a live pipeline, on Apache Kafka and ClickHouse."""

import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from confluent_kafka.admin import AdminClient

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
    "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open FROM session_windows FINAL WHERE is_deleted = 0"
)


Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Windows and turns."""


def traffic_of(seed: int, *, sessions: int, spans: int, ago: int, length: int) -> Traffic:
    begin = time.time_ns() - ago  # noqa: TID251 - the brokers' clock is this one
    return make_traffic(
        seed=seed, sessions=sessions, spans=spans, begin=begin, length=length, gap=GAP, largest_batch=50
    )


def reference(groups: list[SpanGroup], gap: int) -> list[ReferenceWindow]:
    return reference_windows(groups, Policy(gap=gap, allowed_lateness=LATENESS))


def differences(
    groups: list[SpanGroup], gap: int, windows: list[dict[str, Any]], turns: list[dict[str, Any]]
) -> list[str]:
    return differences_from_reference(reference(groups, gap), windows, turns)


def of_keys(windows: list[dict[str, Any]], turns: list[dict[str, Any]], keys: Collection[SessionKey]) -> Rows:
    chosen = [[row for row in rows if (row["project"], row["session_id"]) in keys] for rows in (windows, turns)]
    return chosen[0], chosen[1]


@pytest.fixture
def installation(
    kafka: ApacheKafka, clickhouse_url: str, clickhouse: ClickHouse, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    settings = {
        "clickhouse_url": clickhouse_url,
        "topic_partitions": str(PARTITIONS),
        "gap": f"{GAP}ns",
        "allowed_lateness": f"{LATENESS}ns",
        "idle_after": "1s",
        "checkpoint_interval": "200ms",
        "sink_flush_interval": "200ms",
        "span_storage": "off",
    }
    with Installation(
        tmp_path, request.node.name.removeprefix("test_")[:20], kafka.bootstrap, **settings
    ) as installation:
        yield installation


class Site:
    def __init__(self, installation: Installation, store: ClickHouse) -> None:
        self.installation, self.store = installation, store

    def wait_until_all_is_closed(self, spans: int) -> None:
        def look() -> bool:
            self.installation.check_running()
            (row,) = self.store.query(DONE)
            return (row["spans"], row["open"]) == (spans, 0)

        eventually(look, within=60.0, what=f"{spans} spans in closed windows", every=0.5)

    def send_slowly(self, records: list[bytes], first: int) -> None:
        """Ten pieces, each when the one before is routed."""
        bootstrap, topic = self.installation.bootstrap, self.installation.spans_topic
        size = -(-len(records) // 10)
        for start in range(0, len(records), size):
            send(bootstrap, topic, records[start : start + size], PARTITIONS, first + start)

            def routed(wanted: int = first + min(start + size, len(records))) -> bool:
                committed = [
                    committed_offset(bootstrap, self.installation.name, topic, n) or 0 for n in range(PARTITIONS)
                ]
                return sum(committed) >= wanted

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

    def differences(self, traffic: Traffic, gap: int, run: str) -> list[str]:
        return differences(traffic.groups(), gap, *self.rows(run))

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
    worker, sink, api = (installation.start(command) for command in ("worker", "sink", "api"))
    for service in (worker, sink, api):
        service.wait_until_ready()
    old = traffic_of(1, sessions=120, spans=2_400, ago=12 * HOUR, length=3 * HOUR)
    send(installation.bootstrap, installation.spans_topic, old.records, PARTITIONS)
    site.wait_until_all_is_closed(old.spans)
    groups = site.groups()

    # The same settings: the same windows.
    same = site.compared("--from", "start", "--run", "same", code=0)
    assert same["differences"] == 0
    # Windows that silence closed are held for corrections from then on.
    assert set(same["left_out"]) <= {"held"}
    held = same["left_out"].get("held", 0)
    assert held <= 5
    assert site.differences(old, GAP, "same") == []

    # Other settings, while spans of some of these sessions come in and are still held at the end.
    new = traffic_of(2, sessions=30, spans=600, ago=80 * MINUTE, length=60 * MINUTE)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(site.send_slowly, new.records, len(old.records))
        site.reprocess("--from", "start", "--run", "other", "--max-rate", "1", gap=f"{OTHER_GAP}ns")
        sending.result(timeout=60.0)
    both = old.groups() + new.groups()
    site.wait_until_all_is_closed(old.spans + new.spans)
    assert differences(both, GAP, *site.rows()) == []
    assert site.groups() == groups
    moving = {group.key for group in new.groups()}
    settled = [group for group in old.groups() if group.key not in moving]
    keys = {group.key for group in settled}
    assert differences(settled, OTHER_GAP, *of_keys(*site.rows("other"), keys)) == []
    other = site.compared("--run", "other", code=DIFFERENCES)
    assert other["differences"] > 0
    assert len(moving) <= sum(other["left_out"].values()) <= len(moving) + held

    # Replaced are the sessions that the live pipeline is done with; the others stay as they are.
    site.reprocess("--run", "other", "--swap")
    assert differences([g for g in both if g.key in moving], GAP, *of_keys(*site.rows(), moving)) == []
    replaced = [group for group in settled if is_cut_with(OTHER_GAP, group, site.rows())]
    left = [group for group in settled if group not in replaced]
    assert len(left) <= held
    assert all(is_cut_with(GAP, group, site.rows()) for group in left)
    assert site.compared("--run", "other", code=0)["differences"] == 0
    group = next(group for group in replaced if not is_cut_with(GAP, group, site.rows()))
    key = group.key
    assert site.windows_by_api(api, key) == len(reference([group], OTHER_GAP))

    # A second time there is nothing to do, and what comes late for a replaced session is a window of its own.
    before = site.rows()
    site.reprocess("--run", "other", "--swap")
    assert site.rows() == before
    late = span(trace_id=7_000, span_id=7, start=T0, end=T0 + 1, attributes={"session.id": key.session_id})
    record = to_protobuf(request(late, resource={"openinference.project.name": key.project}))
    send(installation.bootstrap, installation.spans_topic, [record], PARTITIONS)
    windows_now = site.windows_by_api(api, key) + 1
    eventually(lambda: site.windows_by_api(api, key) == windows_now, within=30.0, what="the late window")
    assert [row for row in site.rows()[0] if row["window_id"] in {old["window_id"] for old in before[0]}] == before[0]

    for run in ("same", "other"):
        site.reprocess("--run", run, "--drop")
    assert "there are: none" in site.reprocess("--run", "other", "--compare", code=2).errors


def test_a_pipeline_that_stands_still_is_not_waited_for_for_ever(
    installation: Installation, clickhouse: ClickHouse
) -> None:
    site = Site(installation, clickhouse)
    worker = installation.start("worker")
    worker.wait_until_ready()
    traffic = traffic_of(3, sessions=5, spans=50, ago=12 * HOUR, length=HOUR)
    send(installation.bootstrap, installation.spans_topic, traffic.records, PARTITIONS)

    done = site.reprocess("--from", "start", "--run", "stands", "--compare", "--patience", "3", code=1)

    assert f"{installation.name}-rollup-sink does not go on" in done.errors
    assert sum(row["span_count"] for row in site.rows("stands")[0]) == traffic.spans


def is_cut_with(gap: int, group: SpanGroup, rows: Rows) -> bool:
    """Whether the session has the windows and turns of the reference model for this gap."""
    return not differences([group], gap, *of_keys(*rows, {group.key}))
