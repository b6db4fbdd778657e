"""The reference model: which sessions a pile of spans is, computed in one go, without a stream.

    windows = reference_windows(groups, Policy())

`groups` are the spans sent, in the order of the log, as the `session_spans` records hold them.
Semantics, "Which window": give each turn its interval, sort, split where the silence is longer
than the gap. The engine must agree, whatever the order of arrival, unless something expired, a
maximum was hit or an explicit end came: for these see `log_order.py`.

End-to-end tests compare it with ClickHouse: `expected_windows` has JSON-like rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from services.sessionizer.engine.policy import Policy
from services.shared.model.rollup import CloseReason, TurnRollup, WindowRollup, WindowState
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete
from services.shared.records.session_spans import SpanGroup
from tests.support.totals import QUANTILES, interval, quantile_is_within_error, turn_totals, window_totals
from tests.support.totals import turns_of as turns_by_trace

ORDER_DECIDES = frozenset(
    {
        "window_id",
        "version",
        "opened_at",
        "first_seen_at",
        "is_late",
        "late_span_count",
        "duplicate_span_count",
    }
)
"""Fields that follow from the order of the log, which the sender of the spans does not know."""


@dataclass(frozen=True, slots=True)
class ReferenceWindow:
    """One window, closed as idle, without id and version, and its turns by trace id (hex)."""

    window: WindowRollup
    turns: dict[str, TurnRollup]


def reference_windows(groups: Iterable[SpanGroup], policy: Policy) -> list[ReferenceWindow]:
    """The windows of all sessions, by session key and start.

    `opened_at` and `first_seen_at` are those of the first span in the order given: meaningful
    only where that is the order of one partition's log.
    """
    sessions: dict[SessionKey, dict[tuple[bytes, bytes], tuple[SpanFacts, int]]] = {}
    for group in groups:
        held = sessions.setdefault(group.key, {})
        for item in group.items:
            if isinstance(item, SpanFacts):
                held.setdefault((item.trace_id, item.span_id), (item, group.record_time))
    return [window for key in sorted(sessions) for window in _windows_of(key, list(sessions[key].values()), policy)]


def split_at_silences(turns: Mapping[bytes, list[SpanFacts]], gap: int) -> list[dict[bytes, list[SpanFacts]]]:
    """Give each turn its interval, sort, split where the silence is longer than `gap`."""
    windows: list[dict[bytes, list[SpanFacts]]] = []
    end = 0
    for trace_id, spans in sorted(turns.items(), key=lambda turn: interval(turn[1])):
        turn_start, turn_end = interval(spans)
        if not windows or turn_start - end > gap:
            windows.append({})
            end = turn_end
        windows[-1][trace_id] = spans
        end = max(end, turn_end)
    return windows


def _windows_of(key: SessionKey, spans: list[tuple[SpanFacts, int]], policy: Policy) -> list[ReferenceWindow]:
    gap = policy.gap_for(key.project)
    arrival = {(span.trace_id, span.span_id): (place, time) for place, (span, time) in enumerate(spans)}
    result = []
    for turns in split_at_silences(turns_by_trace(span for span, _ in spans), gap):
        members = [span for turn in turns.values() for span in turn]
        first = min(members, key=lambda span: arrival[span.trace_id, span.span_id])
        stamp: dict[str, Any] = {
            "project": key.project,
            "session_id": key.session_id,
            "opened_at": first.start,
            "first_seen_at": arrival[first.trace_id, first.span_id][1],
        }
        window = replace(
            window_totals(members),
            state=WindowState.CLOSED,
            close_reason=CloseReason.IDLE,
            gap_ns=gap,
            allowed_lateness_ns=policy.allowed_lateness,
            **stamp,
        )
        result.append(
            ReferenceWindow(
                window, {trace_id.hex(): replace(turn_totals(turn), **stamp) for trace_id, turn in turns.items()}
            )
        )
    return result


def window_row(window: WindowRollup) -> dict[str, Any]:
    """The window as its record of `session_rollups` has it: usage flat, costs as decimal strings."""
    return complete(orjson.loads(rollups.window_json(window)))


def turn_row(turn: TurnRollup) -> dict[str, Any]:
    """The turn as its record of `session_rollups` has it."""
    [record] = rollups.encode_turns(turn.project, turn.session_id, turn.window_id, [turn])
    row: dict[str, Any]
    [row] = complete(orjson.loads(record))["turns"]
    return row


def differences(
    expected: Mapping[str, Any], actual: Mapping[str, Any], *, ignore: Iterable[str] = ORDER_DECIDES
) -> list[str]:
    """What of one window's or turn's row is not as expected, field by field; empty when all is.

    Quantiles may differ by the error of their buckets. Fields that `ignore` names are not compared;
    a missing field is a difference.
    """
    found = []
    for name in sorted(expected.keys() - set(ignore)):
        if name not in actual:
            found.append(f"{name}: missing")
        elif name in QUANTILES:
            if not quantile_is_within_error(actual[name], expected[name]):
                found.append(f"{name}: {actual[name]} is not within 2 % of {expected[name]}")
        elif _text_keys(actual[name]) != _text_keys(expected[name]):
            found.append(f"{name}: {actual[name]!r}, expected {expected[name]!r}")
    return found


def _text_keys(value: Any) -> Any:
    """JSON has text for keys where ClickHouse has numbers."""
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value
