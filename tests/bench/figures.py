"""What was measured, and the figures that follow from it. PURE: no clock, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class Look:
    """What the processes that are measured have done by a moment. Seconds; spans that each step has committed."""

    at: float
    cpu_seconds: float
    """User and system time of their processes with all threads."""
    spans: tuple[float, ...]
    """By step: a worker routes spans and adds them to windows. Steps of one process run at different speeds."""

    @property
    def done(self) -> float:
        """Spans done: of spans on their way between two steps the share of the steps that are behind them."""
        return sum(self.spans) / len(self.spans)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one case. Times in seconds, memory in bytes, topics by the name of their role."""

    spans: int
    first: Look
    """After the warm-up: what was started is running, what is kept is filled."""
    last: Look
    peak_memory: int
    """Of the largest process."""
    topic_bytes: Mapping[str, int]
    yardstick: float
    """CPU-seconds of the protobuf library's parse of a span's share of the same records."""


def cpu_figures(sample: Sample, process: str) -> list[Figure]:
    """What a span costs the processes, and as a multiple. Raises `ValueError` where it would mean nothing."""
    spans, seconds = sample.last.done - sample.first.done, sample.last.at - sample.first.at
    if spans <= 0 or seconds <= 0 or sample.yardstick <= 0:
        raise ValueError(f"no spans, no time or no yardstick: {sample}")
    cpu = (sample.last.cpu_seconds - sample.first.cpu_seconds) / spans
    return [
        Figure(f"{process} CPU", "CPU-s per million spans", cpu * MILLION),
        Figure(f"{process} CPU / parse", "times", cpu / sample.yardstick),
        Figure("parse only", "CPU-s per million spans", sample.yardstick * MILLION),
        Figure("throughput", "spans/s", spans / seconds),
    ]


def figures(sample: Sample, process: str = "worker") -> list[Figure]:
    """Every figure of a case, in the order in which they are shown."""
    return [
        *cpu_figures(sample, process),
        Figure("peak memory", "MB", sample.peak_memory / MILLION),
        *(Figure(topic, "bytes/span", size / sample.spans) for topic, size in sample.topic_bytes.items()),
    ]


def per_million(seconds: float, spans: int) -> float:
    return seconds * MILLION / spans


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed. Raises `ValueError` for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def table(cases: Sequence[tuple[str, Sequence[Figure]]]) -> str:
    """One row a case, one column a figure, as Markdown. All cases have the same figures."""
    if not cases:
        return ""
    rows = [["case", *(f"{figure.name}, {figure.unit}" for figure in cases[0][1])]]
    rows += [[name, *(number(figure.value) for figure in own)] for name, own in cases]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * (width - (column > 0)) + ":" * (column > 0) for column, width in enumerate(widths)])
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if column else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """As tables show it: three digits, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
