"""Results of a run, part by part, and their JSON: one object a case with the name of each figure and its unit. PURE."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby

import orjson

from tests.bench.figures import Figure, table

Measurement = tuple[str, Callable[[], Sequence[Figure]]]
"""The name of a case, and what measures it."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: str
    figures: Sequence[Figure]

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part of the harness. `about` says on what it ran; `left_out` names cases that there was no time for."""

    part: str
    about: Mapping[str, str]
    command: str
    seconds: float
    cases: Sequence[CaseResult]
    left_out: Sequence[str] = field(default=())

    def tables(self) -> str:
        """Cases of the same figures one after another, as tables."""
        by_figures = groupby(self.cases, lambda case: [(figure.name, figure.unit) for figure in case.figures])
        return "\n\n".join(table([(case.case, case.figures) for case in cases]) for _, cases in by_figures)


class Results:
    """Parts in the order in which they were measured, each at its last measurement."""

    def __init__(self, parts: Iterable[PartResult] = ()) -> None:
        self._parts = {part.part: part for part in parts}

    def __iter__(self) -> Iterator[PartResult]:
        return iter(self._parts.values())

    def add(self, part: PartResult) -> None:
        """Put a part in, in place of an older measurement of it."""
        self._parts[part.part] = part

    def figure(self, part: str, case: Callable[[str], bool], name: str) -> Figure | None:
        """The first figure of this name of the cases that `case` is true of; None where it was not measured."""
        cases = self._parts[part].cases if part in self._parts else ()
        return next((found for each in cases if case(each.case) and (found := each.figure(name))), None)

    def to_json(self) -> bytes:
        parts = [asdict(part) for part in self]
        return orjson.dumps({"parts": parts}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, data: bytes) -> "Results":
        """Inverse of `to_json`."""
        return cls(
            PartResult(
                **{
                    **part,
                    "cases": [
                        CaseResult(case["case"], [Figure(**figure) for figure in case["figures"]])
                        for case in part["cases"]
                    ],
                }
            )
            for part in orjson.loads(data)["parts"]
        )
