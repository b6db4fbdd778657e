"""One stage in one worker: fetch, fold, checkpoint, over the partitions it owns.

A single task does all three in turn, under one lock, so nothing is folded while a checkpoint is
on its way and nothing is fetched across a change of assignment. The other stage runs while
this one waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from services.sessionizer.partition import Partition
from services.sessionizer.stage import InputRecord, LiveUpdate, Moment
from services.shared.clock import Clock
from services.shared.telemetry import Telemetry

_SLICE = 0.02  # seconds of folding after which others get a turn
_BEHIND = 4  # times the interval between checkpoints of a stage that is behind its log
_STALL = 2.0  # seconds between two fetches after which "caught up" is no longer known
_log = logging.getLogger(__name__)


class RecordSource(Protocol):
    """Where records come from (`fetcher.Fetcher`)."""

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Fetch these partitions from these offsets, and no others."""

    async def fetch(self) -> dict[int, list[InputRecord]]:
        """Records that are there by now, by partition in offset order."""

    def caught_up(self, partition: int) -> bool:
        """Whether the log had nothing more to read at the last fetch."""

    async def close(self) -> None:
        """Let go of connections."""


TakeOver = Callable[[int], Awaitable[Partition]]
"""Fences older owners of a partition, reads its state, and returns it ready to fold."""

LiveFeed = Callable[[Sequence[LiveUpdate]], None]
"""Takes updates of the live view, after the commit. Never waits, never fails."""

Passed = Callable[[int, int], None]
"""Told (partition, position) when everything below the position is done with."""


class StageRunner:
    """Owns partitions of one topic. `pause`, `resume` and `drain` may be called from other tasks.

    `rested` is called after each checkpoint of all partitions, when nothing waits for the next one.
    """

    def __init__(
        self,
        name: str,
        source: RecordSource,
        take_over: TakeOver,
        *,
        checkpoint_interval: float,
        live: LiveFeed | None,
        passed: Passed,
        rested: Callable[[], None] | None = None,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.name = name
        self.owned: dict[int, Partition] = {}
        self._source, self._take_over = source, take_over
        self._interval, self._live, self._passed = checkpoint_interval, live, passed
        self._rested = rested
        self._clock, self._telemetry = clock, telemetry
        self._lock, self._turns = asyncio.Lock(), asyncio.Lock()
        self._flowing = asyncio.Event()
        self._loading: list[asyncio.Task[Partition]] = []
        self._drained = False
        self._pauses, self._pauses_at_take = 0, 0
        self._next_checkpoint = 0.0
        self._ended: set[int] = set()  # partitions whose log had an end since the last checkpoint
        self._fetched = clock.monotonic()
        self._looked_at = clock.now()  # before the last fetch: what "caught up" was true of

    @property
    def is_flowing(self) -> bool:
        """Whether the partitions are assigned, their states are read back and records flow."""
        return self._flowing.is_set()

    async def flowing(self) -> None:
        """Wait until `is_flowing`."""
        await self._flowing.wait()

    async def run(self) -> None:
        """Until drained or cancelled. Any exception means that the process must end."""
        while not self._drained:
            await self._flowing.wait()
            async with self._lock:
                if self._flowing.is_set() and not self._drained:
                    await self._turn()

    async def _turn(self) -> None:
        looked_at, since = self._clock.now(), self._clock.monotonic()
        if since - self._fetched > _STALL:
            # The process stood still (or a checkpoint waited): what was the end of the log may be none any more.
            await self._source.assign({p.number: p.position for p in self.owned.values()})
        self._fetched = since
        batches = await self._source.fetch()
        if not self._flowing.is_set():
            return  # paused meanwhile: resume() fetches again from where the states stand
        self._looked_at = looked_at
        await self._fold(batches)
        if not self._flowing.is_set():
            return  # what is left of the batches was let go, so "caught up" is no longer true
        if self._is_due() or any(p.is_heavy for p in self.owned.values()):
            await self._checkpoint()

    def _is_due(self) -> bool:
        """Nobody waits for what is behind; in fewer checkpoints a session is written more seldom for its spans."""
        self._ended.update(filter(self._source.caught_up, self.owned))
        is_behind = len(self._ended) < len(self.owned)
        return self._clock.monotonic() >= self._next_checkpoint + is_behind * (_BEHIND - 1) * self._interval

    async def _fold(self, batches: dict[int, list[InputRecord]]) -> None:
        slice_ends = self._clock.monotonic() + _SLICE
        for number, records in batches.items():
            partition = self.owned[number]
            for record in records:
                is_applied = False
                while not is_applied:
                    is_applied = partition.fold(record)
                    if partition.is_heavy:
                        await self._commit(partition)
                    if self._clock.monotonic() > slice_ends:
                        await asyncio.sleep(0)
                        if not self._flowing.is_set():
                            return  # paused: resume() fetches again from where the states stand
                        slice_ends = self._clock.monotonic() + _SLICE

    async def _checkpoint(self, *, drain: bool = False) -> None:
        await asyncio.gather(*(self._commit(partition, drain=drain) for partition in self.owned.values()))
        for partition in self.owned.values():
            partition.report()
        self._next_checkpoint = self._clock.monotonic() + self._interval
        self._ended.clear()
        if self._rested is not None:
            self._rested()

    async def _commit(self, partition: Partition, *, drain: bool = False) -> None:
        moment = Moment(self._looked_at, self._source.caught_up(partition.number), drain)
        flush = await partition.checkpoint(moment, self._turns)
        self._passed(partition.number, partition.position)
        if flush.live and self._live is not None:
            self._live(flush.live)

    async def pause(self) -> None:
        """Partitions may be taken away: stop fetching, abandon loads, commit what was folded."""
        self._pauses += 1
        for load in self._loading:
            load.cancel()
        if self._drained:
            return
        self._flowing.clear()
        async with self._lock:
            self._flowing.clear()  # a `resume` may have waited for the lock before us
            await self._source.assign({})
            await self._checkpoint()

    async def take(self, numbers: Collection[int], *, kept: Collection[int]) -> bool:
        """Own exactly `numbers`; those of `kept` go on with the state they have. False: abandoned by a `pause`."""
        self._pauses_at_take = self._pauses
        async with self._lock:
            if self._drained:
                return True
            for number in set(self.owned) - set(kept):
                await self.owned.pop(number).close()
            new = sorted(set(numbers) - set(self.owned))
            self._loading = [asyncio.ensure_future(self._take_over(number)) for number in new]
            complete = await self._loaded()
            self._telemetry.set("spanloom_owned_partitions", len(self.owned), self.name)
            _log.info("%s owns partitions %s (%s kept)", self.name, sorted(self.owned), sorted(set(kept)))
            return complete

    async def _loaded(self) -> bool:
        results = await asyncio.gather(*self._loading, return_exceptions=True)
        loads, self._loading = self._loading, []
        for result in results:
            if isinstance(result, Partition):
                self.owned[result.number] = result
        faults = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
        if faults:
            raise faults[0]
        return not any(load.cancelled() for load in loads)

    async def resume(self) -> None:
        """Fetch what is owned, each from where its state stands.

        Does nothing when a `pause` came after the last `take`: that one's rebalance is over, and
        what it gave may be taken away any moment.
        """
        async with self._lock:
            if self._drained or self._pauses_at_take != self._pauses:
                return
            await self._source.assign({p.number: p.position for p in self.owned.values()})
            self._flowing.set()

    async def drain(self) -> Sequence[Partition]:
        """Stop for good: one last checkpoint, then give up every partition. Returns them, for their states.

        Loads on their way are abandoned. A second call does nothing and returns nothing, and so
        does a rebalance that ends afterwards.
        """
        if self._drained:
            return []
        self._drained = True
        self._flowing.clear()
        for load in self._loading:
            load.cancel()
        async with self._lock:
            await self._source.assign({})
            await self._checkpoint(drain=True)
            partitions, self.owned = list(self.owned.values()), {}
            for partition in partitions:
                await partition.close()
            await self._source.close()
        self._flowing.set()  # lets run() see that it is over
        return partitions
