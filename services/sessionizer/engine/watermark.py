"""The time of one keyed partition: the minimum over its sources, as their records in the log say.

Nothing here reads a clock. Log time is the timestamps of the log's own records; it decides when
a silent source no longer holds the others back.
"""

from dataclasses import dataclass, field

NO_WATERMARK = -(2**63)
"""Before every event time: nothing is closed, nothing is late."""

_LONGEST_STEP = 5 * 10**9
"""Log time goes on by at most this from one record to the next: a pause of all writers is nobody's silence."""


@dataclass(slots=True)
class Source:
    watermark: int
    heard_at: int  # log time


@dataclass(slots=True)
class PartitionTime:
    """`watermark` never moves back. All times in ns.

    Call `advance` for every record of the log, then `hear` where it is a watermark record.
    """

    source_timeout: int
    watermark: int = NO_WATERMARK
    log_time: int | None = None  # of the last record; None before the first
    timestamp: int = 0  # the latest of all records
    sources: dict[str, Source] = field(default_factory=dict)
    source_count: int = 0  # 0: not told yet
    counted_at: int = 0  # log time of the first record, or when the number of sources last rose
    _next_timeout: int = NO_WATERMARK  # log time before which no source falls silent; derived, as all that follow
    _heard: dict[str, int] = field(default_factory=dict, compare=False)  # watermarks of those that are not silent
    _is_waiting: bool = True  # for sources that were not heard yet

    def advance(self, timestamp: int) -> None:
        """A record of the log has this timestamp. Timestamps that go back stop log time, no more."""
        if self.log_time is None:
            self.log_time = self.counted_at = self.timestamp = timestamp
        elif timestamp > self.timestamp:
            self.log_time += min(timestamp - self.timestamp, _LONGEST_STEP)
            self.timestamp = timestamp
        if self.log_time >= self._next_timeout:
            self._update()

    def hear(self, name: str, watermark: int, source_count: int) -> None:
        """`name`, one of `source_count` sources, expects no event time below `watermark` any more."""
        assert self.log_time is not None
        if source_count > self.source_count:
            if self.source_count:
                self.counted_at = self.log_time
            self.source_count = source_count
            self._next_timeout = NO_WATERMARK
        source = self.sources.get(name)
        if source is None:
            self.sources[name] = Source(watermark, self.log_time)
            self._next_timeout = NO_WATERMARK
        else:
            source.watermark = max(source.watermark, watermark)
            source.heard_at = self.log_time
            self._heard[name] = source.watermark
        if self.log_time >= self._next_timeout:
            self._update()
        elif not self._is_waiting:
            self.watermark = max(self.watermark, min(self._heard.values()))

    def _update(self) -> None:
        """Sources that are heard, and those not heard yet, hold time back until their timeout."""
        assert self.log_time is not None
        oldest = self.log_time - self.source_timeout
        timeouts = [source.heard_at for source in self.sources.values() if source.heard_at > oldest]
        self._heard = {name: source.watermark for name, source in self.sources.items() if source.heard_at > oldest}
        self._is_waiting = len(self.sources) < self.source_count and self.counted_at > oldest
        if self._is_waiting:
            timeouts.append(self.counted_at)
        elif self._heard:
            self.watermark = max(self.watermark, min(self._heard.values()))
        # Whoever is heard again moves this on; what is looked at too early changes nothing.
        self._next_timeout = (min(timeouts) if timeouts else self.log_time) + self.source_timeout
