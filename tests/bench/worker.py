"""A case on Apache Kafka: fill the topic, start workers, measure between a warm-up and the last span counted."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tests.bench import watch
from tests.bench.case import FULL, QUICK, REFERENCE, Case
from tests.bench.figures import Figure, Look, Sample, figures
from tests.bench.load import LENGTH, records
from tests.bench.results import Measurement
from tests.bench.site import BenchInstallation, Committed, Site
from tests.bench.yardstick import parse_of_topic
from tests.support.eventually import eventually
from tests.support.installation import Service
from tests.support.otlp import HOUR

WARM_UP = 0.2
"""Of the spans: by then every module is imported, every partition owned, and windows close as fast as they open."""

_LATEST_START = 0.6  # of the spans; what is measured from later on is too little
_LONGEST = 900.0  # seconds of one case
_LOOK = 0.2  # seconds


def cases(site: Site, *, quick: bool) -> Iterator[Measurement]:
    """Of one worker."""
    for number, case in enumerate(QUICK if quick else FULL):
        yield case.name, partial(measure, site, f"case-{number}", case)


def scaling(site: Site, *, quick: bool) -> Iterator[Measurement]:
    """Of several workers on the partitions of the same topics."""
    case = replace(REFERENCE, spans=100_000 if quick else 1_000_000)
    for workers in (1, 2, 4):
        name = f"{workers} worker{'s' * (workers > 1)}"
        yield name, partial(_without_sizes, site, f"scaling-{workers}", case, workers)


def _without_sizes(site: Site, name: str, case: Case, workers: int) -> list[Figure]:
    return measure(site, name, case, workers)[:4]


def begin() -> int:
    """The event time at which traffic begins, so that none of it is of the future."""
    return time.time_ns() - 2 * LENGTH - HOUR  # noqa: TID251 - spans of the future would be corrected


def measure(site: Site, name: str, case: Case, workers: int = 1) -> list[Figure]:
    """One run. Everything it started has ended afterwards, and its topics are being deleted."""
    with site.installation(name) as installation:
        installation.fill(records(case, begin()))
        sample = run_workers(installation, case, workers)
        yardstick = parse_of_topic(site.broker.bootstrap, installation.spans_topic, installation.partitions)
    return figures(replace(sample, yardstick=yardstick))


def run_workers(installation: BenchInstallation, case: Case, count: int) -> Sample:
    """Start so many workers on the filled topic and wait until all spans are counted. The yardstick is left out."""
    workers = _Workers([installation.start("worker") for _ in range(count)])
    enough = case.spans * WARM_UP
    committed = Committed(installation.bootstrap, installation.name, installation.spans_topic, installation.partitions)
    try:
        workers.wait(lambda: committed.records() * case.record_spans >= enough, "the warm-up")
        first = workers.wait(lambda: workers.look(enough), "the warm-up")
        workers.wait(lambda: committed.records() * case.record_spans >= case.spans, "all spans routed")
    finally:
        committed.close()
    last = workers.wait(lambda: workers.look(case.spans), "all spans counted")
    assert first is not None
    assert last is not None
    assert first.done <= _LATEST_START * case.spans, f"{case}: it was over before there was anything to measure"
    memory = max(watch.peak_memory(service.process.pid) for service in workers.services)
    sizes = installation.topic_bytes()
    for service in workers.services:
        service.process.stop()
    return Sample(case.spans, first, last, memory, sizes, yardstick=0.0)


@dataclass(frozen=True, slots=True)
class _Workers:
    services: Sequence[Service]

    def look(self, enough: float) -> Look | None:
        """What they have done, once that is enough and every worker owns partitions. Costs them milliseconds."""
        at, cpu = time.perf_counter(), watch.cpu_seconds(service.process.pid for service in self.services)
        metrics = [service.metrics() for service in self.services]
        if not all(each.get(("spanloom_owned_partitions", "window")) for each in metrics):
            return None
        names = ("spanloom_spans_total", "routed"), ("spanloom_windowed_spans_total", "added")
        done = tuple(sum(each.get(name, 0.0) for each in metrics) for name in names)
        return Look(at, cpu, done) if min(done) >= enough else None

    def wait(self, look: Callable[[], Look | bool | None], what: str) -> Look | None:
        def look_while_running() -> Look | bool | None:
            for service in self.services:
                service.process.check_running()
            return look()

        found = eventually(look_while_running, within=_LONGEST, what=what, every=_LOOK)
        return found if isinstance(found, Look) else None
