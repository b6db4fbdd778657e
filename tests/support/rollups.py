"""Builders of windows and turns as readers find them. Times in seconds after `T0`, costs in dollars."""

from decimal import Decimal
from typing import Any

from services.shared.model.rollup import CloseReason, TurnRollup, Usage, WindowRollup, WindowState
from services.shared.model.span import PICODOLLARS

SECOND = 10**9
T0 = 2_500_000_000 * SECOND
"""2049-03-22 04:26:40 UTC: tables forget rows by `first_seen_at`, and those of tests must not grow old."""
EPOCH = 1 << 48


def at(seconds: float) -> int:
    return T0 + round(seconds * 1000) * 10**6


def usage(*, prompt: int = 0, completion: int = 0, calls: int = 1, cost: str = "0", **more: int) -> Usage:
    total = int(Decimal(cost) * PICODOLLARS)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        llm_call_count=calls,
        prompt_cost=total // 2,
        completion_cost=total - total // 2,
        total_cost=total,
        **more,
    )


def window(
    session_id: str = "s1",
    window_id: str = "w1",
    *,
    project: str = "p1",
    version: int = 1,
    start: float = 0,
    end: float = 10,
    first_seen: float | None = None,
    is_open: bool = False,
    **more: Any,
) -> WindowRollup:
    """A closed window of one turn, unless said otherwise."""
    fields: dict[str, Any] = {
        "state": WindowState.OPEN if is_open else WindowState.CLOSED,
        "close_reason": CloseReason.NONE if is_open else CloseReason.IDLE,
        "opened_at": at(start),
        "first_seen_at": at(end if first_seen is None else first_seen),
        "window_start": at(start),
        "window_end": at(end),
        "gap_ns": 1800 * SECOND,
        "allowed_lateness_ns": 3600 * SECOND,
        "turn_count": 1,
        "span_count": 2,
        "active_ns": at(end) - at(start),
    } | more
    return WindowRollup(
        project=project, session_id=session_id, window_id=window_id.ljust(16, "0"), version=EPOCH + version, **fields
    )


def turn(
    session_id: str = "s1",
    window_id: str = "w1",
    trace: int = 1,
    *,
    project: str = "p1",
    version: int = 1,
    start: float = 0,
    end: float = 10,
    first_seen: float | None = None,
    **more: Any,
) -> TurnRollup:
    fields: dict[str, Any] = {
        "opened_at": at(start),
        "first_seen_at": at(end if first_seen is None else first_seen),
        "root_span_id": f"{trace:016x}",
        "root_name": "agent",
        "started_at": at(start),
        "ended_at": at(end),
        "span_count": 2,
        "input": f"question {trace}",
        "output": f"answer {trace}",
    } | more
    return TurnRollup(
        project=project,
        session_id=session_id,
        window_id=window_id.ljust(16, "0"),
        trace_id=f"{trace:032x}",
        version=EPOCH + version,
        **fields,
    )
