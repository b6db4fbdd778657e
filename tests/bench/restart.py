"""A real worker with very many open sessions: its memory, its pauses, and how soon a new one goes on after a kill."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.bench import flow, watch
from tests.bench.answering import Answering, pause_figures, pauses
from tests.bench.figures import MILLION, Figure, per_million
from tests.bench.load import TURN_SPANS, Requests
from tests.bench.results import Measurement
from tests.bench.site import BenchInstallation, Site
from tests.support.eventually import eventually
from tests.support.installation import Service
from tests.support.otlp import HOUR, T0

_SPAN_BYTES, _TEXT = 500, 100
_SESSION_SPANS = 2 * TURN_SPANS
_BEFORE = 3 * HOUR  # sessions begin so long ago: none of what follows is of the future
_CLOSING = HOUR  # of event time, in which all of them close and expire
_CLOSING_SECONDS = 60
_CLOSING_SESSIONS = 20_000  # sessions of five spans each
_LONGEST = 3600.0  # seconds
_SETTINGS = {
    "gap": f"{flow.GAP}ns",
    "allowed_lateness": f"{flow.ALLOWED_LATENESS}ns",
    # Time goes on with spans only; the same worker comes back without waiting for its own absence to be noticed.
    "idle_after": "20h",
    "source_timeout": "24h",
    "instance_id": "bench",
}


def cases(site: Site, *, sessions: int) -> Iterator[Measurement]:
    """One after another on the same topics: sessions open, the worker is killed and comes back, sessions close."""
    with site.installation("restart", **_SETTINGS) as installation:
        run = _Run(installation, sessions)
        yield from zip(names(sessions), (run.open, run.restart, run.close), strict=True)
        for when in run.pauses:
            yield f"pauses while {sessions:,} sessions {when}", partial(run.pauses.__getitem__, when)


def names(sessions: int) -> list[str]:
    """Of the cases that measure."""
    return [f"{sessions:,} sessions {what}" for what in ("open", "after a kill", "close and expire")]


class _Run:
    def __init__(self, installation: BenchInstallation, sessions: int) -> None:
        self._installation, self._sessions = installation, sessions
        self._shift = time.time_ns() - _BEFORE - T0  # noqa: TID251 - spans of the future would be corrected
        self._requests = Requests(_SPAN_BYTES, text=_TEXT)
        self._start_seconds = 0.0
        self.pauses: dict[str, list[Figure]] = {}

    def open(self) -> list[Figure]:
        """Spans wait in the topic; a worker reads them all."""
        worker, _ = self._started()
        worker.process.kill()  # a second start, as after a kill later on, but without sessions
        self._worker, self._start_seconds = self._started()
        empty = watch.memory(self._worker.process.pid)
        before, cpu = pauses(self._worker), watch.cpu_seconds([self._worker.process.pid])
        with Answering(self._worker) as answering:
            self._installation.fill(flow.encoded(flow.filling(self._sessions), self._requests, self._shift))
            self._wait(lambda: self._counted() >= self._sessions * _SESSION_SPANS, "all spans counted")
        used = watch.cpu_seconds([self._worker.process.pid]) - cpu
        self.pauses["open"] = pause_figures(before, pauses(self._worker))
        self._wait_until_open()
        grown = watch.memory(self._worker.process.pid) - empty
        return [
            Figure("memory", "bytes/session", grown / self._sessions),
            Figure("memory of the worker", "MB", (empty + grown) / MILLION),
            Figure("worker CPU", "CPU-s per million spans", per_million(used, self._sessions * _SESSION_SPANS)),
            *answering.figures(),
        ]

    def restart(self) -> list[Figure]:
        """SIGKILL, and a new worker of the same name: until all states are there, and what of it is not its start."""
        self._worker.process.kill()
        self._worker, seconds = self._started()
        self._wait_until_open()
        return [
            Figure("start to ready", "s", seconds),
            Figure("of it recovery", "s", seconds - self._start_seconds),
            Figure("changelog entries", "entries/session", self._restored() / self._sessions),
            Figure("memory of the worker", "MB", watch.memory(self._worker.process.pid) / MILLION),
        ]

    def close(self) -> list[Figure]:
        """New spans, evenly over a minute, move time on until all sessions are closed and gone."""
        before, since = pauses(self._worker), time.perf_counter()
        begin = T0 + flow.GAP // 2 + self._shift
        records = list(flow.encoded(flow.closing(_CLOSING_SESSIONS, begin, _CLOSING), self._requests))
        next_second = threading.Event()
        with Answering(self._worker) as answering:
            for second in range(_CLOSING_SECONDS):
                next_second.wait(max(0.0, since + second - time.perf_counter()))
                first, last = (len(records) * part // _CLOSING_SECONDS for part in (second, second + 1))
                self._installation.fill(records[first:last])
            self._wait(self._are_expired, "all sessions expired")
        self.pauses["close and expire"] = pause_figures(before, pauses(self._worker))
        return [
            Figure("sessions expired", "sessions/s", self._sessions / (time.perf_counter() - since)),
            *answering.figures(),
        ]

    def _started(self) -> tuple[Service, float]:
        since = time.perf_counter()
        worker = self._installation.start("worker")
        worker.wait_until_ready(within=_LONGEST)
        return worker, time.perf_counter() - since

    def _wait(self, look: Callable[[], bool], what: str) -> None:
        eventually(look, within=_LONGEST, what=what, every=1.0)

    def _counted(self) -> float:
        return watch.total([self._worker], "spanloom_windowed_spans_total", "added")

    def _are_expired(self) -> bool:
        return watch.total([self._worker], "spanloom_windows_expired_total") >= self._sessions

    def _wait_until_open(self) -> None:
        """The gauges are those of the last checkpoint."""

        def look() -> bool:
            windows = (value for (name, *_), value in self._worker.metrics().items() if name == "spanloom_open_windows")
            return sum(windows) == self._sessions

        self._wait(look, f"{self._sessions} open windows")

    def _restored(self) -> float:
        return watch.total([self._worker], "spanloom_restored_entries_total", "window")
