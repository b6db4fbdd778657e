# cython: language_level=3
"""What a packed call adds to sums. Inline C, no module of its own; `usage.py` is the definition."""

from libc.stdint cimport int64_t

from services.sessionizer.engine.usage cimport ModelSums, Sums
from services.shared.records._session_spans cimport (
    CACHE_READ, CACHE_WRITE, COMPLETION, COMPLETION_COST, HAS_CACHE_READ, HAS_CACHE_WRITE, HAS_COMPLETION,
    HAS_COMPLETION_COST, HAS_PROMPT, HAS_PROMPT_COST, HAS_REASONING, HAS_TOTAL, HAS_TOTAL_COST, PROMPT, PROMPT_COST,
    REASONING, TOTAL, TOTAL_COST, Item,
)


cdef inline int count(Sums turn, Sums totals, ModelSums model, Item* item) except -1:
    """Add a call's usage to its turn, its window and, where that is kept, its model."""
    cdef int64_t* amounts = item.amounts
    cdef int has = item.has
    turn.calls += 1
    totals.calls += 1
    if has & HAS_PROMPT:
        turn.prompt += amounts[PROMPT]
        turn.prompt_calls += 1
        totals.prompt += amounts[PROMPT]
        totals.prompt_calls += 1
        if model is not None:
            model.prompt += amounts[PROMPT]
            model.prompt_calls += 1
    if has & HAS_COMPLETION:
        turn.completion += amounts[COMPLETION]
        turn.completion_calls += 1
        totals.completion += amounts[COMPLETION]
        totals.completion_calls += 1
        if model is not None:
            model.completion += amounts[COMPLETION]
            model.completion_calls += 1
    if has & HAS_TOTAL:
        turn.total += amounts[TOTAL]
        turn.total_calls += 1
        totals.total += amounts[TOTAL]
        totals.total_calls += 1
        if model is not None:
            model.total += amounts[TOTAL]
            model.total_calls += 1
    if has & HAS_CACHE_READ:
        turn.cache_read += amounts[CACHE_READ]
        totals.cache_read += amounts[CACHE_READ]
    if has & HAS_CACHE_WRITE:
        turn.cache_write += amounts[CACHE_WRITE]
        totals.cache_write += amounts[CACHE_WRITE]
    if has & HAS_REASONING:
        turn.reasoning += amounts[REASONING]
        totals.reasoning += amounts[REASONING]
    if has & HAS_PROMPT_COST:
        cost = amounts[PROMPT_COST]
        turn.prompt_cost += cost
        totals.prompt_cost += cost
        if model is not None:
            model.prompt_cost += cost
            model.prompt_cost_calls += 1
    if has & HAS_COMPLETION_COST:
        cost = amounts[COMPLETION_COST]
        turn.completion_cost += cost
        totals.completion_cost += cost
        if model is not None:
            model.completion_cost += cost
            model.completion_cost_calls += 1
    if has & HAS_TOTAL_COST:
        cost = amounts[TOTAL_COST]
        turn.total_cost += cost
        totals.total_cost += cost
        if model is not None:
            model.total_cost += cost
            model.total_cost_calls += 1
    else:
        turn.unpriced += 1
        totals.unpriced += 1
    return 0
