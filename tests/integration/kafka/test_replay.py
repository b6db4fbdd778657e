"""Letters sent again on Apache Kafka: each once, whatever ends a run, and what cannot be sent is told."""

import asyncio
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer

from services.dead_letters import main as replaying
from services.dead_letters.main import replay_letters
from services.dead_letters.resender import Resender, Shipment
from services.dead_letters.selection import Selection
from services.shared.errors import PermanentError, TransientError
from services.shared.kafka_topics import TopicSpec, dead_letter_topic, ensure_topics, topic_specs, unstored_topic
from services.shared.settings import Settings
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import read_all

pytestmark = pytest.mark.kafka

Headers = list[tuple[str, bytes]]


class Site:
    """An installation's topics with letters in them."""

    def __init__(self, kafka: ApacheKafka, name: str, **spans_config: str) -> None:
        self.bootstrap, self.spans = kafka.bootstrap, f"{name}-spans"
        self.settings = Settings(
            kafka_bootstrap=kafka.bootstrap,
            app_id=name,
            spans_topic=self.spans,
            session_spans_topic=f"{name}-session-spans",
            trace_spans_topic=f"{name}-trace-spans",
            rollups_topic=f"{name}-rollups",
            topic_partitions=1,
        )
        asyncio.run(ensure_topics(kafka.bootstrap, [TopicSpec(self.spans, 1, 1, spans_config)]))
        asyncio.run(ensure_topics(kafka.bootstrap, topic_specs(self.settings)))

    def write(self, topic: str, *values: bytes, source: str | None = None) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for number, value in enumerate(values):
            story = [("reason", b"truncated"), ("detail", b""), ("source_topic", (source or self.spans).encode())]
            story += [("source_partition", b"0"), ("source_offset", b"%d" % number), ("service_version", b"1")]
            headers: Any = story if source != "" else []  # the stubs take no list of these pairs
            producer.produce(topic, value, b"key", headers=headers)
        assert producer.flush(30.0) == 0

    def replay(self, **selected: Any) -> tuple[int, list[str]]:
        """Exit code and lines."""
        lines: list[str] = []
        code = replay_letters(self.settings, Selection(**selected), again=False, dry_run=False, echo=lines.append)
        return code, lines

    def sent(self) -> list[bytes]:
        return [record.value or b"" for record in read_all(self.bootstrap, self.spans, 1)]


def test_a_replay_that_was_ended_in_the_middle_is_finished_by_the_next(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(kafka, "ended-replay")
    values = [b"%d" % number for number in range(25)]
    site.write(dead_letter_topic(site.spans), *values)
    monkeypatch.setattr(replaying, "_BATCH_LETTERS", 10)
    send = Resender.send
    calls: list[int] = []

    def failing(resender: Resender, shipments: list[Shipment]) -> None:
        calls.append(len(shipments))
        if len(calls) == 2:
            resender._producer.begin_transaction()
            resender._producer.produce(site.spans, b"never seen")
            resender._producer.flush(10.0)
            raise TransientError("the process ends here")
        send(resender, shipments)

    monkeypatch.setattr(Resender, "send", failing)
    with pytest.raises(TransientError):
        site.replay()
    assert site.replay(reasons=("truncated",)) == (
        0,
        [
            "sent 10 letters, up to " + site_name(site, 19),
            "sent 15 letters, up to " + site_name(site, 24),
            "15 letters sent, 10 sent before",
        ],
    )
    assert site.sent() == values


def site_name(site: Site, offset: int) -> str:
    return f"{dead_letter_topic(site.spans)}/0@{offset}"


def test_a_second_replay_takes_over_and_the_first_one_cannot_send_any_more(kafka: ApacheKafka) -> None:
    site = Site(kafka, "two-replays")
    shipment = Shipment(site.spans, 0, None, b"1")
    with Resender(kafka.bootstrap, "two-replays") as older:
        older.send([shipment])
        with Resender(kafka.bootstrap, "two-replays") as newer:
            with pytest.raises(PermanentError, match="taken over"):
                older.send([shipment])
            newer.send([shipment])
    assert site.sent() == [b"1", b"1"]


def test_what_cannot_be_sent_is_told_and_stops_nothing_else(kafka: ApacheKafka) -> None:
    site = Site(kafka, "refused-replay", **{"max.message.bytes": "2000"})
    letters = dead_letter_topic(site.spans)
    incompressible = Random(1).randbytes(5_000)
    site.write(letters, b"1", incompressible, b"3")
    site.write(letters, b"no letter at all", source="")
    site.write(letters, b"of others", source="elsewhere")
    site.write(unstored_topic(site.spans), b"counted already")

    code, lines = site.replay()

    assert code == 1
    assert lines[-1] == "2 letters sent, 4 cannot be sent"
    told = "\n".join(lines)
    for why in ("is too large for", "says no source", "comes from elsewhere", "counted already"):
        assert why in told
    assert site.sent() == [b"1", b"3"]
    assert site.replay()[1][-1] == "0 letters sent, 2 sent before, 4 cannot be sent"
