"""A clock that stands still until a test moves it."""

from services.shared.clock import Clock

SECOND = 10**9


class ManualClock(Clock):
    """Both kinds of time move together, and only by `advance`."""

    def __init__(self, now: int = 1_800_000_000 * SECOND) -> None:
        self._now, self._start = now, now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start) / SECOND

    def advance(self, nanoseconds: int) -> None:
        self._now += nanoseconds
