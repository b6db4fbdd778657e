"""When time passed a moment: of one log, from what its sources promised. PURE."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """At `at`, `source` promised that nothing earlier than `time` comes. ns."""

    at: int
    source: str
    time: int


class Passing:
    """The least promise of all sources, as it rises. Promises in the order in which they stand in the log."""

    def __init__(self, promises: Iterable[Promise], sources: int) -> None:
        latest: dict[str, int] = {}
        self._times: list[int] = []
        self._at: list[int] = []
        for promise in promises:
            latest[promise.source] = max(promise.time, latest.get(promise.source, promise.time))
            watermark = min(latest.values())
            if len(latest) == sources and (not self._times or watermark > self._times[-1]):
                self._times.append(watermark)
                self._at.append(promise.at)

    def moment(self, time: int) -> int:
        """When the watermark was first greater than `time`. Raises `ValueError` where it never was."""
        index = bisect_right(self._times, time)
        if index == len(self._times):
            raise ValueError(f"the watermark never passed {time}")
        return self._at[index]
