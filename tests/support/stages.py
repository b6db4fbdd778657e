"""Fakes around a stage: a stage that repeats its input, a writer that records, a source to fill, a clock to set."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from services.sessionizer.partition import BACKLOG_LIMIT
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.shared.kafka import OutputRecord

HEAVY = BACKLOG_LIMIT + 1
PARTS = 3


def record(offset: int, value: bytes = b"v") -> InputRecord:
    return InputRecord(offset=offset, timestamp=offset * 10**9, key=None, value=value)


class ManualClock:
    """Time that goes on only when told to."""

    def __init__(self, now: int = 0) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / 10**9

    def advance(self, seconds: float) -> None:
        self._now += round(seconds * 10**9)


class EchoStage:
    """Outputs what it folded. A record `heavy` makes the backlog too large to wait; `long` is folded in three parts."""

    def __init__(self) -> None:
        self.folded: list[int] = []
        self.moments: list[Moment] = []
        self.prepared: list[Moment] = []
        self._waiting: list[Output] = []
        self.backlog = 0
        self._parts = 0
        self.while_folding: Callable[[], None] = lambda: None
        self.while_preparing: Callable[[], object] = lambda: None

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self.folded += [int(key) for key, _ in entries]

    def restored(self) -> int | None:
        return len(self.folded) or None

    def fold(self, item: InputRecord) -> bool:
        assert item.value is not None
        if item.value == b"broken":
            raise ZeroDivisionError("a bug")
        if item.value == b"long" and self._parts < PARTS - 1:
            self._parts += 1
            self.backlog = HEAVY
            self._waiting.append(Output("out", 0, None, b"part"))
            self.while_folding()
            return False
        self.folded.append(item.offset)
        self.backlog = HEAVY if item.value == b"heavy" else self.backlog
        self._waiting.append(Output("out", 0, None, item.value))
        return True

    def prepare(self, moment: Moment) -> bool:
        """A flush takes as many slices as a long record."""
        self.prepared.append(moment)
        self.while_preparing()
        return len(self.prepared) % PARTS == 0

    def flush(self, moment: Moment) -> Flush:
        self.moments.append(moment)
        outputs, self._waiting, self.backlog = self._waiting, [], 0
        changes = [(b"%d" % offset, b"") for offset in self.folded[-len(outputs) :]] if outputs else []
        counts = {("spanloom_windows_expired_total", ""): 1, ("spanloom_unpriced_calls_total", ""): 1}
        return Flush(outputs=outputs, changes=changes, counts=Counter(counts))

    def snapshot(self) -> Iterable[tuple[bytes, bytes]]:
        return [(b"%d" % offset, b"") for offset in self.folded]

    @property
    def gauges(self) -> dict[str, float]:
        return {}


class RecordingWriter:
    """Keeps what was committed. `refuse` makes the next commit fail as a fenced producer does."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[bytes], int]] = []
        self.refuse: Exception | None = None
        self.stopped = False

    async def start(self) -> None:
        """Nothing to fence."""

    async def commit(
        self, outputs: Sequence[OutputRecord], changes: Sequence[tuple[bytes, bytes | None]], position: int
    ) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.commits.append(([value for _, _, _, value, _ in outputs], position))

    async def stop(self) -> None:
        self.stopped = True


class QueueSource:
    """Hands out batches that a test puts in; `assigned` tells what was asked for last."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[dict[int, list[InputRecord]]] = asyncio.Queue()
        self.assigned: dict[int, int] = {}
        self.ended: set[int] | None = None
        """Partitions that have an end, be there more batches or not; None: all, when there are none."""
        self.closed = False

    def put(self, batch: dict[int, list[InputRecord]]) -> None:
        self._batches.put_nowait(batch)

    async def assign(self, positions: Mapping[int, int]) -> None:
        self.assigned = dict(positions)

    async def fetch(self) -> dict[int, list[InputRecord]]:
        await asyncio.sleep(0)
        return {} if self._batches.empty() else self._batches.get_nowait()

    def caught_up(self, partition: int) -> bool:
        if self.ended is not None:
            return partition in self.ended
        return partition in self.assigned and self._batches.empty()

    async def close(self) -> None:
        self.closed = True
