"""A file of prices that come before the library's: TOML, checked as a whole.

    [[price]]
    provider = "azure*"      # optional: every provider; names as spans have them, * is any text, without case
    model = "gpt-4o*"        # required
    from = 2026-07-01        # optional: for calls that start at or after this date (UTC) or date-time
    prompt = 2.5             # US dollars per million tokens; numbers or text, exact in decimal
    completion = "10"
    cache_read = 1.25        # of which; without it cached tokens cost what others of the prompt cost
    cache_write = 3.75
    reasoning = 12           # of which; without it what others of the completion cost
    call = 0.005             # US dollars for each call
    above = [{ prompt_tokens = 200_000, prompt = 5, completion = 15 }]   # other prices for longer prompts

    [[price]]
    model = "in-house-*"
    unpriced = true          # no known price, whatever the library says

The first entry whose provider and model fit a call decides for it, together with the entries of
the same provider and model: these are its periods. Before the first of them, the library's prices
hold. A price of 0 is a price: free, and not unpriced.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from services.shared.otlp.pricing import RATE_DECIMALS, Period, Prices, Rates, Schedule

_PARTS = ("prompt", "completion", "cache_read", "cache_write", "reasoning")
_KEYS = frozenset({"provider", "model", "from", "call", "above", "unpriced", *_PARTS})
_TIER_KEYS = frozenset({"prompt_tokens", *_PARTS})
_DOLLARS_LIMIT = 10**9
_PICO_DECIMALS = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PriceFileError(ValueError):
    """A price file that cannot be used. The text lists every fault, one a line."""


class FilePrices:
    """See `PriceList`."""

    name = "file"

    def __init__(self, text: str) -> None:
        """Raises `PriceFileError`."""
        self._entries = _read(text)

    def schedule(self, provider: str, model: str) -> Schedule | None:
        provider, model = provider.strip().lower(), model.strip().lower()
        for (providers, models), schedule in self._entries:
            if providers.fullmatch(provider) and models.fullmatch(model):
                return schedule
        return None


def read_prices(file: Path) -> FilePrices:
    """Raises `PriceFileError`, also for a file that cannot be read."""
    try:
        return FilePrices(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PriceFileError(str(error)) from error


_Entries = list[tuple[tuple[re.Pattern[str], re.Pattern[str]], Schedule]]


def _read(text: str) -> _Entries:
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise PriceFileError(f"not TOML: {error}") from error
    faults = [f"{key}: there is no such key, only [[price]]" for key in document if key != "price"]
    tables = document.get("price", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise PriceFileError("price: write each entry under [[price]]")
    periods: dict[tuple[str, str], list[Period]] = {}
    for number, table in enumerate(tables, 1):
        entry = _Entry(table)
        period = entry.period()
        faults += [f"price {number} ({entry.model or '?'}): {fault}" for fault in entry.faults]
        known = periods.setdefault((entry.provider, entry.model), [])
        if any(other.starts_at == period.starts_at for other in known):
            faults.append(f"price {number} ({entry.model}): another entry of this provider and model has the same from")
        known.append(period)
    if faults:
        raise PriceFileError("\n".join(faults))
    return [
        ((_pattern(provider), _pattern(model)), Schedule(tuple(sorted(found, key=_start))))
        for (provider, model), found in periods.items()
    ]


class _Entry:
    """One [[price]], read to the end so that all of its faults are told at once."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._table = table
        self.model, self.provider = self._name("model", ""), self._name("provider", "*")
        if not self.model:
            self.faults.append("model is missing")
        self._know(table, _KEYS)

    def period(self) -> Period:
        starts_at = self._moment()
        unpriced = self._table.get("unpriced", False)
        if not isinstance(unpriced, bool):
            self.faults.append("unpriced: true or false")
        if unpriced:
            if priced := sorted(self._table.keys() & {*_PARTS, "call", "above"}):
                self.faults.append(f"unpriced, and yet {', '.join(priced)}")
            return Period(None, starts_at)
        base = self._rates(self._table, 0)
        if not self._table.keys() & {"prompt", "completion", "call"}:
            self.faults.append("needs prompt, completion, call or `unpriced = true`")
        tiers = [base, *self._tiers(base)]
        return Period(Prices(tuple(tiers), self._price(self._table, "call", _PICO_DECIMALS) or 0), starts_at)

    def _tiers(self, base: Rates) -> list[Rates]:
        listed = self._table.get("above", [])
        if not isinstance(listed, list) or not all(isinstance(tier, dict) for tier in listed):
            self.faults.append("above: a list of { prompt_tokens = ..., prompt = ..., completion = ... }")
            return []
        tiers = []
        for tier in listed:
            self._know(tier, _TIER_KEYS)
            above = tier.get("prompt_tokens")
            if not isinstance(above, int) or isinstance(above, bool) or above <= 0:
                self.faults.append(f"above: prompt_tokens is {above!r}, and must be a whole number over 0")
                continue
            tiers.append(self._rates(tier, above, base))
        if len({tier.above for tier in tiers}) < len(tiers):
            self.faults.append("above: the same prompt_tokens twice")
        return sorted(tiers, key=lambda tier: tier.above)

    def _rates(self, table: Mapping[str, Any], above: int, below: Rates | None = None) -> Rates:
        """What a tier leaves out costs as much as below it."""
        prices = {part: self._price(table, part, RATE_DECIMALS) for part in _PARTS}
        if below is not None:
            prices = {part: getattr(below, part) if price is None else price for part, price in prices.items()}
        return Rates(
            prices["prompt"],
            prices["completion"],
            prices["cache_read"],
            prices["cache_write"],
            prices["reasoning"],
            above,
        )

    def _price(self, table: Mapping[str, Any], key: str, decimals: int) -> int | None:
        value = table.get(key)
        if value is None:
            return None
        amount = _decimal(value)
        if amount is None or not 0 <= amount < _DOLLARS_LIMIT:
            self.faults.append(f"{key} is {str(value)!r}, and must be US dollars from 0 to a billion")
            return None
        whole = amount.scaleb(decimals)
        if whole != whole.to_integral_value():
            self.faults.append(f"{key} is {str(value)!r}, and has more than {decimals} decimals")
            return None
        return int(whole)

    def _name(self, key: str, default: str) -> str:
        value = self._table.get(key, default)
        if not isinstance(value, str):
            self.faults.append(f"{key} is {value!r}, and must be text")
            return default
        return value.strip().lower()

    def _moment(self) -> int | None:
        match self._table.get("from"):
            case None:
                return None
            case datetime() as moment:
                passed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
            case date() as day:
                passed = datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH
            case other:
                self.faults.append(f"from is {other!r}, and must be a date (2026-07-01) or date-time, without quotes")
                return None
        return ((passed.days * 86_400 + passed.seconds) * 10**6 + passed.microseconds) * 1000

    def _know(self, table: Mapping[str, Any], keys: frozenset[str]) -> None:
        self.faults += [f"{key}: there is no such key" for key in table if key not in keys]


def _decimal(value: object) -> Decimal | None:
    match value:
        case bool():
            return None
        case Decimal():
            number = value
        case int() | str():
            try:
                number = Decimal(value)
            except InvalidOperation:
                return None
        case _:
            return None
    return number if number.is_finite() else None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _start(period: Period) -> int:
    """Periods in order of time: of those that cover a moment the last one counts."""
    return -(1 << 63) if period.starts_at is None else period.starts_at
