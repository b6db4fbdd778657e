"""When the interpreter looks for garbage in cycles.

By itself it does so when so many more objects are alive than the last time: in the middle of every large backlog, where
nothing is garbage yet. That took a fifth of the worker's CPU, in pauses of up to a second.
"""

import asyncio
import gc

YOUNG = 60.0
"""Seconds between two looks at what is new. About ten objects a second are garbage in cycles, those of connections."""

_LOOKS_UNTIL_ALL = 60


async def collect_rarely(every: float = YOUNG) -> None:
    """Look at a fixed pace only, until cancelled. What is alive at the start is never looked at."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        looks = 0
        while True:
            await asyncio.sleep(every)
            looks += 1
            gc.collect(2 if looks % _LOOKS_UNTIL_ALL == 0 else 1)
    finally:
        gc.enable()


def spare_what_is_alive() -> None:
    """Never look at what is alive now. Call it when many states have been read back: each look would take so long."""
    gc.freeze()
