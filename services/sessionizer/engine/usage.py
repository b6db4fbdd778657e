"""Sums over model calls, as lists of integers: fast to add to, exact to subtract from.

The first eleven positions are the fields of `model.rollup.Usage`, in order; three more count
the calls that carry each token number, because absent is not zero.
"""

from collections.abc import Sequence

from services.shared.model.rollup import Usage
from services.shared.model.span import ModelCall

PROMPT, COMPLETION, TOTAL = 0, 1, 2
TOTAL_COST = 8
CALLS, UNPRICED = 9, 10
PROMPT_CALLS, COMPLETION_CALLS, TOTAL_CALLS = 11, 12, 13
LENGTH = 14


def count(sums: list[int], call: ModelCall, sign: int) -> None:
    """Add the call (sign 1) or take it out again (sign -1)."""
    sums[CALLS] += sign
    if call.prompt is not None:
        sums[PROMPT] += sign * call.prompt
        sums[PROMPT_CALLS] += sign
    if call.completion is not None:
        sums[COMPLETION] += sign * call.completion
        sums[COMPLETION_CALLS] += sign
    if call.total is not None:
        sums[TOTAL] += sign * call.total
        sums[TOTAL_CALLS] += sign
    if call.cache_read is not None:
        sums[3] += sign * call.cache_read
    if call.cache_write is not None:
        sums[4] += sign * call.cache_write
    if call.reasoning is not None:
        sums[5] += sign * call.reasoning
    if call.prompt_cost is not None:
        sums[6] += sign * call.prompt_cost
    if call.completion_cost is not None:
        sums[7] += sign * call.completion_cost
    if call.total_cost is None:
        sums[UNPRICED] += sign
    else:
        sums[TOTAL_COST] += sign * call.total_cost


def published(sums: Sequence[int]) -> Usage:
    """The fields a rollup shows."""
    return Usage(*sums[: UNPRICED + 1])
