"""The pages that are made from the committed results: figures, sizing, and what the README says of both."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.figures import number
from tests.bench.goals import goals_table, main_figures
from tests.bench.parts import PARTS
from tests.bench.results import PartResult, Results
from tests.bench.sizing import NotMeasuredError, Traffic, constants, plan_table
from tests.support.processes import REPOSITORY

RESULTS = REPOSITORY / "tests" / "bench" / "results.json"

_BEGIN, _END = "<!-- speed: made by `tests/bench/run --pages` -->\n", "<!-- end of speed -->"

ADVICE = """
Wall clock times and rates of a shared machine are noise. Compare CPU figures, and best their multiples of the parse,
which was measured in the same run; take the least of several runs. For figures to quote leave the machine alone:
nothing else may run (`uptime` below 0.2), no battery, no throttling, 20 GB of free disk, 8 GB of free memory."""


def results() -> Results:
    """Those that are committed."""
    return Results.from_json(RESULTS.read_bytes()) if RESULTS.exists() else Results()


def save(part: PartResult) -> None:
    """Put a part into the committed results, and make the pages anew."""
    found = results()
    found.add(part)
    RESULTS.write_bytes(found.to_json())
    write()


def write() -> None:
    """Make every page from the committed results."""
    found = results()
    for path, make in PAGES.items():
        path.write_text(make(found))


def part_text(part: PartResult) -> str:
    """One part as it stands on the page."""
    about = "\n".join(f"{name}: {value}" for name, value in part.about.items())
    left_out = f"\n\nLeft out: {'; '.join(part.left_out)}." if part.left_out else ""
    known = PARTS[part.part]
    return f"""## {known.title}

`{part.command}`, {part.seconds:,.0f} s, commit {part.about.get("commit", "unknown")}

{part.tables()}{left_out}

{known.note}

<details><summary>Measured on</summary>

```
{about}
```

</details>"""


def _results_text(found: Results) -> str:
    parts = {part.part: part_text(part) for part in found}
    measured = "\n\n".join(parts[name] for name in PARTS if name in parts)
    return f"""# How fast Spanloom is

Made by `tests/bench/run --save` from [results.json](results.json), which it writes; `tests/bench/run --help` says what
else it does. Measured on one machine that broker, ClickHouse and everything else share, as each part says.
{ADVICE}

## Goals

{goals_table(found)}

{measured}
"""


def _sizing_text(found: Results) -> str:
    try:
        known = constants(found)
    except NotMeasuredError as error:
        return f"# Sizing\n\nNot measured yet ({error}): `tests/bench/run --save`.\n"
    example = Traffic()
    rows = "\n".join(f"| {said} | {_scientific(getattr(known, name))} |" for name, said in _SAID.items())
    return f"""# Sizing

From spans a second to partitions, workers, memory and disk. The constants are those of
[the results](../tests/bench/RESULTS.md), and this page is made from them by `tests/bench/run --pages`. They are of one
machine: measure on yours, at least `tests/bench/run --quick`, before you buy.

`python -m tests.bench.sizing --spans 20000 --span-bytes 2600` does the sums below for your traffic (`--help`).

## Constants

| what | measured |
| --- | ---: |
{rows}

## Sums

- **Workers**: cores = spans a second * CPU a span (at 0.5 KB, and so much more for each byte over that);
  processes = cores / load. One worker process uses one core and a little. Load is the share of a core that is used
  at the busiest time; what is left catches up after a restart.
- **Sinks**: likewise, and three rollups a session. Without stored spans (`SPANLOOM_SPAN_STORAGE=off`) only those count.
- **Partitions**: twice as many as there are processes of the kind that needs most. The number of partitions of
  `session_spans` and `trace_spans` is fixed when they are made, so leave room; `otlp_spans` may be extended any time.
- **Sessions held** = sessions a second * (their length + `SPANLOOM_GAP` + `SPANLOOM_ALLOWED_LATENESS`).
- **Memory** of a worker = what it takes empty + sessions it holds * bytes a session. When a worker is lost the others
  hold its sessions: plan for one worker less.
- **Recovery** of a worker's states = sessions it holds * seconds a session, all partitions at the same time.
- **Kafka's disk** = (spans a day * (bytes a span + bytes on `session_spans`) * days + spans a day * bytes on
  `session_rollups` * days + sessions held * changelog bytes * 2) * replicas. The Collector's compression makes
  `otlp_spans` smaller; it is not counted here.
- **ClickHouse's disk** = spans a day * bytes a span * share * days, and sessions a day * (bytes of a window + turns *
  bytes of a turn) * days, without replicas.

## Example

{_said_of(example)}

{plan_table(example, known)}
"""


def _said_of(traffic: Traffic) -> str:
    hours = traffic.allowed_lateness / 3600
    return f"""{traffic.spans:,.0f} spans/s at the busiest time and {traffic.average:.0%} of that over the day,
{traffic.span_bytes:,.0f} bytes each, sessions of {traffic.session_spans:g} spans, {traffic.session_turns:g} turns and
{traffic.session_seconds:g} s; a gap of {traffic.gap / 60:g} min, {hours:g} h of lateness, the retention that Spanloom
sets, {traffic.replicas:g} replicas in Kafka, processes at {traffic.load:.0%} of a core."""


def _readme_text(found: Results) -> str:
    path = REPOSITORY / "README.md"
    before, _, rest = path.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert end, "README.md has no place for figures"
    return f"{before}{_BEGIN}{main_figures(found)}\n{_END}{after}"


def _scientific(value: float) -> str:
    return number(value) if value >= 0.01 else f"{value:.2e}"


_SAID: Mapping[str, str] = {
    "worker_cpu": "CPU-seconds of a worker a span of 0.5 KB",
    "worker_cpu_byte": "... more for each byte over that",
    "sink_cpu": "CPU-seconds of the span sink a span of 0.5 KB",
    "sink_cpu_byte": "... more for each byte over that",
    "rollup_cpu": "CPU-seconds of the rollup sink a rollup with two turns",
    "worker_bytes": "bytes of memory of a worker without sessions",
    "held_bytes": "bytes of memory a session of ten spans in two turns, texts of 100 characters",
    "changelog_bytes": "bytes of its states in the changelog",
    "session_spans_bytes": "bytes a span on `session_spans`",
    "rollups_bytes": "bytes a span on `session_rollups`",
    "recovery_seconds": "seconds of recovery a session",
    "stored_span": "share of a span's bytes on ClickHouse's disk",
    "stored_window": "bytes of a window on ClickHouse's disk, in both tables",
    "stored_turn": "bytes of a turn on ClickHouse's disk",
}

PAGES: Mapping[Path, Callable[[Results], str]] = {
    REPOSITORY / "tests" / "bench" / "RESULTS.md": _results_text,
    REPOSITORY / "deploy" / "SIZING.md": _sizing_text,
    REPOSITORY / "README.md": _readme_text,
}
"""Every page that is made, and how."""
