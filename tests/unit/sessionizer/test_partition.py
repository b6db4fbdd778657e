import asyncio
from functools import partial

from services.sessionizer.partition import BACKLOG_LIMIT, Partition
from services.sessionizer.stage import Moment
from services.shared.telemetry import Telemetry
from tests.support.stages import PARTS, EchoStage, ManualClock, RecordingWriter, record

MOMENT = Moment(0, caught_up=False)


def partition_of(stage: EchoStage, number: int = 0) -> Partition:
    return Partition(number, "window", stage, RecordingWriter(), 0, clock=ManualClock(), telemetry=Telemetry())


async def test_a_backlog_that_would_take_much_memory_does_not_wait_for_the_checkpoint() -> None:
    stage = EchoStage()
    partition = partition_of(stage)
    stage.backlog = BACKLOG_LIMIT
    at_the_limit = partition.is_heavy
    stage.backlog = BACKLOG_LIMIT + 1
    above = partition.is_heavy
    await partition.checkpoint(MOMENT, asyncio.Lock())
    assert (at_the_limit, above, partition.is_heavy) == (False, True, False)


async def test_a_flush_is_made_in_slices_and_others_get_a_turn_between_them() -> None:
    stage = EchoStage()
    checkpoint = asyncio.ensure_future(partition_of(stage).checkpoint(MOMENT, asyncio.Lock()))
    prepared = []
    while not checkpoint.done():
        await asyncio.sleep(0)
        prepared.append(len(stage.prepared))
    assert {*range(1, PARTS + 1)} <= set(prepared)
    assert stage.prepared == [MOMENT] * PARTS
    assert stage.moments == [MOMENT]


async def test_one_partition_makes_its_flush_after_the_other() -> None:
    made: list[int] = []
    turns = asyncio.Lock()
    stages = [EchoStage(), EchoStage()]
    for number, stage in enumerate(stages):
        stage.while_preparing = partial(made.append, number)
    await asyncio.gather(
        *(partition_of(stage, number).checkpoint(MOMENT, turns) for number, stage in enumerate(stages))
    )
    assert made == [0] * PARTS + [1] * PARTS


async def test_what_is_below_the_position_was_applied_before() -> None:
    stage = EchoStage()
    partition = partition_of(stage)
    assert partition.fold(record(3))
    assert partition.fold(record(2))
    assert (stage.folded, partition.position) == ([3], 4)
