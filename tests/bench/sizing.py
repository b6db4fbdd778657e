"""From spans a second to partitions, workers, memory and disk, by what was measured. PURE, but for `main`.

python -m tests.bench.sizing --spans 20000 --span-bytes 2600 --session-spans 10 [--help]
"""

import argparse
from dataclasses import dataclass, fields
from math import ceil

from tests.bench.case import REFERENCE
from tests.bench.figures import MILLION, Figure, number
from tests.bench.results import Results

_DAY = 86_400
_GIGABYTE = 10**9
_REFERENCE_BYTES, _SMALL_BYTES = REFERENCE.span_bytes, 500
_LEAST_PARTITIONS = 4
_PARTITIONS_A_PROCESS = 2  # so that twice as many may share them one day: the number cannot be changed
_ROLLUPS_A_SESSION = 3  # when it opens, once meanwhile, when it closes
_DIRTY = 2  # a changelog holds about so many copies of a state until it is compacted


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in, and how long what is kept. Seconds, days, bytes."""

    spans: float = 20_000
    """A second, at the busiest time that counts."""
    average: float = 0.4
    """Of it, over a whole day: disk goes by this."""
    span_bytes: float = 2_600
    session_spans: float = 10
    session_turns: float = 2
    session_seconds: float = 300
    """From the first span to the last."""
    gap: float = 1_800
    allowed_lateness: float = 3_600
    spans_days: float = 7
    """Retention of `otlp_spans` and `session_spans`."""
    rollups_days: float = 30
    stored_spans_days: float = 30
    stored_sessions_days: float = 400
    replicas: float = 3
    """Of Kafka's topics."""
    load: float = 0.5
    """Share of a core that a process is to use at the busiest time: the rest is for catching up after a restart."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What was measured."""

    worker_cpu: float
    """CPU-seconds of a worker per span of 500 bytes, and what each byte more costs."""
    worker_cpu_byte: float
    sink_cpu: float
    sink_cpu_byte: float
    rollup_cpu: float
    """CPU-seconds of the rollup sink per rollup."""
    worker_bytes: float
    """Memory of a worker without sessions."""
    held_bytes: float
    """What it grows by for a session that is held."""
    changelog_bytes: float
    """Of the states of a session that is held."""
    session_spans_bytes: float
    """On the topic, per span."""
    rollups_bytes: float
    recovery_seconds: float
    """Per session."""
    stored_span: float
    """In ClickHouse: share of a span's bytes."""
    stored_window: float
    stored_turn: float


class NotMeasuredError(ValueError):
    """The results lack a figure that sizing needs."""


def constants(results: Results) -> Constants:
    """Raises `NotMeasuredError` where the results lack something."""

    def of(part: str, case: str, figure: str) -> float:
        found = results.figure(part, lambda name: name.startswith(case), figure)
        if found is None:
            raise NotMeasuredError(f"{part}: no {figure!r} of a case {case!r}")
        return found.value

    def cpu(part: str, before: str, figure: str) -> tuple[float, float]:
        small, large = (of(part, f"{before}{size} KB, 500 a record, 10 a", figure) / MILLION for size in ("0.5", "2.6"))
        return small, max(0.0, (large - small) / (_REFERENCE_BYTES - _SMALL_BYTES))

    session_bytes = of("restart", "1,000,000 sessions open", "memory")
    return Constants(
        *cpu("worker", "", "worker CPU"),
        *cpu("sinks", "spans of ", "span sink CPU"),
        of("sinks", "1,000,000 rollups", "rollup sink CPU") / MILLION,
        of("restart", "1,000,000 sessions open", "memory of the worker") * MILLION - MILLION * session_bytes,
        session_bytes,
        of("state", "1,000,000 open", "bytes of them"),
        of("worker", REFERENCE.name, "session_spans"),
        of("worker", REFERENCE.name, "session_rollups"),
        of("restart", "1,000,000 sessions after", "of it recovery") / MILLION,
        of("sinks", f"spans of {REFERENCE.name}", "in ClickHouse") / _REFERENCE_BYTES,
        of("api", "1,000,000 sessions are made", "windows in ClickHouse"),
        of("api", "1,000,000 sessions are made", "turns in ClickHouse"),
    )


def plan(traffic: Traffic, known: Constants) -> list[Figure]:
    """What this traffic needs."""
    more = traffic.span_bytes - _SMALL_BYTES
    a_day = traffic.spans * traffic.average * _DAY
    sessions = traffic.spans / traffic.session_spans  # a second
    worker_cores = traffic.spans * (known.worker_cpu + more * known.worker_cpu_byte)
    sink_cores = (
        traffic.spans * (known.sink_cpu + more * known.sink_cpu_byte) + sessions * _ROLLUPS_A_SESSION * known.rollup_cpu
    )
    workers, sinks = (max(1, ceil(cores / traffic.load)) for cores in (worker_cores, sink_cores))
    is_open = sessions * (traffic.session_seconds + traffic.gap)
    held = is_open + sessions * traffic.allowed_lateness
    kafka = (
        a_day * (traffic.span_bytes + known.session_spans_bytes) * traffic.spans_days
        + a_day * known.rollups_bytes * traffic.rollups_days
        + held * known.changelog_bytes * _DIRTY
    ) * traffic.replicas
    a_session = known.stored_window + traffic.session_turns * known.stored_turn
    spans = a_day * traffic.span_bytes * known.stored_span * traffic.stored_spans_days
    return [
        Figure("worker CPU", "cores", worker_cores),
        Figure("workers", "processes", workers),
        Figure("sink CPU", "cores", sink_cores),
        Figure("sinks", "processes", sinks),
        Figure(
            "partitions of each topic",
            "partitions",
            max(_LEAST_PARTITIONS, _PARTITIONS_A_PROCESS * max(workers, sinks)),
        ),
        Figure("open sessions", "sessions", is_open),
        Figure("held sessions, closed ones that may be corrected included", "sessions", held),
        Figure("memory of a worker", "GB", (known.worker_bytes + held / workers * known.held_bytes) / _GIGABYTE),
        Figure("recovery of a worker's states", "s", held / workers * known.recovery_seconds),
        Figure("disk of Kafka, all replicas", "GB", kafka / _GIGABYTE),
        Figure("disk of ClickHouse for spans", "GB", spans / _GIGABYTE),
        Figure(
            "disk of ClickHouse for sessions",
            "GB",
            a_day / traffic.session_spans * a_session * traffic.stored_sessions_days / _GIGABYTE,
        ),
    ]


def plan_table(traffic: Traffic, known: Constants) -> str:
    """The plan as Markdown."""
    rows = [f"| {figure.name} | {number(figure.value)} {figure.unit} |" for figure in plan(traffic, known)]
    return "\n".join(["| what | how much |", "| --- | ---: |", *rows])


def main() -> None:
    """With the committed results."""
    from tests.bench.page import results  # noqa: PLC0415 - the page is made of this

    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing", description=__doc__)
    for field in fields(Traffic):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=float, default=field.default, help="(%(default)s)", metavar="NUMBER")
    traffic = Traffic(**vars(parser.parse_args()))
    print(plan_table(traffic, constants(results())))  # noqa: T201 - a program for the terminal


if __name__ == "__main__":
    main()
