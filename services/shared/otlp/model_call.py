"""Whether a span is a model call or a tool call, and what a model call used and cost."""

from typing import Any

from services.shared.model.span import ModelCall
from services.shared.otlp.plan import (
    CACHE_APART,
    CACHE_READ,
    CACHE_WRITE,
    COMPLETION,
    COMPLETION_COST,
    KIND,
    MODEL,
    PROMPT,
    PROMPT_COST,
    PROVIDER,
    REASONING,
    TOTAL,
    TOTAL_COST,
)
from services.shared.otlp.pricing import Cost, Counts, PriceBook, Usage
from services.shared.otlp.span_kind import KINDS, MODEL_CALLS, Kind
from services.shared.semconv import TABLE, Meaning

_KINDS_BY_RANK = [KINDS[name] for name in TABLE[Meaning.SPAN_KIND].names]
WITHOUT_CACHED = frozenset(
    TABLE[Meaning.PROMPT_TOKENS].names.index(name)
    for name in ("langfuse.observation.usage_details{input}", "input_tokens")
)
"""Ranks of prompt tokens that leave cached ones out."""
WITHOUT_REASONING = TABLE[Meaning.COMPLETION_TOKENS].names.index("langfuse.observation.usage_details{output}")
_CLAUDE = ("anthropic", "claude")


def span_kind(values: list[Any], ranks: list[int]) -> Kind | None:
    """By the first convention that is present; `None` when none is."""
    word = values[KIND]
    return None if word is None else _KINDS_BY_RANK[ranks[KIND]].get(word.lower(), Kind.UNKNOWN)


def model_call(
    values: list[Any], ranks: list[int], kind: Kind | None, start: int, prices: PriceBook, counts: Counts
) -> ModelCall | None:
    """A model call by its kind; without any kind by having a model and usage.

    It costs what the span says, else what `prices` say about its `start` (ns). Counted in `counts`.
    """
    model, prompt, completion, total = values[MODEL], values[PROMPT], values[COMPLETION], values[TOTAL]
    if kind not in MODEL_CALLS and (
        kind is not None or model is None or (prompt is None and completion is None and total is None)
    ):
        return None
    if values[CACHE_READ] or values[CACHE_WRITE] or values[REASONING]:
        named = _sum(prompt, completion)
        prompt, completion = _with_cached(values, ranks, prompt), _with_reasoning(values, ranks, completion)
        if total == named:
            total = _sum(prompt, completion)
    usage = Usage(prompt, completion, total, values[CACHE_READ], values[CACHE_WRITE], values[REASONING])
    stated = Cost(values[PROMPT_COST], values[COMPLETION_COST], _total_cost(values, ranks))
    provider = values[PROVIDER] or ""
    cost = prices.cost(stated, usage, model or "", provider, start, counts)
    return ModelCall(
        model or "",
        prompt,
        completion,
        _sum(prompt, completion) if total is None else total,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        cost.prompt,
        cost.completion,
        cost.total,
        provider,
    )


def _with_cached(values: list[Any], ranks: list[int], prompt: int | None) -> int | None:
    """Prompt tokens with cached ones, which some leave out: known names, and whoever names fewer than were cached."""
    cached: int = (values[CACHE_READ] or 0) + (values[CACHE_WRITE] or 0)
    if prompt is None or not cached:
        return prompt
    is_apart = ranks[PROMPT] in WITHOUT_CACHED or prompt < cached or (values[CACHE_APART] and is_claude(values))
    return prompt + cached if is_apart else prompt


def _with_reasoning(values: list[Any], ranks: list[int], completion: int | None) -> int | None:
    if completion is None or not values[REASONING] or ranks[COMPLETION] != WITHOUT_REASONING:
        return completion
    reasoning: int = values[REASONING]
    return completion + reasoning


def is_claude(values: list[Any]) -> bool:
    """Whether a span's provider or model says so."""
    text = f"{values[PROVIDER]} {values[MODEL]}".lower()
    return any(word in text for word in _CLAUDE)


def _total_cost(values: list[Any], ranks: list[int]) -> int | None:
    """`llm.cost.total`, `llm.cost.prompt` + `llm.cost.completion`, other totals, other sums: the first there is."""
    total: int | None = values[TOTAL_COST]
    has_parts = ranks[PROMPT_COST] == 0 or ranks[COMPLETION_COST] == 0
    if total is None or (ranks[TOTAL_COST] and has_parts):
        return _sum(values[PROMPT_COST], values[COMPLETION_COST])
    return total


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)
