"""What a run did to its spans: nothing lost, nothing double, no window wrong. Everything is counted, nothing assumed.

Three proofs, each of which sees what the others cannot:
- ClickHouse against the reference model, which knows only what was sent;
- `session_spans` against the input, span by span: a record routed twice is a repetition to `window` and would not show;
- ClickHouse and the changelogs against one `window` stage that reads the same log without any fault: ids, versions,
  late spans and the counters of repetitions, too. A span folded twice would show nowhere else.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.shared.model.session_key import SessionKey
from tests.support.comparison import Row, differences_from_reference, living
from tests.support.reference import ReferenceWindow, differences

_SHOWN = 12

SpanName = tuple[SessionKey, bytes, bytes]
"""A span inside its session: key, trace id, span id."""


@dataclass
class Verdict:
    """Counts of one run or of many. `findings` says what is not as it must be."""

    spans: int = 0
    sessions: int = 0
    windows: int = 0
    lost: int = 0
    double: int = 0
    wrong: int = 0
    rollups: int = 0
    repeated: int = 0
    again: int = 0  # records sent again
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.double or self.wrong or self.findings)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.spans + other.spans,
            self.sessions + other.sessions,
            self.windows + other.windows,
            self.lost + other.lost,
            self.double + other.double,
            self.wrong + other.wrong,
            self.rollups + other.rollups,
            self.repeated + other.repeated,
            self.again + other.again,
            self.faults + other.faults,
            self.findings + other.findings,
        )

    def line(self) -> str:
        """One line with every count."""
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"{'exact' if self.is_exact else 'NOT EXACT'}: {self.spans} spans ({self.again} records sent again and all"
            f" of them out of order), {self.sessions} sessions,"
            f" {self.windows} windows, {self.rollups} rollups ({self.repeated} repeated);"
            f" {self.faults.total()} faults ({faults}); {self.lost} lost, {self.double} double, {self.wrong} wrong"
        )

    def text(self) -> str:
        """The line, and the first findings."""
        more = [f"... and {len(self.findings) - _SHOWN} more"] if len(self.findings) > _SHOWN else []
        return "\n".join([self.line(), *self.findings[:_SHOWN], *more])


def judge_content(
    verdict: Verdict, expected: Sequence[ReferenceWindow], windows: Sequence[Row], turns: Sequence[Row]
) -> None:
    """Rows of ClickHouse against the reference model."""
    wanted: Counter[SessionKey] = Counter()
    for reference in expected:
        wanted[SessionKey(reference.window.project, reference.window.session_id)] += reference.window.span_count
    verdict.spans, verdict.sessions, verdict.windows = wanted.total(), len(wanted), len(expected)
    try:
        alive = living(windows, ("window_id",))
        found = differences_from_reference(expected, windows, turns)
    except AssertionError as error:  # two contents of one version
        verdict.wrong += 1
        verdict.findings.append(str(error))
        return
    counted: Counter[SessionKey] = Counter()
    for row in alive:
        counted[SessionKey(row["project"], row["session_id"])] += row["span_count"]
    verdict.lost += (wanted - counted).total()
    verdict.double += (counted - wanted).total()
    verdict.wrong += len({finding.partition(": ")[0].partition(" turn ")[0] for finding in found})
    verdict.findings += found


def judge_route(verdict: Verdict, sent: Mapping[SpanName, int], routed: Mapping[SpanName, int]) -> None:
    """Each copy of each span was handed on exactly once."""
    missing, more = Counter(sent), Counter(routed)
    missing.subtract(routed)
    more.subtract(sent)
    lost, double = (+missing).total(), (+more).total()
    verdict.lost += lost
    verdict.double += double
    if lost or double:
        names = [*(+missing), *(+more)][:3]
        verdict.findings.append(f"route: {lost} copies of spans lost, {double} too many, for example {names}")


def judge_versions(verdict: Verdict, records: Iterable[Mapping[str, Any]]) -> None:
    """Committed rollups in the order of their partitions: a version has one content, and none comes after a higher."""
    contents: dict[tuple[Any, ...], bytes] = {}
    highest: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for record in records:
        verdict.rollups += 1
        totals = {name: value for name, value in record.items() if name != "turns"}
        for row in [*record.get("turns", ()), *([totals] if record["type"] == "window" else ())]:
            name = (row["project"], row["session_id"], row["window_id"], row.get("trace_id", ""))
            content = orjson.dumps({**row, "duplicate_span_count": 0}, option=orjson.OPT_SORT_KEYS)
            known = contents.setdefault((*name, row["version"]), content)
            if known is not content:
                verdict.repeated += 1
            if known != content:
                verdict.wrong += 1
                verdict.findings.append(f"two contents of version {row['version']} of {name}: {known!r}, {content!r}")
            if row["version"] < highest[name]:
                verdict.wrong += 1
                verdict.findings.append(f"version {row['version']} of {name} comes after {highest[name]}")
            highest[name] = max(highest[name], row["version"])


def judge_replay(
    verdict: Verdict, expected: Mapping[str, Row], found: Mapping[str, Row], where: str, ignore: Iterable[str] = ()
) -> None:
    """Windows by id against the same windows of a stage that read the log without a fault, versions and all."""
    for name in expected.keys() ^ found.keys():
        verdict.wrong += 1
        verdict.findings.append(f"{where}: window {name} is {'missing' if name in expected else 'not expected'}")
    for name in expected.keys() & found.keys():
        faults = differences(expected[name], found[name], ignore=ignore)
        if faults:
            verdict.wrong += 1
            verdict.findings.append(f"{where}: window {name}: {'; '.join(faults)}")
