"""Traffic that keeps a number of sessions open: each is of ten spans in two turns, and they come in a fixed order."""

from collections.abc import Iterator
from itertools import islice

from tests.bench.load import TURN_SPANS, Moment, Requests
from tests.support.otlp import SECOND, T0

RECORD_SPANS = 500
GAP = 1800 * SECOND
ALLOWED_LATENESS = 60 * SECOND
"""Short: what is held is what is open, about."""

SECOND_TURN = 0.45
"""So many of the open sessions have begun between the two turns of one."""


def filling(sessions: int) -> Iterator[list[Moment]]:
    """Records of so many sessions, one after another, all of which are open at the end."""
    between = GAP // 2 // sessions
    return _records(
        _span(T0 + session * between, between, session, turn, place)
        for session in range(sessions)
        for turn in range(2)
        for place in range(TURN_SPANS)
    )


def steady(open_sessions: int, sessions: int) -> Iterator[list[Moment]]:
    """Records in which sessions begin, have their second turn, close and expire, all at the same pace.

    `open_sessions` are open as soon as as many have begun. The spans of a session come far apart,
    so nothing of it is at hand when it is touched, however many are open.
    """
    later = round(open_sessions * SECOND_TURN)
    between = GAP // (open_sessions - later)
    return _records(
        _span(T0 + begun * between, between, session, turn, place)
        for begun in range(sessions)
        for turn, session in enumerate((begun, begun - later))
        if session >= 0
        for place in range(TURN_SPANS)
    )


def closing(sessions: int, begin: int, length: int) -> Iterator[list[Moment]]:
    """Records of so many new sessions of one turn, whose spans move time on from `begin` by `length`."""
    between = length // sessions
    return _records(
        _span(begin + number * between, between, 10**11 + number, 0, place)
        for number in range(sessions)
        for place in range(TURN_SPANS)
    )


def encoded(records: Iterator[list[Moment]], requests: Requests, shift: int = 0) -> Iterator[bytes]:
    """As export requests; `shift` moves all times."""
    for record in records:
        yield requests.of([(end + shift, *rest) for end, *rest in record] if shift else record)  # type: ignore[misc]


def _span(at: int, between: int, session: int, turn: int, place: int) -> Moment:
    return at + (turn * TURN_SPANS + place) * between // 10, session, turn, place


def _records(moments: Iterator[Moment]) -> Iterator[list[Moment]]:
    while batch := list(islice(moments, RECORD_SPANS)):
        yield batch
