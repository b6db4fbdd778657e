"""What a stage is: the pure part of one owned input partition.

`route`, `resolve` and `window` are stages. A stage folds the records of one partition in
offset order and, when told to flush, hands out everything that must become durable together:
outputs, changed states, and (through its meta record) the position. It does no I/O and reads
no clock; `partition.py` puts each flush into one Kafka transaction.

What there are many of is a named tuple: it is made in a third of the time of a frozen dataclass.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from services.shared.model.live import LiveUpdate as LiveUpdate  # noqa: PLC0414 - stages name it from here


class InputRecord(NamedTuple):
    """One Kafka record. `timestamp` in ns (Kafka's milliseconds times 10**6)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Output(NamedTuple):
    """One record to produce, into a partition the stage chose."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """What the edge knows when it asks for a flush.

    `now`: processing time in ns, only for the first stage's idle rule, taken before the log was
    last looked at. `caught_up`: it had nothing more to read then. `drain`: the last flush before
    the partition is given up by a clean stop.
    """

    now: int
    caught_up: bool
    drain: bool = False


@dataclass(slots=True)
class Flush:
    """Everything since the last flush. Nothing of it may become visible without the rest.

    `changes` are changelog records (None: a tombstone), the meta record included.
    `counts` are increments by (metric name, label value).
    """

    outputs: Sequence[Output] = ()
    changes: Sequence[tuple[bytes, bytes | None]] = ()
    live: Sequence[LiveUpdate] = ()
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def is_empty(self) -> bool:
        return not (self.outputs or self.changes)


class Stage(Protocol):
    """The pure part of one input partition. Not thread-safe; calls come from one task."""

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order. May be called several times before `restored`."""

    def restored(self) -> int | None:
        """End of the changelog: rebuild what is derived. Returns the position of the meta record, if any."""

    def fold(self, record: InputRecord) -> bool:
        """Apply one record. Offsets rise; a record below the position is a bug of the caller.

        False: only a part of it is applied, because it does very much. Call again with the same record
        until it is True, with flushes in between as the backlog demands; no other record comes
        before. The position stays at the record so long, and whoever takes over goes on with it.
        """

    @property
    def backlog(self) -> int:
        """About how many bytes the next flush would write. The edge flushes early when it grows."""

    def prepare(self, moment: Moment) -> bool:
        """Do a bounded part of what the next flush has to do. True: what is left of it takes no time.

        Between the first call and that flush, both for the same moment, nothing else may be done with the stage.
        """

    def flush(self, moment: Moment) -> Flush:
        """Hand out what changed; afterwards the stage counts it as durable (failure ends the process)."""

    def snapshot(self) -> Iterable[tuple[bytes, bytes]]:
        """The whole state as changelog entries, for `restore`; of a stage without state, nothing."""

    @property
    def gauges(self) -> dict[str, float]:
        """Current values by metric name (`spanloom_open_windows`, `spanloom_watermark_seconds`, ...)."""
