"""A timer wheel over watermark time: finds what is due without looking at what is not.

Entries are never moved: whoever owns a deadline files it again when it is popped too early.
"""

from collections import defaultdict
from heapq import heappop, heappush
from typing import Generic, TypeVar

_SECOND = 10**9
_T = TypeVar("_T")


class Wheel(Generic[_T]):
    """Buckets of one second. An entry is handed out once for each time it was filed."""

    def __init__(self) -> None:
        self._buckets: defaultdict[int, list[_T]] = defaultdict(list)
        self._order: list[int] = []

    def file(self, deadline: int, entry: _T) -> None:
        """`entry` is due as soon as time is greater than `deadline` (ns)."""
        number = deadline // _SECOND
        bucket = self._buckets[number]
        if not bucket:
            heappush(self._order, number)
        bucket.append(entry)

    def pop(self, time: int) -> list[_T]:
        """Entries that may be due at `time`, in order of their buckets; some of them a second too early."""
        entries: list[_T] = []
        while self._order and self._order[0] * _SECOND < time:
            entries += self._buckets.pop(heappop(self._order))
        return entries
