"""Bad input through the whole pipeline, between good spans: nothing stops, nothing else is lost, all is counted."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.shared.model.outcome import DropReason
from tests.support.bad_input import BadRecord, bad_records
from tests.support.eventually import NotInTimeError, eventually
from tests.support.installation import Installation, Service, send
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import LogRecord, read_all
from tests.support.otlp import request, span, to_protobuf
from tests.support.rollup_log import last_windows

pytestmark = pytest.mark.kafka

PARTITIONS = 2


@pytest.fixture
def installation(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Installation]:
    settings = {"topic_partitions": str(PARTITIONS), "checkpoint_interval": "100ms", "snapshot_interval": "0s"}
    with Installation(tmp_path, "bad-input", kafka.bootstrap, **settings) as installation:
        yield installation


def good_record(number: int, now: int) -> bytes:
    good = span(trace_id=number, span_id=number, start=now, end=now + 1, attributes={"session.id": f"good-{number}"})
    return to_protobuf(request(good))


def test_bad_records_between_good_ones_are_counted_and_dead_lettered_and_lose_nothing_else(
    installation: Installation,
) -> None:
    now = time.time_ns()  # noqa: TID251 - the broker's clock is this one
    bad = bad_records(now)
    values = [value for number, record in enumerate(bad, 1) for value in (good_record(number, now), record.value)]
    worker = installation.start("worker")
    worker.wait_until_ready()
    send(installation.bootstrap, installation.spans_topic, values, PARTITIONS)
    wanted = {f"good-{number}": 1 for number in range(1, len(bad) + 1)}
    wanted |= {record.name: record.survivors for record in bad if record.dead_letter is None}
    found: Counter[str] = Counter()

    def look() -> bool:
        worker.process.check_running()
        found.clear()
        for window in last_windows(installation.bootstrap, installation.rollups_topic, PARTITIONS):
            found[window["session_id"]] += window["span_count"]  # 1970 is a window of its own
        return found == wanted

    with suppress(NotInTimeError):  # the comparison says more
        eventually(look, within=30.0, what="every good span in its session", every=0.5)
    assert found == wanted
    _assert_counted(worker, bad)
    _assert_dead_lettered(installation, bad, values)


def _assert_counted(worker: Service, bad: list[BadRecord]) -> None:
    wanted: Counter[tuple[str, str]] = Counter()
    for record in bad:
        wanted.update(record.counts)
    # A span of another record could yet name the session of their traces.
    wanted["spanloom_spans_total", "waiting"] = wanted.pop(("spanloom_spans_total", DropReason.NO_SESSION_ID.value))
    wanted["spanloom_records_total", "decoded"] = len(bad) + sum(record.dead_letter is None for record in bad)
    metrics = worker.metrics()
    found = Counter({what: int(metrics.get(what, 0)) for what in wanted})
    assert found == wanted


def _assert_dead_lettered(installation: Installation, bad: list[BadRecord], values: list[bytes]) -> None:
    letters = read_all(installation.bootstrap, f"{installation.spans_topic}.dead-letter", PARTITIONS)
    undecodable = [record for record in bad if record.dead_letter is not None]
    assert Counter(letter.value for letter in letters) == Counter(record.value for record in undecodable)
    reasons = {record.value: record.dead_letter for record in undecodable}
    for letter in letters:
        _assert_tells_its_story(letter, installation.spans_topic, values, str(reasons[letter.value or b""]))


def _assert_tells_its_story(letter: LogRecord, topic: str, values: list[bytes], reason: str) -> None:
    story = {name: text.decode() for name, text in letter.headers}
    # Records went to the partitions in turn.
    offset, partition = divmod(values.index(letter.value or b""), PARTITIONS)
    assert story["reason"] == reason
    assert story["detail"]
    assert (story["source_topic"], story["source_partition"]) == (topic, str(partition))
    assert int(story["source_offset"]) == offset
    assert story["service_version"]
