"""Whether a span is a model call or a tool call, and what a model call used and cost."""

from typing import Any

from services.shared.model.span import ModelCall
from services.shared.otlp import plan
from services.shared.otlp.span_kind import KINDS, MODEL_CALLS, Kind
from services.shared.semconv import TABLE, Meaning

_KINDS_BY_RANK = [KINDS[name] for name in TABLE[Meaning.SPAN_KIND].names]


def span_kind(values: list[Any], ranks: list[int]) -> Kind | None:
    """By the first convention that is present; `None` when none is."""
    word = values[plan.KIND]
    return None if word is None else _KINDS_BY_RANK[ranks[plan.KIND]].get(word.lower(), Kind.UNKNOWN)


def model_call(values: list[Any], ranks: list[int], kind: Kind | None) -> ModelCall | None:
    """A model call by its kind; without any kind by having a model and usage."""
    if kind not in MODEL_CALLS and (
        kind is not None
        or values[plan.MODEL] is None
        or (values[plan.PROMPT] is None and values[plan.COMPLETION] is None and values[plan.TOTAL] is None)
    ):
        return None
    prompt, completion, total = values[plan.PROMPT : plan.TOTAL + 1]
    return ModelCall(
        values[plan.MODEL] or "",
        prompt,
        completion,
        _sum(prompt, completion) if total is None else total,
        values[plan.CACHE_READ],
        values[plan.CACHE_WRITE],
        values[plan.REASONING],
        values[plan.PROMPT_COST],
        values[plan.COMPLETION_COST],
        _total_cost(values, ranks),
    )


def _total_cost(values: list[Any], ranks: list[int]) -> int | None:
    """`llm.cost.total`, `llm.cost.prompt` + `llm.cost.completion`, other totals, other sums: the first there is."""
    total: int | None = values[plan.TOTAL_COST]
    has_parts = ranks[plan.PROMPT_COST] == 0 or ranks[plan.COMPLETION_COST] == 0
    if total is None or (ranks[plan.TOTAL_COST] and has_parts):
        return _sum(values[plan.PROMPT_COST], values[plan.COMPLETION_COST])
    return total


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)
