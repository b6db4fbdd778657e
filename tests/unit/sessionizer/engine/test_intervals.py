"""Active time is the union of closed intervals, exact up to a limit."""

from itertools import pairwise, permutations
from random import Random

import pytest

from services.sessionizer.engine.intervals import MAX_INTERVALS, Intervals


def union(*intervals: tuple[int, int]) -> list[tuple[int, int]]:
    active = Intervals()
    for start, end in intervals:
        active.add(start, end)
    return list(zip(active.bounds[::2], active.bounds[1::2], strict=True))


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0, 5)], [(0, 5)]),
        ([(0, 5), (7, 9)], [(0, 5), (7, 9)]),
        ([(0, 5), (6, 9)], [(0, 5), (6, 9)]),  # 1 ns of silence is silence
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(0, 5), (3, 9)], [(0, 9)]),
        ([(0, 9), (3, 5)], [(0, 9)]),
        ([(0, 9), (0, 9)], [(0, 9)]),
        ([(0, 2), (4, 6), (8, 9), (1, 8)], [(0, 9)]),
        ([(0, 2), (4, 6), (8, 9), (3, 7)], [(0, 2), (3, 7), (8, 9)]),
        ([(5, 5)], [(5, 5)]),
        ([(5, 5), (5, 5)], [(5, 5)]),
        ([(5, 5), (0, 5)], [(0, 5)]),
        ([(5, 5), (5, 8)], [(5, 8)]),
        ([(5, 5), (0, 4), (6, 8)], [(0, 4), (5, 5), (6, 8)]),
        ([(-9, -5), (-7, 3)], [(-9, 3)]),
    ],
)
def test_the_union_is_the_same_in_any_order(intervals: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    for order in permutations(intervals):
        assert union(*order) == expected


def test_the_union_of_many_is_what_counting_every_point_gives() -> None:
    random = Random(1)
    for _ in range(200):
        intervals = [
            (start, start + random.randrange(6)) for start in random.choices(range(100), k=random.randrange(30))
        ]
        points = {2 * point for start, end in intervals for point in range(start, end + 1)}
        points |= {2 * point + 1 for start, end in intervals for point in range(start, end)}  # between two integers
        covered = {point for start, end in union(*intervals) for point in range(2 * start, 2 * end + 1)}
        assert covered == points


def test_the_total_is_the_sum_of_lengths() -> None:
    active = Intervals()
    assert active.total == 0
    for start, end in ((0, 5), (10, 11), (11, 20), (30, 30)):
        active.add(start, end)
    assert active.total == 5 + 10


def test_to_absorb_is_to_add_all() -> None:
    one, other = Intervals(), Intervals()
    one.add(0, 2)
    one.add(6, 8)
    other.add(1, 6)
    other.add(20, 21)
    one.absorb(other)
    assert list(one.bounds) == [0, 8, 20, 21]
    assert list(other.bounds) == [1, 6, 20, 21]


def test_beyond_the_limit_the_smallest_gap_closes_and_of_equal_ones_the_earliest() -> None:
    active = Intervals()
    for number in range(MAX_INTERVALS):
        active.add(1000 * number, 1000 * number + 10)
    assert len(active.bounds) == 2 * MAX_INTERVALS
    active.add(5_400, 5_410)  # 390 after the end of 5,000; 590 before 6,000
    assert len(active.bounds) == 2 * MAX_INTERVALS
    assert active.total == 10 * (MAX_INTERVALS - 1) + 410
    active.add(10**9, 10**9)  # 590 is the smallest gap now
    assert active.total == 10 * (MAX_INTERVALS - 2) + 1010
    active.add(2 * 10**9, 2 * 10**9)  # all others are equal
    assert (active.bounds[0], active.bounds[1]) == (0, 1010)


def test_the_limit_holds_whatever_is_added() -> None:
    random = Random(2)
    active = Intervals()
    for _ in range(5 * MAX_INTERVALS):
        start = random.randrange(10**9)
        active.add(start, start + random.randrange(10**4))
        assert len(active.bounds) <= 2 * MAX_INTERVALS
    assert list(active.bounds) == sorted(active.bounds)


def test_beyond_the_limit_every_gap_that_closes_is_the_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sessionizer.engine.intervals.MAX_INTERVALS", 8)
    random = Random(6)
    for _ in range(50):
        active, expected = Intervals(), list[tuple[int, int]]()
        for _ in range(200):
            start = random.randrange(400)
            end = start + random.randrange(8)
            active.add(start, end)
            expected = exactly(expected, (start, end))
            if len(expected) > 8:
                gaps = [after[0] - before[1] for before, after in pairwise(expected)]
                at = gaps.index(min(gaps))
                expected[at : at + 2] = [(expected[at][0], expected[at + 1][1])]
            assert list(zip(active.bounds[::2], active.bounds[1::2], strict=True)) == expected
            if random.random() < 0.05:
                active = Intervals(active.bounds)  # as after a restart


def exactly(intervals: list[tuple[int, int]], added: tuple[int, int]) -> list[tuple[int, int]]:
    """The union without any limit."""
    found: list[tuple[int, int]] = []
    for start, end in sorted([*intervals, added]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
