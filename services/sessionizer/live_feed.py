"""Live updates on their way to Redis: for freshness only, so never in the way of a checkpoint."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from services.sessionizer.stage import LiveUpdate
from services.shared.errors import TransientError
from services.shared.telemetry import Telemetry

_WAITING = 32  # batches of one checkpoint each; a Redis that is this far behind shows old values anyway
_WAITING_BYTES = 8 << 20  # of all of them; a single larger batch waits alone
_LAST_PATIENCE = 3.0  # seconds that a stop waits for Redis
_log = logging.getLogger(__name__)


class LiveWriter(Protocol):
    """Where live updates go."""

    async def apply(self, updates: Sequence[LiveUpdate]) -> None:
        """Raises `TransientError` when Redis does not take them."""

    def doubt(self, updates: Sequence[LiveUpdate]) -> None:
        """These will never be applied."""


class LiveFeed:
    """Hands updates over in order from a bounded queue; what does not fit is dropped and counted."""

    def __init__(self, writer: LiveWriter, telemetry: Telemetry) -> None:
        self._writer, self._telemetry = writer, telemetry
        self._queue: asyncio.Queue[Sequence[LiveUpdate]] = asyncio.Queue(_WAITING)
        self._failing = False
        self._waiting_bytes = 0

    def put(self, updates: Sequence[LiveUpdate]) -> None:
        """Never waits, never fails."""
        size = _size(updates)
        if self._queue.full() or (self._waiting_bytes and self._waiting_bytes + size > _WAITING_BYTES):
            self._writer.doubt(updates)
            self._telemetry.count("spanloom_live_errors_total", by=len(updates))
            return
        self._waiting_bytes += size
        self._queue.put_nowait(updates)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            updates = await self._queue.get()
            try:
                await self._writer.apply(updates)
            except TransientError as error:
                self._telemetry.count("spanloom_live_errors_total", by=len(updates))
                if not self._failing:
                    _log.warning("live values are missing until Redis answers again: %s", error)
                self._failing = True
            else:
                self._failing = False
            self._waiting_bytes -= _size(updates)
            self._queue.task_done()

    async def drained(self) -> None:
        """Wait until everything put so far was handed over or dropped, but not long: a stop has better to do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_PATIENCE):
                await self._queue.join()


def _size(updates: Sequence[LiveUpdate]) -> int:
    return sum(len(data) for update in updates for part in (update.windows, update.turns) for data in part.values())
