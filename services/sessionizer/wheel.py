"""A timer wheel over watermark time: finds what is due without looking at what is not."""

from heapq import heappop, heappush
from typing import Generic, TypeVar

_SECOND = 10**9
_T = TypeVar("_T")


class Wheel(Generic[_T]):
    """Buckets of one second. An entry is in one bucket at most: the earliest that it was filed for.

    One whose deadline has moved on since is handed out too early: whoever gets it looks, and files it again.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, set[_T]] = {}
        self._filed: dict[_T, int] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._filed)

    def file(self, deadline: int, entry: _T) -> None:
        """`entry` is due as soon as time is greater than `deadline` (ns), unless it is filed for an earlier one."""
        number = deadline // _SECOND
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

    def discard(self, entry: _T) -> None:
        """`entry` is not to be handed out any more."""
        filed = self._filed.pop(entry, None)
        if filed is not None:
            self._buckets[filed].remove(entry)

    def pop(self, time: int) -> list[_T]:
        """Take out the entries that may be due at `time`, in no particular order; some are a second too early."""
        entries: list[_T] = []
        while self._order and self._order[0] * _SECOND < time:
            entries += self._buckets.pop(heappop(self._order))
        for entry in entries:
            del self._filed[entry]
        return entries
