"""PURE: times as clients read them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(nanoseconds: int) -> str:
    """`datetime.isoformat` in UTC, as Phoenix writes it: `+00:00`, microseconds only where there are any."""
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()


def iso_nanoseconds(nanoseconds: int) -> str:
    """The same with always nine digits: sorts as text, and loses nothing."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}+00:00"
