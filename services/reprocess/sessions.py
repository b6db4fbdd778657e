"""PURE: the windows of one session as they are and as they were cut again: what can be compared, and what replaced.

A log that was not read from its beginning does not hold the first spans of some windows. So a
session is looked at from a cut on that no window on either side lies across: the spans after it
are the same on both sides, and all of them are in windows after it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from services.shared.model.rollup import WindowState
from services.shared.model.session_key import SessionKey

Row = Mapping[str, Any]

EPOCH_SHIFT = 48
FIRST_EPOCH = 1 << 14
"""Windows that were cut again have versions of their own epochs, above those that settings use."""

_DEPENDS_ON_ARRIVAL = frozenset(
    {"window_id", "version", "opened_at", "first_seen_at", "is_late", "late_span_count", "duplicate_span_count"}
)
_POLICY = frozenset({"gap_ns", "allowed_lateness_ns"})
NOT_COMPARED = _DEPENDS_ON_ARRIVAL | _POLICY
"""Columns that may differ although both sides say the same about the same spans."""


class Standing(StrEnum):
    """Whether a session can be judged."""

    STILL = "still"
    OPEN = "open"  # a window can still grow on time
    MOVING = "moving"  # it changed since the log was read to its end


@dataclass(frozen=True, slots=True)
class Pair:
    """One session on both sides: rows at their last versions, in order of `window_start`."""

    key: SessionKey
    before: Sequence[Row]
    after: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Difference:
    """Windows with the same start. One side is None where only the other has it; `fields` differ where both have."""

    key: SessionKey
    before: Row | None
    after: Row | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the live pipeline stood when the log was read: next offsets of `session_spans`, in `epoch`."""

    epoch: int
    offsets: Mapping[int, int]

    def is_newer(self, key: SessionKey, version: int) -> bool:
        """Whether the row was written about something after that."""
        epoch, offset = version >> EPOCH_SHIFT, version & (1 << EPOCH_SHIFT) - 1
        return epoch == self.epoch and offset >= self.offsets[key.partition(len(self.offsets))]


def standing(pair: Pair, ends: Ends) -> Standing:
    """Whether the session can be judged."""
    if any(row["state"] == WindowState.OPEN for row in (*pair.before, *pair.after)):
        return Standing.OPEN
    if any(ends.is_newer(pair.key, row["version"]) for row in pair.before):
        return Standing.MOVING
    return Standing.STILL


def after_cut(pair: Pair, complete_from: int | None) -> Pair:
    """The windows after the first cut at or after `complete_from` (ns); all of them where the whole log was read."""
    if complete_from is None:
        return pair
    cut = complete_from
    for row in sorted((*pair.before, *pair.after), key=lambda row: (row["window_start"], row["window_end"])):
        if row["window_start"] > cut:
            break
        cut = max(cut, row["window_end"])
    before, after = ([row for row in rows if row["window_start"] > cut] for rows in (pair.before, pair.after))
    return Pair(pair.key, before, after)


def differences(pair: Pair) -> Iterator[Difference]:
    """What differs between the two sides, in the order of time."""
    rest = list(pair.after)
    for row in pair.before:
        same_start = [other for other in rest if other["window_start"] == row["window_start"]]
        if not same_start:
            yield Difference(pair.key, row, None)
            continue
        other = min(same_start, key=lambda other: len(_unequal(row, other)))
        rest.remove(other)
        if fields := _unequal(row, other):
            yield Difference(pair.key, row, other, fields)
    for other in rest:
        yield Difference(pair.key, None, other)


def _unequal(row: Row, other: Row) -> tuple[str, ...]:
    return tuple(name for name in row if name not in NOT_COMPARED and row[name] != other[name])


def pairs(before: Iterator[Row], after: Iterator[Row]) -> Iterator[Pair]:
    """Both sides session by session. Rows come in the order of session id, project and window start."""
    sides = [_sessions(before), _sessions(after)]
    heads = [next(side, None) for side in sides]
    while any(head is not None for head in heads):
        first = min(head[0] for head in heads if head is not None)
        rows: list[Sequence[Row]] = []
        for number, head in enumerate(heads):
            is_here = head is not None and head[0] == first
            rows.append(head[1] if is_here and head is not None else ())
            if is_here:
                heads[number] = next(sides[number], None)
        yield Pair(SessionKey(first[1], first[0]), rows[0], rows[1])


def _sessions(rows: Iterator[Row]) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    for name, group in groupby(rows, key=lambda row: (row["session_id"], row["project"])):
        yield name, list(group)


def replacement(pair: Pair) -> tuple[list[str], list[str]]:
    """Ids of windows to retire and to add; of what was replaced already, none."""
    before, after = ([row["window_id"] for row in rows] for rows in (pair.before, pair.after))
    return _without(before, after), _without(after, before)


def _without(ids: Collection[str], others: Collection[str]) -> list[str]:
    known = set(others)
    return [id_ for id_ in ids if id_ not in known]
