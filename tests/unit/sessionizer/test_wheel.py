"""The wheel hands out what may be due, once, and nothing that cannot be."""

from random import Random

import pytest

from services.sessionizer.wheel import Wheel

SECOND = 10**9


@pytest.mark.parametrize("deadline", [0, 1, 5 * SECOND - 1, 5 * SECOND, -3 * SECOND, -1])
def test_an_entry_is_handed_out_as_soon_as_time_is_greater_than_its_deadline(deadline: int) -> None:
    wheel: Wheel[str] = Wheel()
    wheel.file(deadline, "a")
    assert wheel.pop(deadline + 1) == ["a"]
    assert wheel.pop(deadline + 10 * SECOND) == []


def test_an_entry_of_a_later_second_stays() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.file(5 * SECOND, "a")
    assert wheel.pop(5 * SECOND) == []
    assert wheel.pop(5 * SECOND + 1) == ["a"]


@pytest.mark.parametrize("deadlines", [(1, 2), (2, 1), (1, 1), (3, 2, 1), (1, 3, 2)])
def test_an_entry_filed_for_several_deadlines_is_handed_out_once_at_the_earliest(deadlines: tuple[int, ...]) -> None:
    wheel: Wheel[str] = Wheel()
    for deadline in deadlines:
        wheel.file(deadline * SECOND, "a")
    assert len(wheel) == 1
    assert wheel.pop(SECOND) == []
    assert wheel.pop(SECOND + 1) == ["a"]
    assert wheel.pop(10 * SECOND) == []
    assert len(wheel) == 0


def test_a_discarded_entry_is_not_handed_out() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.file(SECOND, "a")
    wheel.file(SECOND, "b")
    wheel.discard("a")
    wheel.discard("never filed")
    assert wheel.pop(2 * SECOND) == ["b"]


def test_an_entry_filed_again_while_time_stands_still_is_handed_out_again_later() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.file(5 * SECOND + 500, "a")
    assert wheel.pop(5 * SECOND + 1) == ["a"]  # its second has begun, its deadline is not passed
    wheel.file(5 * SECOND + 500, "a")
    assert wheel.pop(5 * SECOND + 501) == ["a"]


def test_a_jump_over_years_costs_no_more_than_what_is_due() -> None:
    wheel: Wheel[int] = Wheel()
    wheel.file(0, 1)
    wheel.file(4_000_000_000 * SECOND, 2)
    assert wheel.pop(2_000_000_000 * SECOND) == [1]
    assert wheel.pop(2**63) == [2]


def test_buckets_come_in_order_and_nothing_is_lost_or_early_by_more_than_a_second() -> None:
    random = Random(4)
    wheel: Wheel[int] = Wheel()
    time, filed, seen = 0, 0, []
    for _ in range(2_000):
        if random.random() < 0.6:
            wheel.file(deadline := time + random.randrange(100 * SECOND), deadline)
            filed += 1
        else:
            time += random.randrange(3 * SECOND)
            due = wheel.pop(time)
            assert all(deadline // SECOND * SECOND < time for deadline in due)
            assert [deadline // SECOND for deadline in due] == sorted(deadline // SECOND for deadline in due)
            seen += due
    seen += wheel.pop(2**63)
    assert len(seen) == filed
