"""Waiting for a fact, never for a time."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")

_BETWEEN_LOOKS = 0.1
"""Seconds between two looks at a fact in another process, which cannot notify us. A bound on
wasted work, not a guess about time: a look that comes too early is only repeated."""


class NotInTimeError(AssertionError):
    """The fact did not come true before the deadline."""


def eventually(look: Callable[[], _T], *, within: float, what: str, every: float = _BETWEEN_LOOKS) -> _T:
    """The first true value of `look()`. Raises `NotInTimeError` with the last value after `within` seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while not (value := look()):
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what}; last value: {value!r}")
        pause.wait(every)
    return value


async def eventually_async(
    look: Callable[[], Awaitable[_T]], *, within: float, what: str, every: float = _BETWEEN_LOOKS
) -> _T:
    """`eventually` for a coroutine function; the event loop goes on meanwhile."""
    deadline = time.monotonic() + within
    never = asyncio.Event()
    while not (value := await look()):
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what}; last value: {value!r}")
        try:
            async with asyncio.timeout(every):
                await never.wait()
        except TimeoutError:
            continue
    return value
