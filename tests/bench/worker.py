"""A case on Apache Kafka: what workers take from a warm-up, which is all done, to the last span counted."""

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from tests.bench import watch
from tests.bench.case import FULL, QUICK, REFERENCE, Case
from tests.bench.figures import Figure, Look, Sample, figures
from tests.bench.load import LENGTH, records
from tests.bench.results import Measurement
from tests.bench.site import BenchInstallation, Site
from tests.bench.site import site as new_site
from tests.bench.yardstick import parse_of_topic
from tests.support.installation import Service
from tests.support.otlp import HOUR

WARM_UP = 0.2
"""Of the spans: by then every module is imported, every partition owned, and windows close as fast as they open."""

_JOIN_SECONDS = 5.0
_START = 180.0
_LONGEST = 900.0  # seconds of one case
_SETTINGS = {
    # Workers are held while the topic is filled, and nobody is to take that for silence or a death.
    "idle_after": "9m",
    "kafka_session_timeout": "90s",
    "transaction_timeout": "5m",
}


def cases(site: Site, *, quick: bool, most: int) -> Iterator[Measurement]:
    """Of one worker."""
    for number, case in enumerate(at_most(most, QUICK if quick else FULL)):
        yield case.name, partial(measure, site, f"case-{number}", case)


def scaling(folder: Path, *, most: int) -> Iterator[Measurement]:
    """Of several workers on the partitions of the same topics, who join together."""
    (case,) = at_most(most, [replace(REFERENCE, spans=800_000)])
    own = folder / "scaling"
    own.mkdir()
    with new_site(own, join_seconds=_JOIN_SECONDS) as site:
        for workers in (1, 2, 4):
            name = f"{workers} worker{'s' * (workers > 1)}"
            yield name, partial(_without_sizes, site, f"scaling-{workers}", case, workers)


def _without_sizes(site: Site, name: str, case: Case, workers: int) -> list[Figure]:
    return measure(site, name, case, workers)[:4]


def at_most(most: int, wanted: Iterable[Case]) -> list[Case]:
    """The same cases with fewer spans, where they have more."""
    return [replace(case, spans=min(case.spans, most)) for case in wanted]


def begin() -> int:
    """The event time at which traffic begins, so that none of it is of the future."""
    return time.time_ns() - 2 * LENGTH - HOUR  # noqa: TID251 - spans of the future would be corrected


def measure(site: Site, name: str, case: Case, workers: int = 1) -> list[Figure]:
    """One run. Everything it started has ended afterwards, and its topics are being deleted."""
    with site.installation(name, **_SETTINGS) as installation:
        sample = _run(installation, case, workers)
        yardstick = parse_of_topic(site.broker.bootstrap, installation.spans_topic, installation.partitions)
    return figures(replace(sample, yardstick=yardstick))


def _run(installation: BenchInstallation, case: Case, count: int) -> Sample:
    """Let so many workers do the warm-up, hold them while the topic is filled, and let them go. No yardstick yet."""
    values = records(case, begin())
    warm_up = max(1, round(case.spans * WARM_UP / case.record_spans))
    installation.fill(islice(values, warm_up))
    services = [installation.start("worker") for _ in range(count)]
    for service in services:
        service.wait_until_ready(within=_START)
    look = partial(_look, services)
    spans = min(case.spans, warm_up * case.record_spans)
    watch.look_until(look, spans, within=_LONGEST, what="the warm-up")
    for service in services:
        service.process.signal(signal.SIGSTOP)
    installation.fill(values)
    first = Look(time.perf_counter(), watch.cpu_seconds(each.process.pid for each in services), (spans, spans))
    for service in services:
        service.process.signal(signal.SIGCONT)
    last = watch.look_until(look, case.spans, within=_LONGEST, what="all spans counted")
    memory = max(watch.peak_memory(service.process.pid) for service in services)
    sizes = installation.topic_bytes()
    for service in services:
        service.process.stop()
    return Sample(case.spans, first, last, memory, sizes, yardstick=0.0)


def _look(services: Sequence[Service]) -> Look:
    """What they have done: nothing as long as one of them owns no partition."""
    at, cpu = time.perf_counter(), watch.cpu_seconds(service.process.pid for service in services)
    for service in services:
        service.process.check_running()
    metrics = [service.metrics() for service in services]
    if not all(each.get(("spanloom_owned_partitions", "window")) for each in metrics):
        return Look(at, cpu, (0.0, 0.0))
    names = ("spanloom_spans_total", "routed"), ("spanloom_windowed_spans_total", "added")
    return Look(at, cpu, tuple(sum(each.get(name, 0.0) for each in metrics) for name in names))
