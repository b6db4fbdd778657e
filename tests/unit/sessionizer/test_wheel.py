"""The wheel hands out what may be due, once, and nothing that cannot be."""

from random import Random

import pytest

from services.sessionizer.wheel import Timer, Wheel

SECOND = 10**9

A, B = "a", "b"


class Named(Timer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @property
    def rank(self) -> str:
        return self.name


class Filed:
    """A wheel of names with the deadline of each; one is due by the deadline it was filed for last."""

    def __init__(self) -> None:
        self.wheel = Wheel()
        self.timers: dict[str, Named] = {}
        self.deadlines: dict[str, int] = {}

    def file(self, deadline: int, name: str) -> None:
        self.deadlines[name] = deadline
        self.wheel.file(deadline, self.timer(name))

    def timer(self, name: str) -> Named:
        return self.timers.setdefault(name, Named(name))

    def next_due(self, time: int) -> str | None:
        due = self.wheel.next_due(time, self._deadline)
        assert due is None or isinstance(due, Named)
        return None if due is None else due.name

    def sweep(self, time: int) -> list[str]:
        """All that is due at `time`."""
        due = []
        while (name := self.next_due(time)) is not None:
            due.append(name)
        return due

    def _deadline(self, timer: Timer) -> int | None:
        assert isinstance(timer, Named)
        return self.deadlines.get(timer.name)


@pytest.mark.parametrize("deadline", [0, 1, 5 * SECOND - 1, 5 * SECOND, -3 * SECOND, -1])
def test_an_entry_is_due_as_soon_as_time_is_greater_than_its_deadline(deadline: int) -> None:
    filed = Filed()
    filed.file(deadline, A)
    assert filed.sweep(deadline) == []
    assert filed.sweep(deadline + 1) == [A]
    assert filed.sweep(deadline + 10 * SECOND) == []


@pytest.mark.parametrize("deadlines", [(1, 2), (2, 1), (1, 1), (3, 2, 1), (1, 3, 2)])
def test_an_entry_filed_for_several_deadlines_is_due_once_by_the_last_of_them(deadlines: tuple[int, ...]) -> None:
    filed = Filed()
    for deadline in deadlines:
        filed.file(deadline * SECOND, A)
    assert len(filed.wheel) == 1
    assert filed.sweep(deadlines[-1] * SECOND) == []
    assert filed.sweep(deadlines[-1] * SECOND + 1) == [A]
    assert filed.sweep(10 * SECOND) == []
    assert len(filed.wheel) == 0


def test_an_entry_that_was_discarded_or_is_gone_is_not_due() -> None:
    filed = Filed()
    for entry in (A, B, "c"):
        filed.file(SECOND, entry)
    filed.wheel.discard(filed.timer(A))
    filed.wheel.discard(filed.timer("never filed"))
    del filed.deadlines[B]
    assert filed.sweep(2 * SECOND) == ["c"]


def test_entries_come_by_the_second_of_their_deadline_then_by_name_however_they_were_filed() -> None:
    filed = Filed()
    filed.file(SECOND, A)
    filed.file(7 * SECOND, A)  # still filed for the first second
    filed.file(7 * SECOND + 5, "z")
    filed.file(7 * SECOND + 9, B)
    filed.file(3 * SECOND, "y")
    assert filed.sweep(10 * SECOND) == ["y", A, B, "z"]


def test_what_is_filed_while_a_sweep_goes_on_waits_for_the_next_one() -> None:
    filed = Filed()
    filed.file(SECOND, A)
    filed.file(5 * SECOND, B)
    assert filed.next_due(9 * SECOND) == A
    filed.file(2 * SECOND, A)
    filed.file(5 * SECOND, B)
    filed.file(20 * SECOND, "later")
    assert len(filed.wheel) == 3
    assert filed.sweep(9 * SECOND) == [B]
    assert filed.sweep(9 * SECOND) == [A]
    assert filed.sweep(21 * SECOND) == ["later"]


def test_a_jump_over_years_costs_no_more_than_what_is_due() -> None:
    filed = Filed()
    filed.file(0, A)
    filed.file(4_000_000_000 * SECOND, B)
    assert filed.sweep(2_000_000_000 * SECOND) == [A]
    assert filed.sweep(2**63) == [B]


def test_everything_is_due_once_when_its_time_has_passed() -> None:
    random = Random(4)
    filed = Filed()
    time = entries = 0
    seen: list[str] = []
    for number in range(3_000):
        if random.random() < 0.6:
            filed.file(time + random.randrange(100 * SECOND), f"{number}")
            entries += 1
        elif random.random() < 0.3 and (again := filed.deadlines.keys() - set(seen)):
            filed.file(time + random.randrange(200 * SECOND), min(again))
        else:
            time += random.randrange(3 * SECOND)
            due = filed.sweep(time)
            assert all(filed.deadlines[entry] < time for entry in due)
            assert due == sorted(due, key=lambda entry: (filed.deadlines[entry] // SECOND, entry))
            seen += due
            left = filed.deadlines.keys() - set(seen)
            assert all(filed.deadlines[entry] >= time for entry in left)
    seen += filed.sweep(2**63)
    assert len(seen) == len(set(seen)) == entries
