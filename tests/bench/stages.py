"""Where the CPU goes inside the stages, without Kafka: one partition of each, records in memory.

    python -m tests.bench.stages [--spans 50000] [--checkpoint 10000] [--profile ROWS]

`--checkpoint` is how many spans a checkpoint holds. `--profile` prints what cProfile says, whose
own cost makes small functions look dearer than they are; the table is without it.
"""

import argparse
import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from services.sessionizer.pipeline import route_definition, window_definition
from services.sessionizer.stage import InputRecord, Moment, Stage
from services.shared.kafka_topics import dead_letter_topic
from services.shared.otlp.decode import decode_request
from services.shared.settings import Settings
from tests.bench.case import Case
from tests.bench.figures import per_million
from tests.bench.load import LENGTH, records
from tests.support.otlp import T0

_NOW = T0 + 2 * LENGTH
_T = TypeVar("_T")


class Costs:
    """CPU-seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def of(self, name: str, call: Callable[[], _T]) -> _T:
        started = time.process_time()
        result = call()
        self.seconds[name] += time.process_time() - started  # type: ignore[assignment]  # a Counter also sums floats
        return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--checkpoint", type=int, default=10_000)
    parser.add_argument("--profile", type=int, default=0, metavar="ROWS")
    options = parser.parse_args()
    case = Case(options.spans)
    values = list(records(case, T0))
    a_checkpoint = max(1, options.checkpoint // case.record_spans)
    costs = measure(values, a_checkpoint)
    _say(f"{case.name}, a checkpoint every {a_checkpoint * case.record_spans} spans; CPU-s per million spans")
    for name, seconds in costs.seconds.items():
        _say(f"  {name:26} {per_million(seconds, case.spans):6.1f}")
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, values, a_checkpoint)
        pstats.Stats(profile).sort_stats("tottime").print_stats(options.profile)


def measure(values: list[bytes], a_checkpoint: int) -> Costs:
    """All records through both stages, with a checkpoint of both after each `a_checkpoint` records."""
    route, window = _stages()
    costs = Costs()
    written = 0
    for offset, value in enumerate(values):
        record = InputRecord(offset, _NOW + offset, None, value)
        costs.of("decode, once more", lambda: decode_request(value))  # noqa: B023 - called at once
        costs.of("route: fold, with decode", lambda: route.fold(record))  # noqa: B023 - called at once
        if (offset + 1) % a_checkpoint and offset + 1 < len(values):
            continue
        moment = Moment(_NOW + offset, caught_up=False)
        flush = costs.of("route: flush", lambda: route.flush(moment))  # noqa: B023 - called at once
        inputs = [
            InputRecord(written + number, _NOW + offset, output.key, output.value)
            for number, output in enumerate(flush.outputs)
        ]
        written += len(inputs)
        for each in inputs:
            costs.of("window: fold", lambda: window.fold(each))  # noqa: B023 - called at once
        costs.of("window: flush", lambda: window.flush(moment))  # noqa: B023 - called at once
    return costs


def _stages() -> tuple[Stage, Stage]:
    settings = Settings()
    topics = (settings.spans_topic, settings.session_spans_topic, settings.rollups_topic)
    counts = dict.fromkeys((*topics, dead_letter_topic(settings.spans_topic)), 1)
    route = route_definition(settings, counts).build(0)
    window = window_definition(settings, counts, settings.epoch).build(0)
    window.restored()
    return route, window


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
