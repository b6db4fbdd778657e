"""The stages over a list: the reference model's windows, whatever the partitions, and time as it passed."""

import pytest

from services.reprocess.virtual_worker import VirtualWorker
from services.sessionizer.engine.policy import Policy
from services.sessionizer.pipeline import resolve_definition, route_definition, window_definition
from services.shared.kafka_topics import topic_specs
from services.shared.records.source_record import SourceRecord
from services.shared.settings import Settings
from services.sink.rows import COLUMNS, TURNS, WINDOWS, Unreadable, rollup_rows
from tests.support.comparison import Row, differences_from_reference
from tests.support.otlp import HOUR, MINUTE, SECOND, T0, request, span, to_protobuf
from tests.support.reference import reference_windows
from tests.support.traffic import make_traffic

GAP = 10 * MINUTE


def virtual_worker(partitions: int) -> tuple[VirtualWorker, Settings]:
    settings = Settings(gap=f"{GAP}ns", allowed_lateness="24h", snapshot_interval="365d")
    counts = {spec.name: 1 for spec in topic_specs(settings)} | {settings.spans_topic: partitions}
    stages = [
        route_definition(settings, counts),
        resolve_definition(settings, counts, 1),
        window_definition(settings, counts, 1),
    ]
    return VirtualWorker([stage for stage in stages if stage], counts, settings.rollups_topic), settings


def rows_of(worker: VirtualWorker) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {WINDOWS: [], TURNS: []}
    for value in worker.take_rollups():
        rows = rollup_rows(value, 0)
        assert not isinstance(rows, Unreadable)
        for table, values in rows:
            found[table].append(dict(zip(COLUMNS[table], values, strict=True)))
    return found


@pytest.mark.parametrize("partitions", [1, 3])
def test_what_comes_out_are_the_windows_of_the_reference_model(partitions: int) -> None:
    traffic = make_traffic(
        seed=partitions, sessions=30, spans=600, begin=T0, length=3 * HOUR, gap=GAP, largest_batch=20
    )
    worker, settings = virtual_worker(partitions)
    step = 3 * HOUR // len(traffic.records)
    for number, value in enumerate(traffic.records):
        # Each record is written some time after its spans; the partitions take turns.
        place = number % partitions, number // partitions
        worker.feed(SourceRecord(settings.spans_topic, *place, T0 + number * step + 30 * MINUTE, None, value))
    worker.pass_time(T0 + 5 * HOUR)
    worker.finish()
    rows = rows_of(worker)
    expected = reference_windows(traffic.groups(), Policy(gap=GAP, allowed_lateness=24 * HOUR))
    assert differences_from_reference(expected, rows[WINDOWS], rows[TURNS]) == []
    assert worker.counts["spanloom_windowed_spans_total", "added"] == traffic.spans


def test_silence_after_the_last_record_closes_windows_and_the_end_of_the_log_does_not() -> None:
    record = to_protobuf(request(span(trace_id=1, span_id=1, start=T0, end=T0 + 1, attributes={"session.id": "s"})))
    states = []
    for passed in (GAP, GAP + MINUTE):
        worker, settings = virtual_worker(2)
        worker.feed(SourceRecord(settings.spans_topic, 0, 0, T0 + SECOND, None, record))
        worker.pass_time(T0 + passed)
        worker.finish()
        states.append(rows_of(worker)[WINDOWS][-1]["state"])
    assert states == ["open", "closed"]


def test_an_empty_log_gives_nothing() -> None:
    worker, _ = virtual_worker(2)
    worker.pass_time(T0)
    worker.finish()
    assert worker.take_rollups() == []
