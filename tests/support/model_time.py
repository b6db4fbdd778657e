"""The time of a keyed partition, as a plain interpreter of semantics.md, "Time is data"."""

from services.shared.records.session_spans import WatermarkRecord
from tests.support.model_window import LONG_AGO

LONGEST_STEP = 5 * 10**9
"""Log time goes on by at most this from one record to the next."""


class ModelTime:
    """Give it every record of the log: its timestamp, and the record if it is a watermark."""

    def __init__(self) -> None:
        self.watermark = LONG_AGO
        self._sources: dict[str, tuple[int, int]] = {}  # the watermark of each, and the log time it was heard
        self._source_count = self._counted_at = self._log_time = 0
        self._timestamp: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a watermark."""
        return self.watermark != LONG_AGO

    def fold(self, timestamp: int, record: WatermarkRecord | None, source_timeout: int) -> None:
        if self._timestamp is None:
            self._log_time = self._counted_at = self._timestamp = timestamp
        self._log_time += min(max(timestamp - self._timestamp, 0), LONGEST_STEP)
        self._timestamp = max(timestamp, self._timestamp)
        self._move_watermark(source_timeout)
        if record is not None:
            self._hear(record)
            self._move_watermark(source_timeout)

    def _hear(self, record: WatermarkRecord) -> None:
        before = self._sources.get(record.source, (LONG_AGO, 0))[0]
        self._sources[record.source] = max(before, record.watermark), self._log_time
        if record.sources > self._source_count:
            if self._source_count:
                self._counted_at = self._log_time
            self._source_count = record.sources

    def _move_watermark(self, source_timeout: int) -> None:
        """The minimum over the sources; one unheard for `source_timeout` no longer holds it back."""

        def counts(heard_at: int) -> bool:
            return self._log_time - heard_at < source_timeout

        watermarks = [watermark for watermark, heard_at in self._sources.values() if counts(heard_at)]
        is_waiting = len(self._sources) < self._source_count and counts(self._counted_at)
        if watermarks and not is_waiting:
            self.watermark = max(self.watermark, min(watermarks))
