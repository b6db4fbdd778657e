"""PURE: what cutting again would change, session by session, summed by project."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

import orjson

from services.reprocess.sessions import Difference, Ends, Pair, Row, Standing, after_cut, differences, standing
from services.shared.model.session_key import SessionKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOTALS = ("turn_count", "span_count", "error_count", "total_tokens", "total_cost")


@dataclass(slots=True)
class Totals:
    """Sums over the windows of one side."""

    windows: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    cost: Decimal = Decimal(0)

    def add(self, row: Row) -> None:
        self.windows += 1
        for name in _TOTALS[:-1]:
            self.sums[name] += row[name]
        self.cost += row["total_cost"]

    def as_json(self) -> dict[str, int | str]:
        return {
            "windows": self.windows,
            **{name: self.sums[name] for name in _TOTALS[:-1]},
            "total_cost": str(self.cost),
        }


@dataclass(slots=True)
class ProjectComparison:
    """`sessions` were compared; `unequal` of them differ. Differences are counted by kind and by column."""

    sessions: int = 0
    unequal: int = 0
    only_before: int = 0
    only_after: int = 0
    changed: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    before: Totals = field(default_factory=Totals)
    after: Totals = field(default_factory=Totals)


class Comparison:
    """`left_out` counts sessions that cannot be judged, by why; `examples` are the first differences."""

    def __init__(self, most_examples: int) -> None:
        self.projects: defaultdict[str, ProjectComparison] = defaultdict(ProjectComparison)
        self.left_out: Counter[str] = Counter()
        self.examples: list[Difference] = []
        self._most_examples = most_examples

    @property
    def differences(self) -> int:
        return sum(each.only_before + each.only_after + each.changed for each in self.projects.values())

    def add(self, pair: Pair) -> None:
        """Compare one session that is still, from the cut on."""
        project = self.projects[pair.key.project]
        project.sessions += 1
        for rows, totals in ((pair.before, project.before), (pair.after, project.after)):
            for row in rows:
                totals.add(row)
        found = list(differences(pair))
        project.unequal += bool(found)
        for each in found:
            project.only_before += each.after is None
            project.only_after += each.before is None
            project.changed += bool(each.fields)
            project.fields.update(each.fields)
        self.examples += found[: max(0, self._most_examples - len(self.examples))]


class Holder(Protocol):
    """Who may still write about sessions."""

    def holds(self, key: SessionKey) -> bool:
        """Whether something of this session is held."""


def judged(
    pairs: Iterator[Pair], ends: Ends, complete_from: int | None, live: Holder, left_out: Counter[str]
) -> Iterator[Pair]:
    """The sessions that can be judged, from their cuts on; the others are counted in `left_out`."""
    for pair in pairs:
        stands = standing(pair, ends)
        if stands is not Standing.STILL:
            left_out[stands.value] += 1
        elif live.holds(pair.key):
            left_out["held"] += 1
        else:
            rest = after_cut(pair, complete_from)
            if rest.before or rest.after:
                yield rest
            else:
                left_out["before the cut"] += 1


def as_json(comparison: Comparison) -> str:
    """One object."""
    return orjson.dumps(
        {
            "differences": comparison.differences,
            "left_out": dict(comparison.left_out),
            "projects": {
                name: {
                    **{
                        what: getattr(each, what)
                        for what in ("sessions", "unequal", "only_before", "only_after", "changed")
                    },
                    "fields": dict(each.fields),
                    "before": each.before.as_json(),
                    "after": each.after.as_json(),
                }
                for name, each in sorted(comparison.projects.items())
            },
            "examples": [_example(each) for each in comparison.examples],
        }
    ).decode()


def as_lines(comparison: Comparison) -> Iterator[str]:
    """For people: by project, then examples, then the sum."""
    for name, each in sorted(comparison.projects.items()):
        yield f"{name}: {each.sessions} sessions, {each.unequal} of them differ"
        yield f"    windows {each.before.windows} -> {each.after.windows}" + "".join(
            f", {what} {each.before.sums[what]} -> {each.after.sums[what]}"
            for what in _TOTALS[:-1]
            if each.before.sums[what] != each.after.sums[what]
        )
        if each.unequal:
            yield f"    only before {each.only_before}, only after {each.only_after}, changed {each.changed}"
        if each.fields:
            yield "    changed columns: " + ", ".join(f"{field} {count}" for field, count in each.fields.most_common())
    for example in comparison.examples:
        yield f"  {_told(example)}"
    if comparison.left_out:
        yield "not compared: " + ", ".join(f"{count} {why}" for why, count in sorted(comparison.left_out.items()))
    sessions = sum(each.sessions for each in comparison.projects.values())
    yield f"{comparison.differences} differences in {sessions} sessions"


def _told(difference: Difference) -> str:
    key, before, after = difference.key, difference.before, difference.after
    where = f"{key.project!r} {key.session_id!r}"
    if before is not None and after is not None:
        changes = (f"{name} {before[name]!r:.60} -> {after[name]!r:.60}" for name in difference.fields[:4])
        return f"{where} window from {_iso(before['window_start'])}: {', '.join(changes)}"
    row, side = (before, "before") if before is not None else (after, "after")
    assert row is not None
    return f"{where} only {side}: {_iso(row['window_start'])} to {_iso(row['window_end'])}, {row['turn_count']} turns"


def _example(difference: Difference) -> dict[str, object]:
    sides = {
        side: None
        if row is None
        else {name: row[name] for name in ("window_id", "window_start", "window_end", "turn_count", "span_count")}
        for side, row in (("before", difference.before), ("after", difference.after))
    }
    return {**difference.key._asdict(), **sides, "fields": difference.fields}


def _iso(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat(timespec="seconds")
