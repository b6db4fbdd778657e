"""What a model call costs: the rates of its model at the time of the call, in integers.

A rate is attodollars (1e-18 USD) per million tokens, so that a price list with up to 18 decimals is
exact; a cost is picodollars, rounded once a part, half to even.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

RATE_DECIMALS = 18
"""Decimals that a price in US dollars per million tokens can have."""

MAX_KNOWN_MODELS = 4096
MAX_UNPRICED_LABELS = 100
"""Models that the metric of unpriced calls names; the others are `other`, calls without one `unnamed`."""

_DAY = 86_400 * 10**9
_ATTO_PER_MILLION = 10**12  # attodollars per million tokens to picodollars per token

_CALLS = "spanloom_model_calls_total"
_UNPRICED = "spanloom_unpriced_calls_total"
BY_SPAN, BY_NOTHING = (_CALLS, "span"), (_CALLS, "unpriced")
_OTHER = "other"
_UNNAMED = "unnamed"

Counts = Counter[tuple[str, str]]
"""By (metric name, label)."""


class Usage(NamedTuple):
    """What a span says about a call; `None` is absent. `total` is what it says, never a sum of ours."""

    prompt: int | None
    completion: int | None
    total: int | None
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None


class Cost(NamedTuple):
    """Picodollars."""

    prompt: int | None
    completion: int | None
    total: int | None


NO_COST = Cost(None, None, None)


@dataclass(frozen=True, slots=True)
class Rates:
    """Attodollars per million tokens, for prompts of more than `above` tokens.

    `None`: the list names no such price. Cached tokens are priced as the prompt they are part of
    and reasoning as the completion, where they have no price of their own.
    """

    prompt: int | None
    completion: int | None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    above: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Rates by the length of the prompt, shortest first, and picodollars for each call."""

    tiers: tuple[Rates, ...]
    call: int = 0

    def cost(self, usage: Usage) -> Cost | None:
        """`None` when tokens that have a price are not counted, or counted tokens have none."""
        prompt, completion = _counted(usage, has_completion=bool(self.tiers[0].completion))
        if prompt is None or completion is None or prompt < 0 or completion < 0:
            return None
        rates = self._rates(prompt)
        if (prompt and rates.prompt is None) or (completion and rates.completion is None):
            return None
        spent_in, spent_out = prompt * (rates.prompt or 0), completion * (rates.completion or 0)
        if usage.cache_read or usage.cache_write:
            spent_in += _more_for_cached(prompt, usage.cache_read or 0, usage.cache_write or 0, rates)
        if usage.reasoning and rates.reasoning is not None:
            spent_out += min(usage.reasoning, completion) * (rates.reasoning - (rates.completion or 0))
        cost_in, cost_out = _picodollars(spent_in), _picodollars(spent_out)
        return Cost(cost_in, cost_out, cost_in + cost_out + self.call)

    def _rates(self, prompt: int) -> Rates:
        if len(self.tiers) > 1:
            for rates in reversed(self.tiers):
                if prompt > rates.above:
                    return rates
        return self.tiers[0]


@dataclass(frozen=True, slots=True)
class Period:
    """When prices are in force: from `starts_at` (ns, inclusive) on, and of each UTC day only `daily`.

    `daily` is [from, to) in ns since midnight, over midnight when `to` is the smaller one.
    `prices` is `None` when calls of that time have no known price.
    """

    prices: Prices | None
    starts_at: int | None = None
    daily: tuple[int, int] | None = None

    def covers(self, at: int) -> bool:
        if self.starts_at is not None and at < self.starts_at:
            return False
        if self.daily is None:
            return True
        start, end = self.daily
        moment = at % _DAY
        return start <= moment < end if start <= end else moment >= start or moment < end


@dataclass(frozen=True, slots=True)
class Schedule:
    """The prices of one model over time: of the periods that cover a moment the last one counts."""

    periods: tuple[Period, ...]

    def at(self, moment: int) -> Period | None:
        """`None`: this list says nothing about that moment."""
        for period in reversed(self.periods):
            if period.covers(moment):
                return period
        return None


class PriceList(Protocol):
    """Where schedules come from. Pure: the same question has the same answer for as long as the process lives."""

    @property
    def name(self) -> str:
        """Label of the metric of model calls."""

    def schedule(self, provider: str, model: str) -> Schedule | None:
        """By the names as spans have them; "" for no provider."""


class PriceBook:
    """Price lists in order of precedence: the first that covers a model at the time of the call decides.

    Remembers what it looked up, up to a bound; that changes no answer.
    """

    def __init__(self, lists: Sequence[PriceList]) -> None:
        self._lists = lists
        self._known: dict[tuple[str, str], tuple[tuple[tuple[str, str], Schedule], ...]] = {}
        self._labels: set[str] = set()

    def cost(self, stated: Cost, usage: Usage, model: str, provider: str, at: int, counts: Counts) -> Cost:
        """What the span states, else what the lists say about a call at `at` (ns); `NO_COST` when nothing does."""
        if stated.total is not None:
            counts[BY_SPAN] += 1
            return stated
        for counted_as, schedule in self.schedules(provider, model):
            period = schedule.at(at)
            if period is not None:
                found = None if period.prices is None else period.prices.cost(usage)
                if found is None:
                    break
                counts[counted_as] += 1
                return found
        counts[BY_NOTHING] += 1
        counts[self.unpriced(model)] += 1
        return NO_COST

    def schedules(self, provider: str, model: str) -> tuple[tuple[tuple[str, str], Schedule], ...]:
        """Of all lists that have one, in order of precedence, and what calls that it prices are counted as."""
        schedules = self._known.get((provider, model))
        return self._look_up(provider, model) if schedules is None else schedules

    def unpriced(self, model: str) -> tuple[str, str]:
        """What calls of a model are counted as that have no known price. Always the same for one model."""
        return _UNPRICED, self._label(model)

    def _look_up(self, provider: str, model: str) -> tuple[tuple[tuple[str, str], Schedule], ...]:
        if len(self._known) >= MAX_KNOWN_MODELS:
            self._known.clear()
        found = [(each.name, each.schedule(provider, model)) for each in self._lists] if model else []
        schedules = tuple(((_CALLS, name), schedule) for name, schedule in found if schedule is not None)
        self._known[provider, model] = schedules
        return schedules

    def _label(self, model: str) -> str:
        if not model:
            return _UNNAMED
        if model not in self._labels:
            if len(self._labels) >= MAX_UNPRICED_LABELS:
                return _OTHER
            self._labels.add(model)
        return model


NO_PRICES = PriceBook(())
"""Spans that state no cost are unpriced."""


def _counted(usage: Usage, *, has_completion: bool) -> tuple[int | None, int | None]:
    """Prompt and completion; what only the total tells is taken from it. An embedding has no completion."""
    prompt, completion, total, *_ = usage
    if completion is None and not has_completion:
        return total if prompt is None else prompt, 0
    if total is not None:
        if completion is None and prompt is not None:
            return prompt, total - prompt
        if prompt is None and completion is not None:
            return total - completion, completion
    return prompt, completion


def _more_for_cached(prompt: int, read: int, write: int, rates: Rates) -> int:
    """What cached tokens cost more than others of the prompt, which is less than nothing where they cost less."""
    more, rate = 0, rates.prompt or 0
    read = min(read, prompt)
    if rates.cache_read is not None:
        more = read * (rates.cache_read - rate)
    if rates.cache_write is not None:
        more += min(write, prompt - read) * (rates.cache_write - rate)
    return more


def _picodollars(spent: int) -> int:
    """Half to even, as the decimal arithmetic of price lists rounds."""
    whole, rest = divmod(spent, _ATTO_PER_MILLION)
    twice = 2 * rest
    return whole + (twice > _ATTO_PER_MILLION or (twice == _ATTO_PER_MILLION and whole & 1))
