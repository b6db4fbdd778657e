"""A circuit breaker: callers of a neighbour that does not answer do not each wait for it.

After a failure nobody calls for a while, then one caller tries while the others go on without.
What succeeds closes the circuit; what fails opens it for twice as long, up to a limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from services.shared.clock import Clock
from services.shared.errors import TransientError


class CircuitBreaker:
    """For one event loop. Only a `TransientError` is a failure of the neighbour."""

    def __init__(self, neighbour: str, clock: Clock, *, first: float = 0.5, longest: float = 5.0) -> None:
        self._neighbour, self._clock, self._first, self._longest = neighbour, clock, first, longest
        self._pause = 0.0  # 0: closed
        self._until = 0.0
        self._is_trying = False

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around one call. Raises `TransientError` at once, without the call, while the circuit is open."""
        is_trial = self._pause > 0
        if is_trial and (self._is_trying or self._clock.monotonic() < self._until):
            raise TransientError(f"{self._neighbour} did not answer a moment ago")
        self._is_trying = is_trial
        try:
            yield
        except TransientError:
            self._pause = min(2 * self._pause, self._longest) if is_trial else max(self._pause, self._first)
            self._until = self._clock.monotonic() + self._pause
            raise
        else:
            self._pause = 0.0
        finally:
            if is_trial:
                self._is_trying = False
