"""How far the reading back of states has come: lines in the log, and a gauge."""

import logging

from services.shared.clock import Clock
from services.shared.telemetry import Telemetry

_BETWEEN_LINES = 3.0  # seconds
_GAUGE = "spanloom_recovery_remaining_entries"
_log = logging.getLogger(__name__)


class RecoveryProgress:
    """Of one partition's changelog. Call `begin`, `read` for each batch, then `end`, whatever happened."""

    def __init__(self, stage: str, partition: int, *, clock: Clock, telemetry: Telemetry) -> None:
        self._labels = (stage, str(partition))
        self._clock, self._telemetry = clock, telemetry
        self._offsets = self._entries = 0
        self._began = self._said = clock.monotonic()

    def begin(self, offsets: int) -> None:
        """So many offsets are to be read; those of transaction markers and of compacted records are among them."""
        self._offsets = offsets
        self._began = self._said = self._clock.monotonic()
        self._show(offsets)

    def read(self, entries: int, left: int) -> None:
        """A batch of entries was read, and so many offsets are left."""
        self._entries += entries
        self._telemetry.count("spanloom_restored_entries_total", self._labels[0], by=entries)
        self._show(left)
        now = self._clock.monotonic()
        if now - self._said >= _BETWEEN_LINES:
            self._said = now
            share = 1 - left / self._offsets if self._offsets else 1.0
            rate = self._entries / (now - self._began)
            told = (self._entries, share * 100, rate)
            _log.info("%s/%s recovers: %d entries, %.0f %% done, %.0f a second", *self._labels, *told)

    def end(self) -> None:
        """No more is read: the gauge is gone. A line tells what it took."""
        self._telemetry.remove(_GAUGE, *self._labels)
        seconds = self._clock.monotonic() - self._began
        _log.info("%s/%s read %d entries back in %.1f s", *self._labels, self._entries, seconds)

    def _show(self, left: int) -> None:
        self._telemetry.set(_GAUGE, left, *self._labels)
