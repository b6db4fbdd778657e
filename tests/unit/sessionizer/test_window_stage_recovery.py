"""A stage that was restored goes on as if nothing had happened."""

from random import Random
from typing import Any

import pytest

from services.sessionizer.engine.policy import Policy
from services.sessionizer.keyed_stage import KeyedStage
from services.sessionizer.stage import Flush, InputRecord, Moment
from services.sessionizer.window_stage import window_stage
from services.shared.model.session_key import SessionKey
from services.shared.records import rollups
from services.shared.records.session_spans import (
    SpanGroup,
    WatermarkRecord,
    encode_spans,
    encode_watermark,
)
from tests.support.session_run import GAP, KEY, POLICY, end_of, span
from tests.support.spans import SECOND, T0, call
from tests.support.stage_run import compact

KEYS = [KEY, SessionKey("shop", "s2"), SessionKey("voice", "")]


def stage(*, epoch: int = 1, policy: Policy = POLICY) -> KeyedStage[Any]:
    return window_stage(policy, partition=0, rollups_topic="r", rollups_partitions=1, epoch=epoch)


def busy_log() -> list[InputRecord]:
    """Spans of three sessions in no order, copies, ends, calls with twins, merges, and time that passes."""
    random = Random(5)
    log: list[InputRecord] = []
    for offset in range(120):
        if offset % 6 == 5:
            value = encode_watermark(WatermarkRecord("spans/0", T0 + offset * GAP // 12, 1))
        else:
            start = random.randrange(offset * GAP // 8 + 1)
            trace, number, parent = random.randrange(1, 15), random.randrange(1, 40), random.randrange(40)
            used = call("m", random.randrange(2), 1, total_cost=random.randrange(9)) if number % 2 else None
            one = span(trace, start, start + random.randrange(GAP), number=number, parent=parent, call=used)
            items = (one, end_of(start, number=offset)) if offset % 17 == 0 else (one,)
            value = encode_spans([SpanGroup(random.choice(KEYS), T0 + offset, items)])
        log.append(InputRecord(offset, T0 + offset * SECOND, None, value))
    return log


def flush_of(worker: KeyedStage[Any], *, drain: bool = False) -> Flush:
    return worker.flush(Moment(T0, caught_up=False, drain=drain))


def test_a_worker_that_takes_over_after_any_flush_publishes_the_same_from_there_on() -> None:
    log = busy_log()
    first = stage()
    first.restored()
    changes: list[tuple[bytes, bytes | None]] = []
    flushes: list[Flush] = []
    for offset, record in enumerate(log):
        first.fold(record)
        if offset % 7 == 6:
            flushes.append(flush_of(first, drain=offset % 3 == 0))
            changes += flushes[-1].changes
    final = flush_of(first, drain=True)
    for taken_over in range(0, len(flushes), 3):
        entries: list[tuple[bytes, bytes | None]] = []
        for flush in flushes[: taken_over + 1]:
            entries += flush.changes
        other = stage()
        other.restore(compact(entries))
        position = other.restored()
        assert position == 7 * (taken_over + 1)
        produced = []
        for offset, record in enumerate(log[position:], start=position):
            other.fold(record)
            if offset % 7 == 6:
                produced.append(flush_of(other, drain=offset % 3 == 0))
        for mine, theirs in zip(produced, flushes[taken_over + 1 :], strict=True):
            assert (mine.outputs, sorted(mine.changes), mine.counts) == (
                theirs.outputs,
                sorted(theirs.changes),
                theirs.counts,
            )
        assert flush_of(other, drain=True).outputs == final.outputs


def test_a_snapshot_is_the_compacted_changelog() -> None:
    worker = stage()
    worker.restored()
    changes: list[tuple[bytes, bytes | None]] = []
    for record in busy_log():
        worker.fold(record)
        changes += flush_of(worker).changes
    assert dict(worker.snapshot()) == dict(compact(changes))


def test_what_is_restored_is_written_again_only_when_it_changes() -> None:
    worker = stage()
    worker.restored()
    for record in busy_log():
        worker.fold(record)
    flush_of(worker, drain=True)
    other = stage()
    other.restore(list(worker.snapshot()))
    other.restored()
    assert flush_of(other, drain=True).is_empty


def test_gauges_are_restored() -> None:
    worker = stage()
    worker.restored()
    for record in busy_log():
        worker.fold(record)
    flush_of(worker)
    other = stage()
    other.restore(list(worker.snapshot()))
    other.restored()
    assert other.gauges == worker.gauges


def test_a_tombstone_undoes_what_was_restored_before_it() -> None:
    worker = stage()
    worker.restored()
    worker.fold(InputRecord(0, T0, None, encode_spans([SpanGroup(KEY, T0, (span(1, 0),))])))
    entries = list(flush_of(worker).changes)
    other = stage()
    other.restore(entries)
    other.restore([(key, None) for key, _ in entries if key != b"meta"])
    other.restored()
    assert other.gauges["spanloom_held_windows"] == 0


def test_an_empty_changelog_has_no_position() -> None:
    assert stage().restored() is None


def saved(epoch: int) -> list[tuple[bytes, bytes]]:
    worker = stage(epoch=epoch)
    worker.restored()
    worker.fold(InputRecord(7, T0, None, encode_spans([SpanGroup(KEY, T0, (span(1, 0),))])))
    worker.fold(InputRecord(8, T0, None, encode_watermark(WatermarkRecord("spans/0", T0, 1))))
    flush_of(worker, drain=True)
    return list(worker.snapshot())


@pytest.mark.parametrize(
    ("before", "now", "position", "epoch"), [(1, 1, 9, 1), (1, 2, 0, 2), (3, 2, 9, 3), (1, 5, 0, 5)]
)
def test_the_position_is_zero_when_the_log_began_anew(before: int, now: int, position: int, epoch: int) -> None:
    worker = stage(epoch=now)
    worker.restore(saved(before))
    assert worker.restored() == position
    worker.fold(InputRecord(position, T0, None, encode_spans([SpanGroup(KEY, T0, (span(2, 0),))])))
    flush = flush_of(worker, drain=True)
    [window] = [row for row in map(rollups.decode, (o.value for o in flush.outputs)) if row["type"] == "window"]
    assert (window["version"], window["turn_count"]) == (epoch << 48 | position, 2)


def test_the_watermark_goes_on_in_the_next_epoch() -> None:
    worker = stage(epoch=2)
    worker.restore(saved(1))
    worker.restored()
    assert worker.gauges["spanloom_watermark_seconds"] == T0 / SECOND
