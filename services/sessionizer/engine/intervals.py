"""Active time: the union of closed intervals of event time.

The bounds lie in one sorted array, start and end in turn, so that adding an interval is a
binary search and the array's bytes are its stored form.
"""

from array import array
from bisect import bisect_left, bisect_right
from heapq import heapify, heappop, heappush
from operator import sub
from typing import Self

MAX_INTERVALS = 1024
"""So many disjoint intervals are kept exactly; of more, those with the smallest gap between them become one."""


class Intervals:
    """Disjoint closed intervals, ns, in order. Intervals that touch are one."""

    __slots__ = ("_gaps", "bounds")

    def __init__(self, bounds: "array[int] | None" = None) -> None:
        self.bounds = array("q") if bounds is None else bounds
        # From the first time the limit is passed: (length, start) of every gap, the smallest first, and of some that
        # are filled by now.
        self._gaps: list[tuple[int, int]] | None = None

    def add(self, start: int, end: int) -> None:
        """Unite with [start, end]."""
        bounds = self.bounds
        low = len(bounds)
        if not bounds or start > bounds[-1]:
            bounds.append(start)
            bounds.append(end)
        else:
            low, high = bisect_left(bounds, start), bisect_right(bounds, end)
            if low % 2:  # start lies inside an interval
                low -= 1
                start = bounds[low]
            if high % 2:  # end lies inside an interval
                end = bounds[high]
                high += 1
            bounds[low:high] = array("q", (start, end))
        if self._gaps is not None:
            self._note_gaps(self._gaps, (low - 1, low + 1))
        if len(bounds) > 2 * MAX_INTERVALS:
            self._close_smallest_gap()

    def absorb(self, other: Self) -> None:
        """Unite with all of `other`, in its order."""
        for at in range(0, len(other.bounds), 2):
            self.add(other.bounds[at], other.bounds[at + 1])

    @property
    def total(self) -> int:
        """Sum of the lengths, ns."""
        return sum(self.bounds[1::2]) - sum(self.bounds[::2])

    def _note_gaps(self, gaps: list[tuple[int, int]], ends: tuple[int, int]) -> None:
        """Gaps that begin at these ends of intervals, where there are such, are new."""
        bounds = self.bounds
        for at in ends:
            if 0 < at < len(bounds) - 1:
                heappush(gaps, (bounds[at + 1] - bounds[at], bounds[at]))
        if len(gaps) > 4 * MAX_INTERVALS:
            self._gaps = None  # most are filled: found anew when needed

    def _close_smallest_gap(self) -> None:
        """Of equal gaps the earliest."""
        bounds, gaps = self.bounds, self._gaps
        if gaps is None:
            gaps = self._gaps = list(zip(map(sub, bounds[2::2], bounds[1:-1:2]), bounds[1:-1:2], strict=True))
            heapify(gaps)
        while True:
            gap, since = heappop(gaps)
            at = bisect_right(bounds, since) - 1
            if at % 2 and bounds[at] == since and at + 1 < len(bounds) and bounds[at + 1] - since == gap:
                del bounds[at : at + 2]
                return
