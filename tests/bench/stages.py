"""Where the CPU goes inside the stages, without Kafka: one partition of each, records in memory.

    python -m tests.bench.stages [--spans 50000] [--record-spans 500] [--checkpoint 10000] [--profile ROWS]
                                 [--resolve always] [--ids all]

`--checkpoint` is how many spans a checkpoint holds. `--resolve` is the setting of that name; `--ids`
says which spans name their session, all of them or roots only. `--profile` prints what cProfile says, whose
own cost makes small functions look dearer than they are; the table is without it.
"""

import argparse
import cProfile
import gc
import pstats
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from services.sessionizer.pipeline import resolve_definition, route_definition, window_definition
from services.sessionizer.stage import InputRecord, Moment, Stage
from services.shared.kafka_topics import dead_letter_topic
from services.shared.otlp.decode import decode_request
from services.shared.settings import Settings
from tests.bench.case import Case
from tests.bench.figures import per_million
from tests.bench.load import LENGTH, records
from tests.support.otlp import T0

_NOW = T0 + 2 * LENGTH
_A_SPAN = 50_000  # nanoseconds, at 20,000 spans a second: how often watermarks are due follows the clock
_T = TypeVar("_T")


class Costs:
    """CPU-seconds by what they were spent on, bytes by what they were written to."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()

    def of(self, name: str, call: Callable[[], _T]) -> _T:
        started = time.process_time()
        result = call()
        self.seconds[name] += time.process_time() - started  # type: ignore[assignment]  # a Counter also sums floats
        return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--record-spans", type=int, default=500)
    parser.add_argument("--checkpoint", type=int, default=10_000)
    parser.add_argument("--resolve", choices=("always", "when_missing", "off"), default="always")
    parser.add_argument("--ids", choices=("all", "roots"), default="all")
    parser.add_argument("--profile", type=int, default=0, metavar="ROWS")
    options = parser.parse_args()
    case = Case(options.spans, record_spans=options.record_spans)
    values = list(records(case, T0, roots_only=options.ids == "roots"))
    a_checkpoint = max(1, options.checkpoint // case.record_spans)
    settings = Settings(resolve=options.resolve)
    gc.disable()  # the worker looks for garbage once a minute (`garbage.py`)
    costs = measure(values, a_checkpoint, case.record_spans * _A_SPAN, settings)
    _say(f"{case.name}, a checkpoint every {a_checkpoint * case.record_spans} spans; CPU-s per million spans")
    for name, seconds in costs.seconds.items():
        _say(f"  {name:26} {per_million(seconds, case.spans):6.1f}")
    for name, size in costs.sizes.items():
        _say(f"  {name:26} {size / case.spans:6.1f} bytes a span, uncompressed")
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, values, a_checkpoint, case.record_spans * _A_SPAN, settings)
        pstats.Stats(profile).sort_stats("tottime").print_stats(options.profile)


def measure(values: list[bytes], a_checkpoint: int, a_record: int, settings: Settings) -> Costs:
    """All records, `a_record` nanoseconds apart, through all stages; a checkpoint after each `a_checkpoint` of them."""
    stages = _stages(settings)
    costs = Costs()
    logs: Counter[str] = Counter()  # records written, by topic
    for offset, value in enumerate(values):
        now = _NOW + offset * a_record
        costs.of("decode, once more", lambda: decode_request(value))  # noqa: B023 - called at once
        record = InputRecord(offset, now, None, value)
        costs.of("route: fold, with decode", lambda: stages[settings.spans_topic].fold(record))  # noqa: B023
        if (offset + 1) % a_checkpoint and offset + 1 < len(values):
            continue
        moment = Moment(now, caught_up=False)
        for topic, stage in stages.items():
            name = _NAMES[topic]
            flush = costs.of(f"{name}: flush", lambda: stage.flush(moment))  # noqa: B023 - called at once
            for output in flush.outputs:
                costs.sizes[output.topic] += len(output.value)
                if output.topic not in stages:
                    continue
                each = InputRecord(logs[output.topic], now, output.key, output.value)
                logs[output.topic] += 1
                costs.of(f"{_NAMES[output.topic]}: fold", lambda: _fold(stages[output.topic], each))  # noqa: B023
            costs.sizes[f"changelog of {name}"] += sum(len(key) + len(data or b"") for key, data in flush.changes)
    return costs


def _fold(stage: Stage, record: InputRecord) -> None:
    while not stage.fold(record):
        pass


_NAMES = {"otlp_spans": "route", "trace_spans": "resolve", "session_spans": "window"}


def _stages(settings: Settings) -> dict[str, Stage]:
    """By the topic that each reads, in the direction of the flow; one partition of each."""
    topics = (settings.spans_topic, settings.trace_spans_topic, settings.session_spans_topic, settings.rollups_topic)
    counts = dict.fromkeys((*topics, dead_letter_topic(settings.spans_topic)), 1)
    definitions = [
        route_definition(settings, counts),
        resolve_definition(settings, counts, settings.epoch),
        window_definition(settings, counts, settings.epoch),
    ]
    stages = {each.topic: each.build(0) for each in definitions if each is not None}
    for stage in stages.values():
        stage.restored()
    return stages


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
