"""While states are read back, the log and the metrics say how far that is."""

import logging

import pytest

from services.sessionizer.recovery import RecoveryProgress
from services.shared.telemetry import Telemetry
from tests.support.stages import ManualClock


def test_lines_every_few_seconds_tell_the_share_that_is_done_and_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    clock, telemetry = ManualClock(), Telemetry()
    progress = RecoveryProgress("window", 3, clock=clock, telemetry=telemetry)
    with caplog.at_level(logging.INFO):
        progress.begin(40_000)
        for left in (30_000, 20_000, 10_000, 0):
            clock.advance(2.0)
            progress.read(9_000, left)
        progress.end()
    assert [record.getMessage() for record in caplog.records] == [
        "window/3 recovers: 18000 entries, 50 % done, 4500 a second",
        "window/3 recovers: 36000 entries, 100 % done, 4500 a second",
        "window/3 read 36000 entries back in 8.0 s",
    ]
    assert 'spanloom_restored_entries_total{stage="window"} 36000.0' in telemetry.exposition().decode()


def test_the_gauge_counts_down_and_is_gone_afterwards() -> None:
    telemetry = Telemetry()
    progress = RecoveryProgress("resolve", 0, clock=ManualClock(), telemetry=telemetry)
    series = 'spanloom_recovery_remaining_entries{partition="0",stage="resolve"}'
    progress.begin(500)
    assert f"{series} 500.0" in telemetry.exposition().decode()
    progress.read(200, 300)
    assert f"{series} 300.0" in telemetry.exposition().decode()
    progress.end()
    assert series not in telemetry.exposition().decode()


def test_a_changelog_that_cannot_be_asked_leaves_no_gauge_behind() -> None:
    telemetry = Telemetry()
    RecoveryProgress("window", 0, clock=ManualClock(), telemetry=telemetry).end()
    assert "spanloom_recovery_remaining_entries{" not in telemetry.exposition().decode()
