"""Dead letters of a worker that takes less than its successor: looked at, sent again, counted exactly once."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from services.shared.model.outcome import DeadLetterReason
from tests.support.command import Done, run_in
from tests.support.eventually import eventually
from tests.support.installation import Installation
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import LogRecord, read_all
from tests.support.otlp import request, span, to_protobuf
from tests.support.rollup_log import last_windows

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 2
LIMIT = 4096
AN_OLDER_VERSION = f"""
import os
os.environ["SPANLOOM_COMPILED"] = "off"  # the limit is that of the decoder in Python, and no record must go past it
from services.shared.otlp import unpack
unpack.MAX_BYTES = {LIMIT}
from services.cli.main import main
main()
"""
TOO_LARGE, TRUNCATED = DeadLetterReason.TOO_LARGE.value, DeadLetterReason.TRUNCATED.value
LARGE, HOPELESS, GOOD = 6, 2, 4


@dataclass(frozen=True)
class Sent:
    """A record of the test."""

    session: str
    value: bytes
    key: bytes
    headers: tuple[tuple[str, bytes], ...]


def sent_records(now: int) -> list[Sent]:
    def one(number: int, session: str, text: str, cut: int | None = None) -> Sent:
        said = span(
            trace_id=number,
            span_id=number,
            start=now,
            end=now + 1,
            attributes={"session.id": session, "input.value": text},
        )
        # A sender's own header may have the name of one of ours.
        headers = (("tenant", b"t"), ("reason", b"\xff its own"))
        return Sent(session, to_protobuf(request(said))[:cut], f"key-{number}".encode(), headers)

    large = [one(number, f"large-{number}", "x" * 2 * LIMIT) for number in range(1, LARGE + 1)]
    hopeless = [one(100 + number, "hopeless", "y", -3) for number in range(HOPELESS)]
    return [*large, *hopeless, *(one(200 + number, f"good-{number}", "z") for number in range(GOOD))]


@pytest.fixture
def installation(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Installation]:
    settings = {"topic_partitions": str(PARTITIONS), "checkpoint_interval": "100ms", "snapshot_interval": "0s"}
    with Installation(tmp_path, "dead-letters", kafka.bootstrap, **settings) as installation:
        yield installation


def spans_by_session(installation: Installation) -> Counter[str]:
    found: Counter[str] = Counter()
    for window in last_windows(installation.bootstrap, installation.rollups_topic, PARTITIONS):
        found[window["session_id"]] += window["span_count"]
    return found


def source(installation: Installation) -> list[LogRecord]:
    return read_all(installation.bootstrap, installation.spans_topic, PARTITIONS)


def listed(installation: Installation, *options: str) -> Done:
    done = run_in(installation, "dead-letter", "list", "--json", *options)
    assert done.code == 0, done.errors
    return done


def replayed(installation: Installation, *options: str) -> str:
    """The last line of a replay that does what was asked."""
    done = run_in(installation, "dead-letter", "replay", *options)
    assert done.code == 0, done.output + done.errors
    return done.output.splitlines()[-1]


def test_letters_are_listed_and_sent_again_and_their_spans_count_exactly_once(
    installation: Installation, tmp_path: Path
) -> None:
    records = sent_records(time.time_ns())  # noqa: TID251 - the broker's clock is this one
    older = installation.start("worker", program=(sys.executable, "-c", AN_OLDER_VERSION))
    older.wait_until_ready()
    producer = Producer({"bootstrap.servers": installation.bootstrap, "acks": "all"})
    for number, each in enumerate(records):
        headers: Any = list(each.headers)  # the stubs take no list of these pairs
        producer.produce(installation.spans_topic, each.value, each.key, number % PARTITIONS, headers=headers)
    assert producer.flush(30.0) == 0

    def all_are_judged() -> bool:
        return len(spans_by_session(installation)) == GOOD and len(listed(installation).objects) == LARGE + HOPELESS

    eventually(all_are_judged, within=60.0, what="letters of all that the older version does not take")
    assert older.process.stop(within=20.0) == 0

    letters = listed(installation, "--save", str(tmp_path / "saved")).objects
    assert Counter(letter["reason"] for letter in letters) == {TOO_LARGE: LARGE, TRUNCATED: HOPELESS}
    for letter in letters:
        offset, partition = letter["source_offset"], letter["source_partition"]
        origin = records[offset * PARTITIONS + partition]
        assert letter["source_topic"] == installation.spans_topic
        assert (letter["key"], letter["size"], letter["attempts"]) == (origin.key.decode(), len(origin.value), [])
        assert letter["detail"]
        name = f"{letter['topic']}-{letter['partition']}-{letter['offset']}.bin"
        assert (tmp_path / "saved" / name).read_bytes() == origin.value
    assert len(listed(installation, "--reason", TRUNCATED).objects) == HOPELESS
    assert len(listed(installation, "--limit", "3").objects) == 3
    assert listed(installation, "--until", "1h").objects == listed(installation, "--since", "2100-01-01").objects == []
    assert f"{LARGE + HOPELESS} dead letters" in run_in(installation, "dead-letter", "list").output

    worker = installation.start("worker")
    worker.wait_until_ready()
    before = source(installation)
    assert replayed(installation, "--dry-run", "--reason", TOO_LARGE) == f"{LARGE} letters would be sent"
    assert source(installation) == before
    one = str(letters[0]["letter"])
    assert replayed(installation, "--letter", one) == "1 letters sent"
    assert replayed(installation, "--reason", TOO_LARGE) == f"{LARGE - 1} letters sent, 1 sent before"
    assert replayed(installation, "--reason", TOO_LARGE) == f"0 letters sent, {LARGE} sent before"
    wanted = {each.session: 1 for each in records if each.session != "hopeless"}
    eventually(lambda: spans_by_session(installation) == wanted, within=30.0, what="every span once")
    again = [record for record in source(installation) if record not in before]
    assert len(again) == LARGE
    for record in again:
        (origin,) = [each for each in records if each.key == record.key]
        assert record.value == origin.value
        assert record.headers[:-1] == origin.headers
        assert record.headers[-1][0] == "replayed_from"

    # What fails again says so, and is a letter of its own.
    assert replayed(installation, "--reason", TRUNCATED) == f"{HOPELESS} letters sent"
    failed = eventually(
        lambda: [letter for letter in listed(installation).objects if letter["attempts"]],
        within=30.0,
        what="letters of what fails again",
    )
    assert {letter["reason"] for letter in failed} == {TRUNCATED}
    hopeless = {letter["letter"] for letter in letters if letter["reason"] == TRUNCATED}
    assert {name for letter in failed for name in letter["attempts"]} <= hopeless
    assert spans_by_session(installation) == wanted
