"""A timer wheel over watermark time: finds what is due without looking at what is not."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

_SECOND = 10**9
_T = TypeVar("_T", bound=tuple[Any, ...])


class Wheel(Generic[_T]):
    """Buckets of one second. An entry is in one bucket at most: the earliest that it was filed for.

    One whose deadline has moved on since comes up too early, is looked at and filed again.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, set[_T]] = {}
        self._filed: dict[_T, int] = {}
        self._order: list[int] = []
        self._number = 0  # of the bucket at hand
        self._at_hand: list[_T] = []  # what is left of it, the next one last
        self._passed: dict[_T, int] = {}  # looked at in this sweep, for the next one
        self._time: int | None = None  # of this sweep; None between sweeps

    def __len__(self) -> int:
        return len(self._filed) + len(self._at_hand) + len(self._passed)

    def file(self, deadline: int, entry: _T) -> None:
        """`entry` is due as soon as time is greater than `deadline` (ns), unless it is filed for an earlier one.

        While a sweep goes on it comes up in the next one at the earliest.
        """
        number = deadline // _SECOND
        if self._time is None or number * _SECOND >= self._time:
            self._put(number, entry)
        elif self._filed.get(entry, number + 1) > number:
            self._passed[entry] = min(number, self._passed.get(entry, number))

    def discard(self, entry: _T) -> None:
        """`entry` need not be handed out any more."""
        self._passed.pop(entry, None)
        filed = self._filed.pop(entry, None)
        if filed is not None:
            self._buckets[filed].remove(entry)

    def next_due(self, time: int, deadline_of: Callable[[_T], int | None]) -> _T | None:
        """Take out the next entry with a deadline before `time`; None, once, when there is none left.

        The calls up to that None are a sweep, all with the same `time`. `deadline_of` says when
        an entry is due today; None when it is gone. Entries come by the second of their deadline,
        then in their own order, so the wheel's history shows nowhere.
        """
        self._time = time
        while self._at_hand or self._open_bucket(time):
            entry = self._at_hand.pop()
            deadline = deadline_of(entry)
            if deadline is None:
                continue
            if deadline >= time:
                self.file(deadline, entry)
            elif deadline // _SECOND > self._number:
                self._put(deadline // _SECOND, entry)
            else:
                return entry
        self._time = None
        passed, self._passed = self._passed, {}
        for entry, number in passed.items():
            self._put(number, entry)
        return None

    def _open_bucket(self, time: int) -> bool:
        """Whether there is another one with entries that began before `time`; it is at hand now."""
        while not self._at_hand and self._order and self._order[0] * _SECOND < time:
            self._number = heappop(self._order)
            self._at_hand = sorted(self._buckets.pop(self._number), reverse=True)
            for entry in self._at_hand:
                del self._filed[entry]
        return bool(self._at_hand)

    def _put(self, number: int, entry: _T) -> None:
        filed = self._filed.get(entry)
        if filed is not None:
            if filed <= number:
                return
            self._buckets[filed].remove(entry)
        self._filed[entry] = number
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heappush(self._order, number)
        bucket.add(entry)
