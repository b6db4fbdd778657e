"""A topic read once, beside whoever else reads it."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from services.shared.errors import SettingsError
from services.shared.records.source_record import SourceRecord
from services.shared.topic_reader import Range, TopicReader
from tests.support.kafka.apache import ApacheKafka
from tests.support.otlp import SECOND

pytestmark = pytest.mark.kafka

BEGIN = 1_790_000_000


def make_topic(kafka: ApacheKafka, name: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(timeout=30.0)


def write(kafka: ApacheKafka, topic: str, records: Sequence[tuple[int, int, bytes]], **more: Any) -> None:
    """Partition, second and value of each; in a transaction where `more` names one, left open with `commit=False`."""
    commit = more.pop("commit", True)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 4 << 20, **more})
    if more:
        producer.init_transactions(30.0)
        producer.begin_transaction()
    for partition, second, value in records:
        producer.produce(topic, value, partition=partition, timestamp=(BEGIN + second) * 1000)
    producer.flush(30.0)
    if more:
        (producer.commit_transaction if commit else producer.abort_transaction)(30.0)


def values(records: Sequence[SourceRecord]) -> list[bytes]:
    return [record.value or b"" for record in records]


def test_records_come_in_the_order_of_time_over_all_partitions(kafka: ApacheKafka) -> None:
    make_topic(kafka, "read-in-order", 3)
    records = [(number % 3, number // 2, b"%d" % number) for number in range(300)]
    write(kafka, "read-in-order", records)

    with TopicReader(kafka.bootstrap, "read-in-order", name="reader") as reader:
        found = list(reader.read(reader.all()))

    assert [(record.timestamp, record.partition) for record in found] == sorted(
        ((BEGIN + second) * SECOND, partition) for partition, second, _ in records
    )
    assert sorted(values(found)) == sorted(value for _, _, value in records)


def test_little_is_held_however_uneven_the_partitions_are(kafka: ApacheKafka) -> None:
    """One partition is read to its end before the first record of the other one is due."""
    make_topic(kafka, "read-uneven", 2)
    large = [(0, number, bytes(300_000)) for number in range(40)]
    write(kafka, "read-uneven", [*large, *((1, 100 + number, b"late" * 75_000) for number in range(40))])

    with TopicReader(kafka.bootstrap, "read-uneven", name="reader", room=1_000_000) as reader:
        most, found = 0, 0
        for record in reader.read(reader.all()):
            assert record.partition == found // 40
            found += 1
            most = max(most, sum(lane.size for lane in reader._lanes.values()))

    assert found == 80
    assert most < 2_000_000


def test_aborted_records_are_not_seen_and_markers_at_the_end_are_not_waited_for(kafka: ApacheKafka) -> None:
    make_topic(kafka, "read-committed", 1)
    write(kafka, "read-committed", [(0, 1, b"a")], **{"transactional.id": "first"})
    write(kafka, "read-committed", [(0, 2, b"b")], **{"transactional.id": "second"}, commit=False)

    with TopicReader(kafka.bootstrap, "read-committed", name="reader") as reader:
        ranges = reader.all()
        assert ranges[0].end > 2
        assert values(list(reader.read(ranges))) == [b"a"]
        # And again, also only the end, where there are nothing but markers.
        assert values(list(reader.read(ranges))) == [b"a"]
        assert list(reader.read({0: Range(1, ranges[0].end)})) == []


def test_reading_begins_at_a_time_or_not_at_all_and_ends_where_it_was_said(kafka: ApacheKafka) -> None:
    make_topic(kafka, "read-since", 2)
    write(kafka, "read-since", [(0, second, b"%d" % second) for second in range(10)])

    with TopicReader(kafka.bootstrap, "read-since", name="reader") as reader:
        ranges = reader.since((BEGIN + 6) * SECOND + 1)
        assert values(list(reader.read(ranges))) == [b"7", b"8", b"9"]
        assert all(each.is_empty for each in reader.since((BEGIN + 60) * SECOND).values())
        assert values(list(reader.read({0: Range(2, 4)}))) == [b"2", b"3"]
        assert list(reader.read({0: Range(4, 4)})) == []
        started = reader.read(reader.all())
        assert next(started).value == b"0"
        assert values(list(reader.read({0: Range(1, 2)}))) == [b"1"]


def test_a_topic_that_is_not_there_is_told(kafka: ApacheKafka) -> None:
    with TopicReader(kafka.bootstrap, "read-nothing", name="reader") as reader, pytest.raises(SettingsError):
        reader.all()
