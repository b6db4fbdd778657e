"""One partition of `route` and `window` without Kafka, given records as the worker gives them."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.sessionizer.partition import BACKLOG_LIMIT
from services.sessionizer.pipeline import route_definition, window_definition
from services.sessionizer.stage import InputRecord, Moment, Output, Stage
from services.shared.kafka_topics import dead_letter_topic
from services.shared.settings import Settings
from tests.bench import flow
from tests.support.otlp import T0

CHECKPOINT = 2_500  # spans

_NOW = T0 + 1000 * flow.GAP
_A = TypeVar("_A")
_R = TypeVar("_R")


class Lane:
    """With a checkpoint every 2,500 spans. `published` hears of what each one publishes; records are of `now`."""

    def __init__(self, published: Callable[[Sequence[Output]], object] = len, now: int = _NOW) -> None:
        self._published, self._now = published, now
        settings = _settings()
        definition = route_definition(settings, _counts(settings))
        self._topic = settings.session_spans_topic
        self.route, self.window = definition.build(0), self.windows()
        self.route.restored()
        self.window.restored()
        self.cpu = 0.0
        """CPU-seconds of `window`."""
        self.pauses: list[float] = []
        """Seconds of each of its calls: nothing else of a worker runs meanwhile."""
        self.spans = self._offset = 0
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)  # as the worker has it

    @staticmethod
    def windows() -> Stage:
        settings = _settings()
        return window_definition(settings, _counts(settings), settings.epoch).build(0)

    def take(self, value: bytes) -> int:
        """One record of 500 spans, with checkpoints as they come. Returns how many spans there were so far."""
        now = self._now + self.spans
        self.route.fold(InputRecord(self.spans, now, None, value))
        self.spans += flow.RECORD_SPANS
        if self.spans % CHECKPOINT == 0:
            self.flush()
        return self.spans

    def flush(self) -> None:
        for output in self.route.flush(Moment(self._now + self.spans * 10**9, caught_up=False)).outputs:
            if output.topic == self._topic:
                self._fold(InputRecord(self._offset, self._now, output.key, output.value))
                self._offset += 1
        self._flush_windows()

    def _flush_windows(self) -> None:
        moment = Moment(self._now, caught_up=False)
        while not self._timed(self.window.prepare, moment):
            pass
        flushed = self._timed(self.window.flush, moment)
        self._published(flushed.outputs)

    def _fold(self, record: InputRecord) -> None:
        while not self._timed(self.window.fold, record):
            if self.window.backlog > BACKLOG_LIMIT:
                self._flush_windows()

    def _timed(self, call: Callable[[_A], _R], argument: _A) -> _R:
        cpu, since = time.process_time(), time.perf_counter()
        result = call(argument)
        self.pauses.append(time.perf_counter() - since)
        self.cpu += time.process_time() - cpu
        return result


def _settings() -> Settings:
    return Settings(gap=f"{flow.GAP}ns", allowed_lateness=f"{flow.ALLOWED_LATENESS}ns", resolve="off")


def _counts(settings: Settings) -> dict[str, int]:
    topics = (settings.spans_topic, settings.trace_spans_topic, settings.session_spans_topic, settings.rollups_topic)
    return dict.fromkeys((*topics, dead_letter_topic(settings.spans_topic)), 1)
