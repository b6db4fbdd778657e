"""Points in time as arguments."""

from datetime import UTC, datetime, timedelta

import click

from services.shared.clock import Clock, SystemClock
from services.shared.settings import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str, now: int) -> int:
    """`2026-11-21T08:00:00Z` (without a zone: UTC), or how long ago (`2h`), in ns. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - parse_duration(text)
        except ValueError:
            message = f"{text!r} is no time; write for example 2026-11-21T08:00:00Z, or 2h for two hours ago"
            raise ValueError(message) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


class Instant(click.ParamType):
    """A click type for `parse_instant`."""

    name = "time"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_instant(str(value), self._clock.now())
        except ValueError as error:
            self.fail(str(error), param, ctx)
