"""How long it takes until a session that is over stands in ClickHouse as closed: worker, both sinks and ClickHouse.

Traffic comes at a steady pace, spread over all partitions, until after the last session that is measured
was closed, so that nothing is closed by silence (`idle_after`).
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Self

from services.shared.clickhouse import ClickHouse
from services.shared.errors import SpanloomError
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, decode
from tests.bench.figures import Figure, percentile
from tests.bench.paced import PacedTraffic, Written
from tests.bench.passing import Passing, Promise
from tests.bench.results import Measurement
from tests.bench.site import BenchInstallation, Site
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.eventually import eventually
from tests.support.kafka.log import read_all
from tests.support.otlp import SECOND

GAP = 2 * SECOND
OUT_OF_ORDERNESS = SECOND // 5

_SETTINGS = {
    "gap": f"{GAP}ns",
    "out_of_orderness": f"{OUT_OF_ORDERNESS}ns",
    "allowed_lateness": "20s",
    "idle_after": "5m",
}
_WARM_UP = 5.0  # seconds of traffic before the first session that is measured
_REST = 8.0  # seconds of traffic after the end of the last one: gap, watermarks, and some
_LOOK = 0.05  # seconds
_RECENT = 30 * SECOND  # how far back a look goes
_IN_TIME = 60.0
_CLOSED = """
    SELECT DISTINCT project, session_id FROM session_windows
    WHERE state = 'closed' AND window_end > fromUnixTimestamp64Nano({since:Int64})"""

Key = tuple[str, str]
"""Project, session id."""


def cases(site: Site, *, rate: int, quick: bool) -> Iterator[Measurement]:
    """At a moderate rate, and in a full run at one span in ten of it, too."""
    for number, spans in enumerate((rate,) if quick else (rate // 10, rate)):
        yield f"{spans:,} spans/s", partial(measure, site, f"latency-{number}", spans, 12.0 if quick else 40.0)


def measure(site: Site, name: str, rate: int, seconds: float) -> list[Figure]:
    """Of the sessions that end within `seconds` of traffic at `rate` spans/s."""
    with ExitStack() as stack:
        installation = stack.enter_context(site.installation(name, **_SETTINGS))
        server = stack.enter_context(ClickHouseServer(installation.folder / "clickhouse"))
        url = server.url(name.replace("-", "_"))
        client = stack.enter_context(closing(migrated(url)))
        worker = installation.start("worker")
        sink = installation.start("sink", clickhouse_url=url)
        worker.wait_until_ready()
        sink.wait_until_ready()
        traffic = PacedTraffic(
            *(installation.bootstrap, installation.spans_topic, installation.partitions),
            rate=rate,
            seconds=_WARM_UP + seconds + _REST,
        )
        with _Looks(client) as looks:
            begin = time.time_ns()  # noqa: TID251 - live traffic is of now
            traffic.write()
            first, last = begin + round(_WARM_UP * SECOND), begin + round((_WARM_UP + seconds) * SECOND)
            measured = {key: of for key, of in traffic.ended.items() if first <= of[0] < last}
            eventually(
                lambda: measured.keys() <= looks.seen.keys(), within=_IN_TIME, what="every session in ClickHouse"
            )
        installation.check_running()
        watermarks = _watermarks(installation)
    spans = Passing(_promises(traffic.records), installation.partitions)
    seen = looks.seen
    by_watermark = [seen[key] - watermarks[key].moment(end + GAP) for key, (end, _) in measured.items()]
    return [
        *_figures("watermark passes to row", by_watermark),
        *_figures(
            "spans pass the end to row", [seen[key] - spans.moment(end + GAP) for key, (end, _) in measured.items()]
        ),
        *_figures("last span's record to row", [seen[key] - at for key, (_, at) in measured.items()]),
        Figure("sessions", "sessions", len(measured)),
        Figure("between two looks, p99", "s", percentile(looks.pauses, 99)),
    ]


def _figures(name: str, latencies: Sequence[int]) -> list[Figure]:
    return [Figure(f"{name}, p{percent}", "s", percentile(latencies, percent) / SECOND) for percent in (50, 99)]


def _promises(records: Sequence[Written]) -> Iterator[Promise]:
    """What each record of spans promises, as `route` takes it."""
    for record in records:
        yield Promise(record.at, str(record.partition), min(record.latest_end, record.at) - OUT_OF_ORDERNESS)


def _watermarks(installation: BenchInstallation) -> dict[Key, Passing]:
    """By session: the watermark of its partition, by the timestamps of the records that carry it."""
    promises: defaultdict[int, list[Promise]] = defaultdict(list)
    sources: dict[int, int] = {}
    partition_of: dict[Key, int] = {}
    topic = installation.settings.session_spans_topic
    for record in read_all(installation.bootstrap, topic, installation.partitions):
        content = decode(record.value or b"")
        if isinstance(content, WatermarkRecord):
            promises[record.partition].append(Promise(record.timestamp, content.source, content.watermark))
            sources[record.partition] = content.sources
        elif isinstance(content, SpansRecord):
            partition_of |= {(group.key.project, group.key.session_id): record.partition for group in content.groups}
    by_partition = {number: Passing(of_one, sources[number]) for number, of_one in promises.items()}
    return {key: by_partition[number] for key, number in partition_of.items()}


class _Looks:
    """Looks at ClickHouse all the time: when was a session first there as closed? A moment is the end of a look."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on)
        self._fault: BaseException | None = None
        self.seen: dict[Key, int] = {}
        self.pauses: list[float] = []
        """Seconds between the ends of two looks."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _look_on(self) -> None:
        try:
            self._look_until_over()
        except SpanloomError as error:
            self._fault = error

    def _look_until_over(self) -> None:
        last = time.monotonic()
        while not self._over.wait(max(0.0, last + _LOOK - time.monotonic())):
            rows = self._client.query(_CLOSED, {"since": time.time_ns() - _RECENT})  # noqa: TID251 - of now
            now = time.time_ns()  # noqa: TID251 - when a row is there is the world's time
            for row in rows:
                self.seen.setdefault((row["project"], row["session_id"]), now)
            self.pauses.append(time.monotonic() - last)
            last = time.monotonic()
