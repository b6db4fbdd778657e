"""What a source partition can promise of time (design: semantics, "Time is data")."""

from services.sessionizer.stage import Moment

WRITE_INTERVAL = 10**9
"""Watermark records are written at most this often."""


class SourceWatermark:
    """The watermark of one partition of `otlp_spans`. It never moves back; processing time only counts when idle."""

    def __init__(self, *, out_of_orderness: int, idle_after: int) -> None:
        self._out_of_orderness, self._idle_after = out_of_orderness, idle_after
        self.value: int | None = None
        self._has_heard = True
        self._heard_at = 0
        self._written_at: int | None = None

    def heard(self, latest_end: int | None, record_time: int) -> None:
        """A record was read. `latest_end`: of its valid spans, if it has any."""
        self._has_heard = True
        if latest_end is not None:
            self._raise_to(min(latest_end, record_time) - self._out_of_orderness)

    def due(self, moment: Moment) -> int | None:
        """The watermark to write now, if it is known and none was written within the last second (or at a drain).

        Silence is `idle_after` of `moment.now` in which the partition was caught up and no record
        was read; the first call only starts the clock. A known watermark is repeated even
        when it stands still: readers must not take a busy source for a silent one.
        """
        if self._has_heard or not moment.caught_up:
            self._has_heard = False
            self._heard_at = moment.now
        elif moment.now - self._heard_at >= self._idle_after:
            self._raise_to(moment.now - self._out_of_orderness)
        if self.value is None:
            return None
        is_fresh = self._written_at is not None and moment.now - self._written_at < WRITE_INTERVAL
        if is_fresh and not moment.drain:
            return None
        self._written_at = moment.now
        return self.value

    def _raise_to(self, watermark: int) -> None:
        if self.value is None or watermark > self.value:
            self.value = watermark
