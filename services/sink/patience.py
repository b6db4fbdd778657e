"""Calls to neighbours that may be away: tried again until they answer, with pauses that grow up to a limit.

There is no longest outage. What makes that harmless is that the caller holds two batches at most and
reads no more while it waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from services.shared.clickhouse_errors import RefusedRowsError
from services.shared.clock import Clock
from services.shared.errors import PermanentError, SpanloomError, TransientError
from services.shared.telemetry import Telemetry

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Pause = Callable[[float, asyncio.Event], Awaitable[None]]
"""Returns after so many seconds, or as soon as the event is set."""


class StoppedError(SpanloomError):
    """A stop was asked for while a neighbour did not answer. What was not committed is read again at the next start."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds between two attempts: `first`, then twice as long each time, never more than `longest`."""

    first: float = 0.25
    longest: float = 15.0


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """See `Pause`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


class Patience:
    """Of one sink, for one call at a time: it reads and inserts at once, so it has two.

    `told` hears what is waited for, and "" when that is over.
    """

    def __init__(
        self,
        reader: str,
        pauses: Pauses,
        *,
        clock: Clock,
        telemetry: Telemetry,
        told: Callable[[str], None],
        pause: Pause = pause,
    ) -> None:
        self._reader, self._pauses, self._clock, self._telemetry = reader, pauses, clock, telemetry
        self._told, self._pause = told, pause
        self.needs_a_person = False

    async def call(self, doing: str, call: Callable[[], Awaitable[_T]], stop: asyncio.Event) -> _T:
        """Call until it succeeds, for ever if need be.

        Raises `RefusedRowsError` at once (waiting does not help it), `StoppedError` for a failure
        after `stop` was set, and whatever else is not an error of a neighbour.
        """
        seconds, since = self._pauses.first, self._clock.monotonic()
        is_waiting = False
        while True:
            try:
                result = await call()
            except RefusedRowsError:
                self._over(doing, since, is_waiting=is_waiting)
                raise
            except (TransientError, PermanentError) as error:
                is_waiting = True
                self._failed(doing, error, seconds, self._clock.monotonic() - since)
                if stop.is_set():
                    raise StoppedError(str(error)) from error
            else:
                self._over(doing, since, is_waiting=is_waiting)
                return result
            await self._pause(seconds, stop)
            seconds = min(2 * seconds, self._pauses.longest)

    def _failed(self, doing: str, error: SpanloomError, seconds: float, waited: float) -> None:
        # Permanent but no row's fault (no table, no right): it needs a person, and nothing is lost till then.
        self.needs_a_person = isinstance(error, PermanentError)
        kind = "permanent" if self.needs_a_person else "transient"
        self._telemetry.count("spanloom_sink_errors_total", self._reader, kind)
        self._telemetry.set("spanloom_sink_waiting_seconds", max(waited, 0.001), self._reader)
        self._told(f"{self._reader} cannot {doing}: {error}")
        if self.needs_a_person:
            _log.error(
                "%s: %s failed and needs a person; nothing is lost, trying again in %.2f s: %s",
                *(self._reader, doing, seconds, error),
            )
        else:
            _log.warning("%s: %s failed, trying again in %.2f s: %s", self._reader, doing, seconds, error)

    def _over(self, doing: str, since: float, *, is_waiting: bool) -> None:
        if not is_waiting:
            return
        self.needs_a_person = False
        self._telemetry.set("spanloom_sink_waiting_seconds", 0, self._reader)
        self._told("")
        _log.info("%s: %s works again, after %.1f s", self._reader, doing, self._clock.monotonic() - since)
