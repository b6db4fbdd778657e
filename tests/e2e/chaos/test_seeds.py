"""Every span counts exactly once, whatever fails: twenty seeds of faults at random over three workers on Apache Kafka.

One seed, or any number of them by hand: `tests/chaos --seed S --minutes M`.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue

import pytest

from tests.support.chaos.faults import KINDS
from tests.support.chaos.run import SeedRun
from tests.support.chaos.site import Surroundings, surroundings
from tests.support.chaos.verdict import Verdict

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.both_paths]

SEEDS = tuple(range(1, 21))
LANES = 2
"""Runs at a time: most of one is waiting for session timeouts. They share the broker, and what befalls it."""
LONGEST = 1_800.0
"""Seconds for which a test waits, on a machine that is busy with other things, too."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Future[Verdict]]]:
    """Of each seed; all are begun at once."""
    folder = tmp_path_factory.mktemp("chaos")
    free: SimpleQueue[Surroundings] = SimpleQueue()
    with ExitStack() as stack:
        first = stack.enter_context(surroundings(folder / "lane-0"))
        free.put(first)
        for number in range(1, LANES):
            more = stack.enter_context(surroundings(folder / f"lane-{number}", first.kafka))
            free.put(replace(more, broker_in_use=first.broker_in_use))

        def run(seed: int) -> Verdict:
            around = free.get()
            try:
                return SeedRun(seed, folder / f"seed-{seed}", around).run()
            finally:
                free.put(around)

        lanes = ThreadPoolExecutor(LANES)
        yield {seed: lanes.submit(run, seed) for seed in SEEDS}
        lanes.shutdown(cancel_futures=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_double_or_wrong(verdicts: dict[int, Future[Verdict]], seed: int) -> None:
    verdict = verdicts[seed].result(LONGEST)
    print(verdict.line())  # noqa: T201 - shown with a failure of the test after it
    assert verdict.is_exact, f"{verdict.text()}\nagain: tests/chaos --seed {seed}"
    assert verdict.spans > 2_000
    assert verdict.windows > verdict.sessions, "no session has two windows: the traffic is too tame"
    assert verdict.repeated == 0, "a rollup was published twice"
    assert verdict.faults.total() >= 4


def test_the_seeds_have_every_kind_of_fault(verdicts: dict[int, Future[Verdict]]) -> None:
    total = sum((future.result(LONGEST) for future in verdicts.values()), Verdict())
    assert total.faults.keys() == set(KINDS), total.line()
