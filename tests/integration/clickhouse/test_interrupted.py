"""Embedded mode after a kill: what ClickHouse knows as open is closed in the new epoch."""

from dataclasses import replace

from services.shared.clickhouse import ClickHouse
from services.shared.model.rollup import CloseReason, WindowRollup, WindowState
from services.shared.records.rollup_fields import window_of
from services.shared.records.rollups import encode_window
from services.sink.interrupted import close_interrupted, highest_epoch
from services.sink.rows import columns, rollup_rows
from tests.support.rollups import EPOCH, at, usage, window


def store(client: ClickHouse, *rollups: WindowRollup) -> None:
    for rollup in rollups:
        converted = rollup_rows(encode_window(rollup), 0)
        assert isinstance(converted, list)
        [(table, row)] = converted
        client.insert(table, columns(table, [row]), f"{rollup}")


def windows(client: ClickHouse, table: str = "session_windows") -> list[WindowRollup]:
    return [window_of(row) for row in client.query(f"SELECT * FROM {table} FINAL ORDER BY session_id")]


def test_an_open_window_of_an_older_epoch_is_closed_and_all_else_of_it_kept(clickhouse: ClickHouse) -> None:
    opened = window(
        is_open=True,
        version=7,
        user_ids=["u"],
        metadata={"k": "v"},
        metadata_at={"k": at(1)},
        usage=usage(prompt=3, cost="0.25"),
        total_cost_by_model={"m": 1},
        turn_latency_buckets={3: 4},
    )
    store(clickhouse, opened)
    assert close_interrupted(clickhouse, 2) == 1
    closed = replace(opened, version=2 * EPOCH, state=WindowState.CLOSED, close_reason=CloseReason.INTERRUPTED)
    assert windows(clickhouse) == [closed]
    assert windows(clickhouse, "session_windows_by_session") == [closed]


def test_closed_deleted_and_newer_windows_stay_as_they_are(clickhouse: ClickHouse) -> None:
    kept = [
        window("s1", "w1", version=1),
        window("s2", "w2", version=EPOCH + 1, is_open=True),
        window("s3", "w3", version=1, is_open=True),
        window("s3", "w3", version=2),
    ]
    store(
        clickhouse, *kept, window("s4", "w4", version=1, is_open=True), window("s4", "w4", version=2, is_deleted=True)
    )
    assert close_interrupted(clickhouse, 2) == 0
    assert windows(clickhouse) == [kept[0], kept[1], kept[3]]


def test_closing_again_changes_nothing(clickhouse: ClickHouse) -> None:
    store(clickhouse, window(is_open=True), window("s2", "w2", is_open=True))
    assert close_interrupted(clickhouse, 5) == 2
    before = windows(clickhouse)
    assert close_interrupted(clickhouse, 5) == 0
    assert windows(clickhouse) == before


def test_a_version_of_the_new_epoch_is_above_the_interruption(clickhouse: ClickHouse) -> None:
    store(clickhouse, window(is_open=True))
    close_interrupted(clickhouse, 5)
    reopened = replace(window(is_open=True), version=5 * EPOCH + 1)
    store(clickhouse, reopened)
    assert windows(clickhouse) == [reopened]


def test_the_highest_epoch_is_that_of_any_stored_version_and_0_at_first(clickhouse: ClickHouse) -> None:
    assert highest_epoch(clickhouse) == 0
    store(clickhouse, window(version=3 * EPOCH + 9), window("s2", "w2", version=2))
    assert highest_epoch(clickhouse) == 4
    close_interrupted(clickhouse, 6)
    assert highest_epoch(clickhouse) == 4
    store(clickhouse, window("s3", "w3", is_open=True))
    close_interrupted(clickhouse, 6)
    assert highest_epoch(clickhouse) == 6
