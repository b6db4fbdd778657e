"""The prices that come with genai-prices, as the pure core reads them.

Only its bundled data is used: no download, no clock. What a model call costs is therefore decided
by the version in requirements.lock.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from genai_prices.data import providers as bundled_providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from services.shared.otlp.pricing import RATE_DECIMALS, Period, Prices, Rates, Schedule

_PER_CALL = "requests_kcount"
_PARTS = {
    "prompt": "input_mtok",
    "completion": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}
_FREE = ":free"
"""How a free variant of a model is named. Without it, a model without any price has no known price."""

_ALIASES = {"gcp.gen_ai": "google", "x_ai": "x-ai", "x.ai": "x-ai", "togetherai": "together"}
_OWN_MACHINES = ("ollama", "vllm", "lmstudio", "lm_studio", "lm-studio", "llama.cpp", "llamacpp", "llamafile", "local")
"""Providers whose calls nobody bills by token: what another one takes for the model is not their price."""

_NOT_DATED = datetime(1970, 1, 1, tzinfo=UTC)
_Constraint = StartDateConstraint | TimeOfDateConstraint | None


class LibraryPrices:
    """See `PriceList`. A model is looked up with the provider that the span names, then with its maker."""

    name = "library"

    def __init__(self, providers: list[Provider] = bundled_providers) -> None:
        self._providers = providers

    def schedule(self, provider: str, model: str) -> Schedule | None:
        found = self._find(provider.strip().lower(), model.strip())
        return None if found is None else schedule_of(found)

    def _find(self, provider: str, model: str) -> ModelInfo | None:
        names = [*_provider_names(provider), None]
        if any(provider.startswith(own) for own in _OWN_MACHINES):
            return None
        # It keeps every question it was ever asked: a snapshot of its own for each, so that memory is bounded.
        snapshot = DataSnapshot(self._providers, from_auto_update=False, timestamp=_NOT_DATED)
        for name in names:
            if (found := _model(snapshot, name, model)) is not None:
                return found
        # What proxies call a model, `openai/gpt-4o`, and what Google does, `models/gemini-2.5-pro`.
        maker, _, rest = model.partition("/")
        return _model(snapshot, None if maker == "models" else maker, rest) if rest else None


def _provider_names(provider: str) -> list[str]:
    """Names the library may know it by: `azure.ai.openai` and `az.ai.openai` are Azure, `xai.chat` is xAI."""
    if not provider:
        return []
    if "azure" in provider or provider.startswith("az."):
        return ["azure"]
    first = provider.partition(".")[0]
    return [_ALIASES.get(provider, provider), *([_ALIASES.get(first, first)] if first != provider else [])]


def _model(snapshot: DataSnapshot, provider: str | None, model: str) -> ModelInfo | None:
    try:
        return snapshot.find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None


def schedule_of(model: ModelInfo) -> Schedule | None:
    listed = model.prices
    if isinstance(listed, ModelPrice):
        prices = _prices(listed, model)
        return None if prices is None else Schedule((Period(prices),))
    first, *_ = listed
    # Where no condition holds, the library takes the first one's prices.
    return Schedule((Period(_prices(first.prices, model)), *(_period(p.constraint, p.prices, model) for p in listed)))


def _period(constraint: _Constraint, listed: ModelPrice, model: ModelInfo) -> Period:
    prices = _prices(listed, model)
    match constraint:
        case StartDateConstraint():
            return Period(prices, starts_at=_nanoseconds(constraint.start_date))
        case TimeOfDateConstraint():
            return Period(prices, daily=(_since_midnight(constraint.start_time), _since_midnight(constraint.end_time)))
        case None:
            return Period(prices)


def _prices(listed: ModelPrice, model: ModelInfo) -> Prices | None:
    """`None` when nothing has a price that a count of tokens or calls could be multiplied by."""
    parts = {part: getattr(listed, key) for part, key in _PARTS.items()}
    per_call = getattr(listed, _PER_CALL)
    if parts["prompt"] is None and parts["completion"] is None:
        if not model.id.endswith(_FREE):
            return None
        parts = {**parts, "prompt": Decimal(0), "completion": Decimal(0)}
    starts = {tier.start for price in parts.values() if isinstance(price, TieredPrices) for tier in price.tiers}
    tiers = [
        Rates(**{part: _rate(price, above) for part, price in parts.items()}, above=above or 0)
        for above in (None, *sorted(starts))
    ]
    return Prices(tuple(tiers), 0 if per_call is None else _whole(per_call, 12 - 3))


def _rate(price: Decimal | TieredPrices | None, above: int | None) -> int | None:
    """Of the tier that counts above so many tokens, `None` for the base price."""
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if above is not None and tier.start <= above]
        price = reached[-1] if reached else price.base
    return None if price is None else _whole(price, RATE_DECIMALS)


def _whole(price: Decimal, decimals: int) -> int:
    return int(price.scaleb(decimals).to_integral_value())


def _nanoseconds(day: date) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400 * 10**9


def _since_midnight(moment: time) -> int:
    """In UTC. A moment without a zone is UTC."""
    offset = moment.utcoffset()
    seconds = (
        (moment.hour * 60 + moment.minute) * 60 + moment.second - (0 if offset is None else offset.total_seconds())
    )
    return (int(seconds) % 86_400) * 10**9 + moment.microsecond * 1000
