"""Who waits for a neighbour that does not answer, and how often."""

import asyncio

import pytest

from services.shared.circuit import CircuitBreaker
from services.shared.errors import TransientError
from tests.support.clock import SECOND, ManualClock


class Neighbour:
    """Is called through a circuit breaker."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.circuit = CircuitBreaker("Redis", self.clock, first=1.0, longest=4.0)
        self.answers = True
        self.calls = 0

    def call(self) -> bool:
        """Whether the neighbour was asked and answered."""
        try:
            with self.circuit.calling():
                self._ask()
        except TransientError:
            return False
        return True

    def _ask(self) -> None:
        self.calls += 1
        if not self.answers:
            raise TransientError("no answer")


def test_while_it_answers_every_call_goes_through() -> None:
    neighbour = Neighbour()
    assert all(neighbour.call() for _ in range(10))
    assert neighbour.calls == 10


def test_after_a_failure_it_is_left_alone_for_a_while_and_then_tried_once_in_a_pause_that_doubles() -> None:
    neighbour = Neighbour()
    neighbour.answers = False
    tried_at = []
    for tick in range(200):
        calls = neighbour.calls
        assert not neighbour.call()
        if neighbour.calls > calls:
            tried_at.append(tick / 10)
        neighbour.clock.advance(SECOND // 10)
    assert tried_at == [0.0, 1.0, 3.0, 7.0, 11.0, 15.0, 19.0]


def test_one_answer_closes_the_circuit() -> None:
    neighbour = Neighbour()
    neighbour.answers = False
    neighbour.call()
    neighbour.answers = True
    assert not neighbour.call()
    neighbour.clock.advance(SECOND)
    assert neighbour.call()
    assert neighbour.call()
    neighbour.answers = False
    assert not neighbour.call()
    neighbour.clock.advance(SECOND)
    neighbour.answers = True
    assert neighbour.call(), "the pause of a new outage is the first one again"


async def test_while_one_caller_tries_the_others_go_on_without() -> None:
    neighbour = Neighbour()
    neighbour.answers = False
    neighbour.call()
    neighbour.clock.advance(SECOND)
    may_end = asyncio.Event()

    async def try_slowly() -> None:
        with neighbour.circuit.calling():
            await may_end.wait()

    trial = asyncio.ensure_future(try_slowly())
    await asyncio.sleep(0)
    assert not neighbour.call()
    trial.cancel()
    await asyncio.wait([trial])
    neighbour.answers = True
    assert neighbour.call(), "a trial that was cancelled says nothing, and the next caller may try"


def test_a_bug_is_no_failure_of_the_neighbour() -> None:
    neighbour = Neighbour()
    with pytest.raises(KeyError), neighbour.circuit.calling():
        raise KeyError
    assert neighbour.call()
