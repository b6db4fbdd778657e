"""Token counts, money and durations, which arrive as any type. `None`: absent."""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from services.shared.otlp.values import from_json, plain

MAX_COUNT = 10**10
"""More tokens than this in one call are a mistake, and absent.

Sums of three such numbers over a hundred million spans fit 64 bits, and one fits five bytes.
"""

_MAX_DOLLARS_DIGITS = 9
_MAX_NUMBER_LENGTH = 64
_MAX_DURATION_DIGITS = 18
_WHOLE = re.compile(r"\s*\+?([0-9]{1,18})(?:\.0*)?\s*", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_count(value: AnyValue) -> int | None:
    number = value.int_value
    if 0 < number <= MAX_COUNT:
        return number
    return count_of(plain(value))


def count_of(value: object) -> int | None:
    """A whole number from 0 to `MAX_COUNT`, also as text or as a double. Anything else is absent."""
    number: int
    match value:
        case bool():
            return None
        case int():
            number = value
        case float() if value.is_integer():
            number = int(value)
        case str() if match := _WHOLE.fullmatch(value):
            number = int(match[1])
        case _:
            return None
    return number if 0 <= number <= MAX_COUNT else None


def read_money(value: AnyValue) -> int | None:
    return money_of(plain(value))


def money_of(value: object) -> int | None:
    """US dollars to picodollars, exact in decimal. Negative or absurd (a billion dollars) is absent."""
    amount = _decimal(value)
    if amount is None or amount < 0 or amount.adjusted() >= _MAX_DOLLARS_DIGITS:
        return None
    return int(amount.scaleb(12).to_integral_value())


def read_seconds(value: AnyValue) -> int | None:
    """Seconds to ns."""
    return seconds_of(plain(value))


def seconds_of(value: object) -> int | None:
    return _duration(value, 9)


def read_milliseconds(value: AnyValue) -> int | None:
    """Milliseconds to ns."""
    return _duration(plain(value), 6)


def read_moment(value: AnyValue) -> int | None:
    """ISO 8601 text, perhaps a quoted JSON string, to ns since the epoch. Without a zone it is UTC."""
    text = plain(value)
    if isinstance(text, str) and text[:1] == '"':
        text = from_json(text)
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 10**6 + passed.microseconds) * 1000


def _duration(value: object, exponent: int) -> int | None:
    number = _decimal(value)
    if number is None or number < 0 or number.adjusted() + exponent >= _MAX_DURATION_DIGITS:
        return None
    return int(number.scaleb(exponent))


def _decimal(value: object) -> Decimal | None:
    match value:
        case bool():
            return None
        case int():
            return Decimal(value)
        case float():
            return Decimal(repr(value)) if math.isfinite(value) else None
        case str() if len(value) <= _MAX_NUMBER_LENGTH:
            try:
                number = Decimal(value.strip())
            except InvalidOperation:
                return None
            return number if number.is_finite() else None
        case _:
            return None
