"""Sums over model calls: fast to add to, exact to subtract from.

Tokens fit 64 bits whatever a window holds (`otlp.numbers.MAX_COUNT`); costs need not.
"""

from typing import Self

from services.shared.model.rollup import Usage
from services.shared.model.span import ModelCall


class Sums:
    """What calls used and cost, how many there were, and how many carry each token number: absent is not zero."""

    __slots__ = (
        "cache_read", "cache_write", "calls", "completion", "completion_calls", "completion_cost", "prompt",
        "prompt_calls", "prompt_cost", "reasoning", "total", "total_calls", "total_cost", "unpriced",
    )  # fmt: skip

    def __init__(self) -> None:
        self.prompt = self.completion = self.total = self.cache_read = self.cache_write = self.reasoning = 0
        self.calls = self.unpriced = self.prompt_calls = self.completion_calls = self.total_calls = 0
        self.prompt_cost = self.completion_cost = self.total_cost = 0

    def count(self, call: ModelCall, sign: int) -> None:
        """Add the call (sign 1) or take it out again (sign -1)."""
        self.calls += sign
        if call.prompt is not None:
            self.prompt += sign * call.prompt
            self.prompt_calls += sign
        if call.completion is not None:
            self.completion += sign * call.completion
            self.completion_calls += sign
        if call.total is not None:
            self.total += sign * call.total
            self.total_calls += sign
        if call.cache_read is not None:
            self.cache_read += sign * call.cache_read
        if call.cache_write is not None:
            self.cache_write += sign * call.cache_write
        if call.reasoning is not None:
            self.reasoning += sign * call.reasoning
        if call.prompt_cost is not None:
            self.prompt_cost += sign * call.prompt_cost
        if call.completion_cost is not None:
            self.completion_cost += sign * call.completion_cost
        if call.total_cost is None:
            self.unpriced += sign
        else:
            self.total_cost += sign * call.total_cost

    def absorb(self, other: Self) -> None:
        """Add everything of the other ones."""
        self.prompt += other.prompt
        self.completion += other.completion
        self.total += other.total
        self.cache_read += other.cache_read
        self.cache_write += other.cache_write
        self.reasoning += other.reasoning
        self.calls += other.calls
        self.unpriced += other.unpriced
        self.prompt_calls += other.prompt_calls
        self.completion_calls += other.completion_calls
        self.total_calls += other.total_calls
        self.prompt_cost += other.prompt_cost
        self.completion_cost += other.completion_cost
        self.total_cost += other.total_cost


class ModelSums:
    """The same of one model, as far as rollups tell it by model: each sum, and how many calls carry it."""

    __slots__ = (
        "completion", "completion_calls", "completion_cost", "completion_cost_calls", "prompt", "prompt_calls",
        "prompt_cost", "prompt_cost_calls", "total", "total_calls", "total_cost", "total_cost_calls",
    )  # fmt: skip

    def __init__(self) -> None:
        self.total = self.prompt = self.completion = 0
        self.total_calls = self.prompt_calls = self.completion_calls = 0
        self.total_cost = self.prompt_cost = self.completion_cost = 0
        self.total_cost_calls = self.prompt_cost_calls = self.completion_cost_calls = 0

    def count(self, call: ModelCall, sign: int) -> None:
        """Add the call (sign 1) or take it out again (sign -1)."""
        if call.total is not None:
            self.total += sign * call.total
            self.total_calls += sign
        if call.prompt is not None:
            self.prompt += sign * call.prompt
            self.prompt_calls += sign
        if call.completion is not None:
            self.completion += sign * call.completion
            self.completion_calls += sign
        if call.total_cost is not None:
            self.total_cost += sign * call.total_cost
            self.total_cost_calls += sign
        if call.prompt_cost is not None:
            self.prompt_cost += sign * call.prompt_cost
            self.prompt_cost_calls += sign
        if call.completion_cost is not None:
            self.completion_cost += sign * call.completion_cost
            self.completion_cost_calls += sign

    def absorb(self, other: Self) -> None:
        """Add everything of the other ones."""
        self.total += other.total
        self.prompt += other.prompt
        self.completion += other.completion
        self.total_calls += other.total_calls
        self.prompt_calls += other.prompt_calls
        self.completion_calls += other.completion_calls
        self.total_cost += other.total_cost
        self.prompt_cost += other.prompt_cost
        self.completion_cost += other.completion_cost
        self.total_cost_calls += other.total_cost_calls
        self.prompt_cost_calls += other.prompt_cost_calls
        self.completion_cost_calls += other.completion_cost_calls


def published(sums: Sums) -> Usage:
    """The fields a rollup shows."""
    return Usage(
        sums.prompt,
        sums.completion,
        sums.total,
        sums.cache_read,
        sums.cache_write,
        sums.reasoning,
        sums.prompt_cost,
        sums.completion_cost,
        sums.total_cost,
        sums.calls,
        sums.unpriced,
    )
