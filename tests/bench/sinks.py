"""The sinks on real parts: a filled topic, `spanloom sink`, and ClickHouse in a process of its own."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from services.shared.clickhouse import ClickHouse
from tests.bench import watch
from tests.bench.case import LARGE_SPAN_RECORD, Case
from tests.bench.figures import MILLION, Figure, Look, Sample, cpu_figures
from tests.bench.load import records
from tests.bench.made_rollups import made_rollups
from tests.bench.results import Measurement
from tests.bench.site import BenchInstallation, Site
from tests.bench.worker import WARM_UP, at_most, begin
from tests.bench.yardstick import parse_of_topic
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.installation import Service

_CASES = (
    Case(500_000, span_bytes=500),
    Case(300_000),
    Case(300_000, record_spans=8),
    Case(50_000, span_bytes=20_000, record_spans=LARGE_SPAN_RECORD),
)
_QUICK = (Case(150_000),)
_ROLLUPS = 1_000_000
_LONGEST = 1800.0  # seconds
_SIZE = """
    SELECT sum(bytes_on_disk) AS size, sum(rows) AS held FROM system.parts
    WHERE active AND database = {database:String} AND table = {table:String}"""


def cases(site: Site, *, quick: bool, most: int) -> Iterator[Measurement]:
    """Of the span sink, then of the rollup sink."""
    for number, case in enumerate(at_most(most, _QUICK if quick else _CASES)):
        yield f"spans of {case.name}", partial(_spans, site, f"spans-{number}", case)
    if not quick:
        rollups = min(_ROLLUPS, most)
        yield f"{rollups:,} rollups of sessions of two turns", partial(_rollups, site, "rollups", rollups)


def _spans(site: Site, name: str, case: Case) -> list[Figure]:
    with ExitStack() as stack:
        installation = stack.enter_context(site.installation(name))
        installation.fill(records(case, begin(), own_texts=True))
        run = _Run(stack, installation)
        first, last = run.until(case.spans, "span-sink", "spans")
        yardstick = parse_of_topic(installation.bootstrap, installation.spans_topic, installation.partitions)
        sample = Sample(case.spans, first.sink, last.sink, 0, {}, yardstick)
        return [
            *cpu_figures(sample, "span sink"),
            Figure("ClickHouse CPU", "CPU-s per million spans", _clickhouse_cpu(first, last)),
            Figure("peak memory of the sink", "MB", run.peak_memory / MILLION),
            Figure("in ClickHouse", "bytes/span", run.stored("spans")),
        ]


def _rollups(site: Site, name: str, count: int) -> list[Figure]:
    with ExitStack() as stack:
        installation = stack.enter_context(site.installation(name))
        installation.write(installation.rollups_topic, made_rollups(count))
        run = _Run(stack, installation)
        first, last = run.until(count, "rollup-sink", "session_windows")
        seconds, done = last.sink.at - first.sink.at, last.sink.done - first.sink.done
        return [
            Figure(
                "rollup sink CPU",
                "CPU-s per million rollups",
                (last.sink.cpu_seconds - first.sink.cpu_seconds) / done * MILLION,
            ),
            Figure("ClickHouse CPU", "CPU-s per million rollups", _clickhouse_cpu(first, last)),
            Figure("throughput", "rollups/s", done / seconds),
            Figure("peak memory of the sink", "MB", run.peak_memory / MILLION),
        ]


@dataclass(frozen=True, slots=True)
class _Both:
    sink: Look
    clickhouse_cpu: float


class _Run:
    """A migrated ClickHouse and a sink, which begins to read what there is."""

    def __init__(self, stack: ExitStack, installation: BenchInstallation) -> None:
        self._server = stack.enter_context(ClickHouseServer(installation.folder / "clickhouse"))
        url = self._server.url(installation.name.replace("-", "_"))
        self._client: ClickHouse = stack.enter_context(closing(migrated(url)))
        self._sink: Service = installation.start("sink", clickhouse_url=url)

    def until(self, count: int, reader: str, table: str) -> tuple[_Both, _Both]:
        """After the warm-up, and when so many rows are in."""
        clickhouse: dict[float, float] = {}

        def look() -> Look:
            at, cpu = time.perf_counter(), watch.cpu_seconds([self._sink.process.pid])
            clickhouse[at] = watch.cpu_seconds([self._server.pid])
            return Look(at, cpu, (watch.total([self._sink], "spanloom_sink_rows_total", reader, table),))

        self._sink.wait_until_ready()
        first = watch.look_until(look, count * WARM_UP, within=_LONGEST, what="the warm-up")
        last = watch.look_until(look, count, within=_LONGEST, what=f"{count} rows of {table}")
        return _Both(first, clickhouse[first.at]), _Both(last, clickhouse[last.at])

    @property
    def peak_memory(self) -> int:
        return watch.peak_memory(self._sink.process.pid)

    def stored(self, table: str) -> float:
        """Bytes a row on ClickHouse's disk, after it has merged what it has."""
        self._client.command(f"OPTIMIZE TABLE {table} FINAL")
        (row,) = self._client.query(_SIZE, {"database": self._client.database, "table": table})
        return float(row["size"]) / float(row["held"])


def _clickhouse_cpu(first: _Both, last: _Both) -> float:
    return (last.clickhouse_cpu - first.clickhouse_cpu) / (last.sink.done - first.sink.done) * MILLION
