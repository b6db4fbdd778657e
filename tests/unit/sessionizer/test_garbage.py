import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from services.sessionizer import garbage
from services.sessionizer.garbage import Garbage
from tests.support.eventually import eventually_async


class _Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me: Any = self


@pytest.fixture
def generations() -> Iterator[list[int]]:
    """Of every look, as they happen."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.unfreeze()


async def test_garbage_in_cycles_goes_at_the_next_look(generations: list[int]) -> None:
    task = asyncio.ensure_future(Garbage(0.001).run())
    await asyncio.sleep(0)
    node = weakref.ref(_Node())

    async def is_gone() -> bool:
        return node() is None

    await eventually_async(is_gone, within=60.0, what="the end of a cycle", every=0.001)
    assert generations[:2] == [2, 1]
    task.cancel()


async def test_between_looks_nothing_looks(generations: list[int]) -> None:
    task = asyncio.ensure_future(Garbage().run())
    await asyncio.sleep(0)
    generations.clear()
    alive = [[number] for number in range(200_000)]
    assert (len(alive), generations) == (200_000, [])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert gc.isenabled()


async def test_now_and_then_everything_is_looked_at(generations: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_LOOKS_UNTIL_ALL", 3)
    task = asyncio.ensure_future(Garbage(0.0).run())

    async def is_seen() -> bool:
        return len(generations) >= 7

    await eventually_async(is_seen, within=60.0, what="six looks", every=0.001)
    assert generations[:7] == [2, 1, 1, 2, 1, 1, 2]
    task.cancel()


async def test_a_look_that_is_due_is_made_at_rest_and_where_there_is_none_a_pause_later(generations: list[int]) -> None:
    over = asyncio.Queue[None]()
    garbage = Garbage(30.0, pause=lambda _: over.get())
    task = asyncio.ensure_future(garbage.run())

    async def pass_time() -> None:
        over.put_nowait(None)
        for _ in range(3):  # the queue wakes the task, which goes on and asks again
            await asyncio.sleep(0)

    await asyncio.sleep(0)
    generations.clear()
    garbage.at_rest()
    assert generations == [], "it is not due yet"
    await pass_time()
    assert generations == [], "it waits for rest"
    garbage.at_rest()
    garbage.at_rest()
    assert generations == [1]
    await pass_time()
    await pass_time()
    assert generations == [1, 1], "there was no rest"
    task.cancel()
