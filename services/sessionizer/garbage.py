"""When the interpreter looks for garbage in cycles.

By itself it does so when so many more objects are alive than the last time: in the middle of every large backlog, where
nothing is garbage yet. That took a fifth of the worker's CPU, in pauses of up to a second.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable

YOUNG = 60.0
"""Seconds between two looks at what is new. About ten objects a second are garbage in cycles, those of connections."""

_LOOKS_UNTIL_ALL = 60


class Garbage:
    """Looks for it at a fixed pace, at moments when little is alive.

    A look takes a microsecond or two for each new object that is alive, and a stage in the middle of a backlog has
    a quarter of a million of them.
    """

    def __init__(self, every: float = YOUNG, *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._every, self._pause = every, pause
        self._is_due, self._looks = False, 0

    async def run(self) -> None:
        """Keep the pace until cancelled. What is alive at the start is never looked at."""
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            while True:
                await self._pause(self._every)
                self.at_rest()  # where nobody came to rest for so long
                self._is_due = True
        finally:
            gc.enable()

    def at_rest(self) -> None:
        """Little is alive at this moment: look, if it is time."""
        if not self._is_due:
            return
        self._is_due = False
        self._looks += 1
        gc.collect(2 if self._looks % _LOOKS_UNTIL_ALL == 0 else 1)


def spare_what_is_alive() -> None:
    """Never look at what is alive now. Call it when many states have been read back: each look would take so long."""
    gc.freeze()
