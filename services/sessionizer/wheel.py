# cython: annotation_typing=False
"""A timer wheel over watermark time: finds what is due without looking at what is not."""

from collections.abc import Callable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

NOWHERE = 2**63 - 1
"""The bucket of a timer that is in none."""

_SECOND = 10**9


class Timer:
    """Something to look at when a time has passed. `filed` is the bucket that it is in, which is its wheel's business.

    Timers of one bucket come in the order of `rank`. Compiled, a subclass of plain values is nothing that the garbage
    collector looks at, and neither is a bucket of them.
    """

    __slots__ = ("filed",)

    def __init__(self) -> None:
        self.filed = NOWHERE

    @property
    def rank(self) -> Any:  # noqa: ANN401 - whatever compares
        raise NotImplementedError


_rank_of = attrgetter("rank")


class Wheel:
    """Buckets of one second. A timer is in one bucket at most: the earliest that it was filed for.

    One whose deadline has moved on since comes up too early, is looked at and filed again.
    """

    __slots__ = ("_at_hand", "_buckets", "_filed", "_least", "_number", "_order", "_passed", "_time")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Timer, None]] = {}
        self._least: dict[int, int] = {}  # of each bucket the earliest deadline, or an earlier time
        self._order: list[int] = []
        self._filed = 0
        self._number = 0  # of the bucket at hand
        self._at_hand: list[Timer] = []  # what is left of it, the next one last
        self._passed: dict[Timer, int] = {}  # looked at in this sweep, for the next one
        self._time: int | None = None  # of this sweep; None between sweeps

    def __len__(self) -> int:
        return self._filed + len(self._at_hand) + len(self._passed)

    def file(self, deadline: int, timer: Timer) -> None:
        """`timer` is due as soon as time is greater than `deadline` (ns), unless it is filed for an earlier one.

        While a sweep goes on it comes up in the next one at the earliest.
        """
        number = deadline // _SECOND
        if timer.filed <= number or self._time is None or number * _SECOND >= self._time:
            self._put(deadline, timer)
        else:
            self._passed[timer] = min(deadline, self._passed.get(timer, deadline))

    def discard(self, timer: Timer) -> None:
        """`timer` need not be handed out any more."""
        self._passed.pop(timer, None)
        if timer.filed != NOWHERE:
            self._filed -= 1
            del self._buckets[timer.filed][timer]
            timer.filed = NOWHERE

    def next_due(self, time: int, deadline_of: Callable[[Timer], int | None]) -> Timer | None:
        """Take out the next timer with a deadline before `time`; None, once, when there is none left.

        The calls up to that None are a sweep, all with the same `time`. `deadline_of` says when
        a timer is due today; None when it is gone. They come by the second of their deadline,
        then by rank, so the wheel's history shows nowhere.
        """
        self._time = time
        while self._at_hand or self._open_bucket(time):
            timer = self._at_hand.pop()
            deadline = deadline_of(timer)
            if deadline is None:
                continue
            if deadline >= time:
                self.file(deadline, timer)
            elif deadline // _SECOND > self._number:
                self._put(deadline, timer)
            else:
                return timer
        self._time = None
        passed, self._passed = self._passed, {}
        for timer, deadline in passed.items():
            self._put(deadline, timer)
        return None

    def _open_bucket(self, time: int) -> bool:
        """Whether there is another one with timers that may be due at `time`; it is at hand now."""
        while not self._at_hand and self._order and self._least[self._order[0]] < time:
            number = self._number = heappop(self._order)
            del self._least[number]
            self._at_hand = list(self._buckets.pop(number))
            for timer in self._at_hand:
                timer.filed = NOWHERE
            self._filed -= len(self._at_hand)
            self._at_hand.sort(key=_rank_of, reverse=True)
        return bool(self._at_hand)

    def _put(self, deadline: int, timer: Timer) -> None:
        filed, number = timer.filed, deadline // _SECOND
        if filed < number:
            return
        if filed == number:
            self._least[number] = min(self._least[number], deadline)
            return
        if filed == NOWHERE:
            self._filed += 1
        else:
            del self._buckets[filed][timer]
        timer.filed = number
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            self._least[number] = deadline
            heappush(self._order, number)
        elif deadline < self._least[number]:
            self._least[number] = deadline
        bucket[timer] = None
