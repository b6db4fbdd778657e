"""What genai-prices says, as the core reads it: the same to the picodollar, for every model it knows."""

from collections import Counter
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, StartDateConstraint
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.model.span import PICODOLLARS
from services.shared.otlp.pricing import NO_COST, Cost, PriceBook, Usage
from services.shared.prices.library import LibraryPrices, schedule_of

SECOND = 10**9
MODELS = [(provider, model) for provider in providers for model in provider.models]
SCHEDULES = {id(model): schedule_of(model) for _, model in MODELS}
PROMPTS = st.one_of(st.sampled_from([0, 1, 128_000, 128_001, 200_000, 200_001, 272_001]), st.integers(0, 10**7))
MOMENTS = st.integers(
    int(datetime(2023, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 6, 1, tzinfo=UTC).timestamp())
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    prompt, completion = draw(PROMPTS), draw(st.integers(0, 10**6))
    read = draw(st.integers(0, prompt))
    write = draw(st.integers(0, prompt - read))
    return Usage(prompt, completion, None, read, write, draw(st.integers(0, completion)))


def ours(model: ModelInfo, usage: Usage, at: int) -> Cost | None:
    schedule = SCHEDULES[id(model)] if id(model) in SCHEDULES else schedule_of(model)
    period = None if schedule is None else schedule.at(at)
    return None if period is None or period.prices is None else period.prices.cost(usage)


def theirs(provider: Provider, model: ModelInfo, usage: Usage, at: int) -> tuple[Decimal, Decimal, Decimal]:
    found = model.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt,
            output_tokens=usage.completion,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            output_reasoning_tokens=usage.reasoning,
        ),
        provider,
        genai_request_timestamp=datetime.fromtimestamp(at // SECOND, UTC),
    )
    return found.input_price, found.output_price, found.total_price


def picodollars(dollars: Decimal) -> int:
    return int((dollars * PICODOLLARS).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(usages(), MOMENTS)
@settings(max_examples=8, deadline=None)  # a second each: thousands of models
def test_every_model_costs_what_the_library_says_for_that_date(usage: Usage, second: int) -> None:
    priced = 0
    for provider, model in MODELS:
        cost = ours(model, usage, second * SECOND)
        if cost is not None:
            priced += 1
            prompt, completion, total = theirs(provider, model, usage, second * SECOND)
            assert (cost.prompt, cost.completion) == (picodollars(prompt), picodollars(completion)), model.id
            # The library rounds the sum, where prices have more than six decimals.
            assert cost.total is not None
            assert abs(cost.total - picodollars(total)) <= 1

    assert priced > 2_000


def test_models_that_have_no_price_for_the_tokens_of_a_call_are_the_only_ones_without_a_cost() -> None:
    usage, at = Usage(1000, 100, None, 0, 0, 0), int(datetime(2026, 11, 21, tzinfo=UTC).timestamp()) * SECOND
    unpriced = [(provider, model) for provider, model in MODELS if ours(model, usage, at) is None]

    for provider, model in unpriced:
        listed = model.get_prices(datetime(2026, 11, 21, tzinfo=UTC))
        assert listed.input_mtok is None or listed.output_mtok is None, (provider.id, model.id)
    assert len(unpriced) < len(MODELS) / 10


def test_a_start_date_is_midnight_in_utc() -> None:
    changes = [
        (provider, model, price.constraint.start_date)
        for provider, model in MODELS
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, StartDateConstraint)
    ]
    usage = Usage(1000, 100, None, 0, 0, 0)

    assert len(changes) > 100
    for provider, model, day in changes:
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND
        for at in (midnight - SECOND, midnight):
            cost = ours(model, usage, at)
            assert cost is None or cost.prompt == picodollars(theirs(provider, model, usage, at)[0])
            assert cost == ours(model, usage, at + SECOND - 1)


def test_a_price_by_time_of_day_changes_within_the_day() -> None:
    model = next(
        model
        for _, model in MODELS
        if isinstance(model.prices, list)
        and {type(p.constraint).__name__ for p in model.prices} > {"NoneType"}
        and any(type(p.constraint).__name__ == "TimeOfDateConstraint" for p in model.prices)
    )
    usage = Usage(1_000_000, 0, None, 0, 0, 0)
    day = int(datetime(2025, 6, 15, tzinfo=UTC).timestamp()) * SECOND
    costs = [ours(model, usage, day + hour * 3600 * SECOND) for hour in range(24)]

    assert len(set(costs)) > 1


@pytest.mark.parametrize(
    ("provider", "model", "known_as"),
    [
        ("openai", "gpt-4o", ("openai", "gpt-4o")),
        ("OpenAI", "GPT-4o-2024-08-06", ("openai", "gpt-4o")),
        ("openai.chat", "gpt-4o", ("openai", "gpt-4o")),
        ("", "gpt-4o", ("openai", "gpt-4o")),
        ("a proxy of ours", "gpt-4o", ("openai", "gpt-4o")),
        ("", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("azure.ai.openai", "text-embedding-3-large", ("azure", "text-embedding-3-large")),
        ("az.ai.openai", "gpt-4o", ("openai", "gpt-4o")),
        ("anthropic", "claude-3-5-haiku-latest", ("anthropic", "claude-3-5-haiku-latest")),
        ("openai", "claude-3-5-haiku-latest", ("anthropic", "claude-3-5-haiku-latest")),
        ("gcp.gen_ai", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("gcp.vertex_ai", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("aws.bedrock", "amazon.nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        ("x_ai", "grok-3", ("x-ai", "grok-3")),
        ("xai.chat", "grok-3", ("x-ai", "grok-3")),
    ],
)
def test_providers_are_known_by_the_names_that_spans_give_them(
    provider: str, model: str, known_as: tuple[str, str]
) -> None:
    [listed] = [found for owner, found in MODELS if (owner.id, found.id) == known_as]

    assert LibraryPrices().schedule(provider, model) == schedule_of(listed)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("", "no-such-model"),
        ("", ""),
        ("ollama", "gpt-oss:20b"),
        ("vllm", "deepseek-chat"),
        ("openai", "ft:gpt-4o-mini:acme::abc"),
        ("openai", "whisper-1"),  # priced by the hour
        ("openai", "moderation"),  # listed without any price
    ],
)
def test_what_is_not_known_has_no_price(provider: str, model: str) -> None:
    assert LibraryPrices().schedule(provider, model) is None


def test_a_variant_that_is_named_free_costs_nothing() -> None:
    cost = PriceBook((LibraryPrices(),)).cost(
        NO_COST, Usage(10, 1, None, 0, 0, 0), "deepseek/deepseek-r1:free", "openrouter", 0, Counter()
    )

    assert cost == Cost(0, 0, 0)


def test_where_no_condition_holds_the_first_price_of_a_model_counts() -> None:
    later = datetime(2030, 1, 1, tzinfo=UTC).date()
    model = ModelInfo(
        "m",
        MODELS[0][1].match,
        prices=[
            ConditionalPrice(
                StartDateConstraint(later), prices=ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(4))
            )
        ],
    )

    assert ours(model, Usage(10**6, 10**6, None, 0, 0, 0), 0) == Cost(2 * PICODOLLARS, 4 * PICODOLLARS, 6 * PICODOLLARS)
