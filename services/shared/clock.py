"""The only place that reads a clock. Everything inside takes time as an argument."""

import time
from typing import Protocol


class Clock(Protocol):
    """Processing time."""

    def now(self) -> int:
        """Wall-clock nanoseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, for intervals."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns()  # noqa: TID251 - this is the edge

    def monotonic(self) -> float:
        return time.monotonic()
