"""One owner of every partition, without a group: does whatever an owner does, from the first take-over to the drain.

Runs in a forked child that a trap may end at any of its awaits. Where nothing ends it, it has read, folded and
committed everything when it returns, and leaves the points it has passed (`FileTrap.tell`).
"""

import asyncio
import sys
import time
from collections.abc import Callable, Collection

from services.sessionizer import partition, runner
from services.sessionizer.runner import StageRunner
from services.sessionizer.worker import Worker
from services.shared import kafka
from services.shared.clock import SystemClock
from services.shared.errors import TransientError
from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings, load_settings
from services.shared.telemetry import Telemetry
from tests.support.chaos import mutations
from tests.support.chaos.trap import TRAP

TO_BE_RESTARTED = 75
"""Exit status where the broker did not answer as it should: a supervisor starts another one."""

_LONGEST = 30.0
_STANDSTILL = 60.0  # seconds that the first fetch seems to come late


def own(*, moved: Collection[str], mutation: str) -> None:
    """See the module. Settings come from the environment.

    `moved`: stages whose partitions are taken away and given back.
    `mutation`: of `mutations.MUTATIONS`, or none.
    """
    if mutation:
        mutations.apply(mutation)
    # So little that every branch is taken: batches that are full, a backlog that is too heavy, slices that are over.
    kafka._BATCH = 256
    partition.BACKLOG_LIMIT = 4_096
    runner._SLICE = 0.0
    try:
        asyncio.run(_own(load_settings(), moved))
    except TransientError as error:
        print(error, flush=True)  # noqa: T201 - into the log
        sys.exit(TO_BE_RESTARTED)
    TRAP.tell()


def stages(settings: Settings, counts: dict[str, int]) -> dict[str, StageRunner]:
    """The stages of a worker, by name, in the order in which spans pass them. Only in a running loop."""
    worker = Worker(
        settings,
        settings.kafka_bootstrap,
        counts,
        live=None,
        clock=SystemClock(),
        telemetry=Telemetry(),
    )
    return {runner.name: runner for runner in worker._app.runners.values()}


async def _own(settings: Settings, moved: Collection[str]) -> None:
    counts = {spec.name: settings.topic_partitions for spec in topic_specs(settings)}
    runners = list(stages(settings, counts).values())
    everything = range(settings.topic_partitions)
    assert all(await asyncio.gather(*(each.take(everything, kept=()) for each in runners)))
    for each in runners:
        await each.resume()
        each._fetched -= _STANDSTILL
    loops = [asyncio.ensure_future(each.run()) for each in runners]
    for each in runners:
        await _at_the_end(each)
        if each.name not in moved:
            continue
        # A rebalance takes all but one away, the next one brings them back.
        for numbers, kept in ((range(1), range(1)), (everything, range(1))):
            await each.pause()
            assert await each.take(numbers, kept=kept)
            await each.resume()
        await _at_the_end(each)
    for each in runners:
        await each.drain()
    await asyncio.gather(*loops)


async def _at_the_end(each: StageRunner) -> None:
    """Until it has folded, and committed, what earlier stages wrote."""

    def look() -> bool:
        return all(each._source.caught_up(number) for number in each.owned)

    await _until(look)
    async with each._lock:
        await each._checkpoint()  # after the turn in which it saw the end


async def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST
    never = asyncio.Event()
    while not look():
        assert time.monotonic() < deadline, "not in time"
        try:
            async with asyncio.timeout(0.01):
                await never.wait()
        except TimeoutError:
            continue
