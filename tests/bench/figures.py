"""What was measured, and the figures that follow from it. PURE: no clock, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one case. Times in seconds, memory in bytes, topics by the name of their role."""

    spans: int
    seconds: float
    """From ready to all spans counted."""
    cpu_seconds: float
    """User and system time of the worker's process, from its start to all spans counted."""
    idle_cpu_seconds: float
    """The same of a worker that has nothing to read, from its start to ready."""
    peak_memory: int
    topic_bytes: Mapping[str, int]
    yardstick_cpu_seconds: float
    """The protobuf library's parse of the same records."""


def figures(sample: Sample) -> list[Figure]:
    """Every figure of a case, in the order they are shown. Raises `ValueError` where one would mean nothing."""
    if sample.spans <= 0 or sample.seconds <= 0 or sample.yardstick_cpu_seconds <= 0:
        raise ValueError(f"no spans, no time or no yardstick: {sample}")
    cpu = per_million(sample.cpu_seconds - sample.idle_cpu_seconds, sample.spans)
    yardstick = per_million(sample.yardstick_cpu_seconds, sample.spans)
    return [
        Figure("throughput", "spans/s", sample.spans / sample.seconds),
        Figure("worker CPU", "CPU-s per million spans", cpu),
        Figure("worker CPU / parse", "times", cpu / yardstick),
        Figure("parse only", "CPU-s per million spans", yardstick),
        Figure("worker's start", "CPU-s", sample.idle_cpu_seconds),
        Figure("peak memory", "MB", sample.peak_memory / MILLION),
        *(Figure(topic, "bytes/span", size / sample.spans) for topic, size in sample.topic_bytes.items()),
    ]


def per_million(seconds: float, spans: int) -> float:
    return seconds * MILLION / spans


def table(cases: Sequence[tuple[str, Sequence[Figure]]]) -> str:
    """One column a case, one row a figure, as Markdown. All cases have the same figures."""
    rows = [["figure", "unit", *(name for name, _ in cases)]]
    if cases:
        for number, figure in enumerate(cases[0][1]):
            rows.append([figure.name, figure.unit, *(_number(own[number].value) for _, own in cases)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.ljust(width) if column < 2 else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
