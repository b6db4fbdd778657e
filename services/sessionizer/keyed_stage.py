"""What every stage with states does alike: position, version, time, sweeps and the meta record.

record ─► version ─► time ─► what is due, in slices ─► content      (fold)
outputs, changed states ─► meta                                     (flush)

`window` and `resolve` differ in their `KeyedStates` only.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime
from services.sessionizer.meta import META_KEY, Meta, decode_meta, encode_meta
from services.sessionizer.stage import Flush, InputRecord, Moment
from services.shared.records.session_spans import WatermarkRecord

_EPOCH_SHIFT = 48

_Content = TypeVar("_Content")
_Taken_contra = TypeVar("_Taken_contra", contravariant=True)


class Instant(NamedTuple):
    """When something is applied: the version that it gives, and the time of the partition."""

    version: int  # (epoch, offset) of the record
    watermark: int  # with this record's own part in it
    timestamp: int  # of the record, ns


class KeyedStates(Protocol[_Taken_contra]):
    """The states of one partition, and what time and content do to them. Not thread-safe.

    The same calls with the same arguments must have the same results, whatever flushes and
    restarts lie in between (which of the changes in between are output depends on the flushes).
    """

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order, the meta record left out."""

    def restored(self, watermark: int) -> None:
        """All entries are applied: rebuild what is derived from them. `watermark` is that of the meta record."""

    def snapshot(self) -> Iterable[tuple[bytes, bytes]]:
        """All states as changelog entries. What is not flushed may be missing."""

    def sweep(self, at: Instant, ahead: _Taken_contra | None) -> bool:
        """Do a bounded part of what the watermark has made due. Whether nothing is left.

        It is called until it says so; meanwhile the arguments stay, and only flushes, a crash and
        a restart may come in between. What is left must be found in the states alone: after a
        restart it is called again with the same arguments. With nothing due it changes nothing.
        `ahead` is the content that will be taken next, if the record has any: where a version may
        have one content only, what both change is swept last, in the call that returns True.
        """

    def take(self, content: _Taken_contra, at: Instant) -> None:
        """Apply the content of one record. Nothing is due then."""

    @property
    def backlog(self) -> int:
        """About how many bytes the next flush would write."""

    @property
    def gauges(self) -> dict[str, float]:
        """Current values by metric name."""

    def prepare(self, moment: Moment, time: PartitionTime) -> bool:
        """See `Stage.prepare`. `time` is the partition's, to be read only."""

    def flush(self, moment: Moment, time: PartitionTime) -> Flush:
        """Hand out what changed; it counts as durable from then on. `time` is the partition's, to be read only."""


class KeyedStage(Generic[_Content]):
    """One keyed partition. See `Stage` for the contract of each method.

    `decode` turns a record's value into content for `states`, or into time. `epoch` is the
    least: the one in the meta record wins when it is greater.
    """

    def __init__(
        self,
        states: KeyedStates[_Content],
        decode: Callable[[bytes], _Content | WatermarkRecord],
        *,
        source_timeout: int,
        epoch: int = 1,
    ) -> None:
        self.states = states
        self._decode = decode
        self._epoch = epoch
        self._time = PartitionTime(source_timeout)
        self._position = 0
        self._swept = NO_WATERMARK  # up to which nothing is due any more
        self._at_hand: tuple[InputRecord, _Content | WatermarkRecord] | None = None
        self._read = 0
        self._has_news = False
        self._meta: Meta | None = None

    # Recovery

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self.states.restore(self._without_meta(entries))

    def restored(self) -> int | None:
        """The first record begins with a sweep, which may have been interrupted; where it was not, it does nothing."""
        meta = self._meta
        if meta is not None:
            self._time = meta.time
        self.states.restored(self._time.watermark)
        if meta is None:
            return None
        if meta.epoch < self._epoch:
            self._position = 0
        else:
            self._epoch, self._position = meta.epoch, meta.position
        return self._position

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self.states.snapshot()
        yield META_KEY, self._meta_record()

    def _without_meta(self, entries: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, bytes | None]]:
        for key, value in entries:
            if key != META_KEY:
                yield key, value
            elif value is not None:
                self._meta = decode_meta(value, self._time.source_timeout)

    # Records

    def fold(self, record: InputRecord) -> bool:
        """The position stays at the record until all of it is applied, so whoever takes over goes on with it."""
        content = self._begin(record)
        watermark = self._time.watermark
        at = Instant(self._epoch << _EPOCH_SHIFT | record.offset, watermark, record.timestamp)
        self._has_news = True
        if watermark != self._swept:
            if not self.states.sweep(at, None if isinstance(content, WatermarkRecord) else content):
                return False
            self._swept = watermark
        if not isinstance(content, WatermarkRecord):
            self.states.take(content, at)
        self._at_hand = None
        self._position = record.offset + 1
        return True

    def _begin(self, record: InputRecord) -> _Content | WatermarkRecord:
        """Let the record's time come to pass, once. A second time, after a restart, it would change nothing either."""
        if self._at_hand is not None:
            begun, content = self._at_hand
            assert begun.offset == record.offset, "a record that was applied in part is applied to its end"
            return content
        assert record.value is not None, "a keyed log has no tombstones"
        content = self._decode(record.value)
        self._position = record.offset
        self._time.advance(record.timestamp)
        if isinstance(content, WatermarkRecord):
            self._time.hear(content.source, content.watermark, content.sources)
        else:
            self._read += len(record.value)
        self._at_hand = record, content
        return content

    # Flush

    @property
    def backlog(self) -> int:
        return self._read + self.states.backlog

    @property
    def gauges(self) -> dict[str, float]:
        watermark = self._time.watermark
        values = self.states.gauges
        return values if watermark == NO_WATERMARK else values | {"spanloom_watermark_seconds": watermark / 10**9}

    def prepare(self, moment: Moment) -> bool:
        return self.states.prepare(moment, self._time)

    def flush(self, moment: Moment) -> Flush:
        flush = self.states.flush(moment, self._time)
        if self._has_news:
            flush.changes = [*flush.changes, (META_KEY, self._meta_record())]
        self._read, self._has_news = 0, False
        return flush

    def _meta_record(self) -> bytes:
        return encode_meta(Meta(self._epoch, self._position, self._time))
