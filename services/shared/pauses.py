"""How long the event loop of a process is kept from its work: whatever waits for it waits so much longer."""

import asyncio
import gc
from typing import Literal

from services.shared.clock import Clock
from services.shared.telemetry import Telemetry

_METRIC = "spanloom_pause_seconds"
_TICK = 0.02
_SHORTEST_COLLECTION = 0.001  # shorter ones are many and delay nobody


async def watch_pauses(telemetry: Telemetry, clock: Clock) -> None:
    """Observe, until cancelled, by how much each tick is late, and how long collections of garbage take."""
    collections = _Collections(clock)
    gc.callbacks.append(collections)
    try:
        while True:
            due = clock.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            telemetry.observe(_METRIC, max(0.0, clock.monotonic() - due), "loop")
            for duration in collections.taken():
                telemetry.observe(_METRIC, duration, "collector")
    finally:
        gc.callbacks.remove(collections)


class _Collections:
    """Called by the interpreter in the middle of anything, so it only takes notes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = 0.0
        self._durations: list[float] = []

    def __call__(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        del info
        now = self._clock.monotonic()
        if phase == "start":
            self._started = now
        elif now - self._started >= _SHORTEST_COLLECTION:
            self._durations.append(now - self._started)

    def taken(self) -> list[float]:
        """Those since the last call."""
        durations, self._durations = self._durations, []
        return durations
