"""Active time: the union of closed intervals of event time.

The bounds lie in one sorted array, start and end in turn, so that adding an interval is a
binary search and the array's bytes are its stored form.
"""

from array import array
from bisect import bisect_left, bisect_right
from operator import sub

MAX_INTERVALS = 1024
"""So many disjoint intervals are kept exactly; of more, those with the smallest gap between them become one."""


class Intervals:
    """Disjoint closed intervals, ns, in order. Intervals that touch are one."""

    __slots__ = ("bounds",)

    def __init__(self, bounds: "array[int] | None" = None) -> None:
        self.bounds = array("q") if bounds is None else bounds

    def add(self, start: int, end: int) -> None:
        """Unite with [start, end]."""
        bounds = self.bounds
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
        if len(bounds) > 2 * MAX_INTERVALS:
            self._close_smallest_gap()

    def absorb(self, other: "Intervals") -> None:
        """Unite with all of `other`, in its order."""
        for at in range(0, len(other.bounds), 2):
            self.add(other.bounds[at], other.bounds[at + 1])

    @property
    def total(self) -> int:
        """Sum of the lengths, ns."""
        return sum(self.bounds[1::2]) - sum(self.bounds[::2])

    def _close_smallest_gap(self) -> None:
        gaps = list(map(sub, self.bounds[2::2], self.bounds[1:-1:2]))
        at = 2 * gaps.index(min(gaps)) + 1  # of equal gaps the earliest
        del self.bounds[at : at + 2]
