"""Whether a span is a model call or a tool call, and what a model call used and cost."""

from typing import Any

from services.shared.model.span import ModelCall
from services.shared.otlp.plan import (
    CACHE_READ,
    CACHE_WRITE,
    COMPLETION,
    COMPLETION_COST,
    KIND,
    MODEL,
    PROMPT,
    PROMPT_COST,
    REASONING,
    TOTAL,
    TOTAL_COST,
)
from services.shared.otlp.span_kind import KINDS, MODEL_CALLS, Kind
from services.shared.semconv import TABLE, Meaning

_KINDS_BY_RANK = [KINDS[name] for name in TABLE[Meaning.SPAN_KIND].names]


def span_kind(values: list[Any], ranks: list[int]) -> Kind | None:
    """By the first convention that is present; `None` when none is."""
    word = values[KIND]
    return None if word is None else _KINDS_BY_RANK[ranks[KIND]].get(word.lower(), Kind.UNKNOWN)


def model_call(values: list[Any], ranks: list[int], kind: Kind | None) -> ModelCall | None:
    """A model call by its kind; without any kind by having a model and usage."""
    prompt, completion, total = values[PROMPT], values[COMPLETION], values[TOTAL]
    if kind not in MODEL_CALLS and (
        kind is not None or values[MODEL] is None or (prompt is None and completion is None and total is None)
    ):
        return None
    return ModelCall(
        values[MODEL] or "",
        prompt,
        completion,
        _sum(prompt, completion) if total is None else total,
        values[CACHE_READ],
        values[CACHE_WRITE],
        values[REASONING],
        values[PROMPT_COST],
        values[COMPLETION_COST],
        _total_cost(values, ranks),
    )


def _total_cost(values: list[Any], ranks: list[int]) -> int | None:
    """`llm.cost.total`, `llm.cost.prompt` + `llm.cost.completion`, other totals, other sums: the first there is."""
    total: int | None = values[TOTAL_COST]
    has_parts = ranks[PROMPT_COST] == 0 or ranks[COMPLETION_COST] == 0
    if total is None or (ranks[TOTAL_COST] and has_parts):
        return _sum(values[PROMPT_COST], values[COMPLETION_COST])
    return total


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)
