"""What one session key costs that gets everything: CPU a span as it grows, the longest call of the stage, memory.

    python -m tests.bench.poison [--spans 1000000] [CASE ...]

Flat figures are the point: of a session that nothing bounds, each line would be dearer than the one before.
"""

import argparse
import resource
from collections.abc import Callable
from time import process_time

from services.sessionizer.partition import BACKLOG_LIMIT
from services.sessionizer.stage import InputRecord, Moment
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records.session_spans import SpanGroup, WatermarkRecord, encode_spans, encode_watermark
from tests.bench.engine import new_stage, span
from tests.support.spans import SECOND, T0, facts

_RECORD, _FLUSH = 500, 5_000
_KEY = SessionKey("shop", "one id for everything")
_MOMENT = Moment(now=0, caught_up=False)
_DAY = 24 * 3600 * SECOND


def _turns(number: int) -> SpanFacts:
    return span(1, number, T0)


def _one_trace(number: int) -> SpanFacts:
    at = T0 + number * 10**6
    return facts(1, number + 1, at, at + 10**6, parent=number // 2)


def _one_span_traces(number: int) -> SpanFacts:
    at = T0 + number * 10**6
    return facts(number + 1, 1, at, at + 10**6)


def _broken_clock(number: int) -> SpanFacts:
    at = T0 + number * 10**6
    return facts(number + 1, 1, at - 30 * _DAY, at)


def _scattered(number: int) -> SpanFacts:
    at = T0 - (number * 7919 % 100_003) * 3600 * SECOND
    return facts(number + 1, 1, at, at)


CASES: dict[str, Callable[[int], SpanFacts]] = {
    "turns of 5 spans": _turns,
    "one trace": _one_trace,
    "traces of one span": _one_span_traces,
    "spans longer than a day": _broken_clock,
    "spans hours apart in no order": _scattered,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    options = parser.parse_args()
    for name in options.cases:
        measure(name, options.spans)


def measure(name: str, spans: int) -> None:
    stage, make = new_stage(), CASES[name]
    started, pause, offset, step = process_time(), 0.0, 0, max(_FLUSH, spans // 5)
    for first in range(0, spans, _RECORD):
        items = tuple(make(number) for number in range(first, first + _RECORD))
        end = max(item.end for item in items)
        for value in (
            encode_spans([SpanGroup(_KEY, end, items)]),
            encode_watermark(WatermarkRecord("otlp_spans/0", end - 10 * SECOND, 1)),
        ):
            is_applied = False
            while not is_applied:
                since = process_time()
                is_applied = stage.fold(InputRecord(offset, end, None, value))
                pause = max(pause, process_time() - since)
                if stage.backlog > BACKLOG_LIMIT or (is_applied and (first + _RECORD) % _FLUSH == 0):
                    is_prepared = False
                    while not is_prepared:
                        since = process_time()
                        is_prepared = stage.prepare(_MOMENT)
                        pause = max(pause, process_time() - since)
                    stage.flush(_MOMENT)
            offset += 1
        if (first + _RECORD) % step == 0:
            _say(
                f"{name}: spans up to {first + _RECORD:9,}:"
                f" {(process_time() - started) / step * 1e6:7.1f} us of CPU each,"
                f" longest call {pause:.2f} s, {stage.gauges['spanloom_held_windows']:.0f} windows,"
                f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most"
            )
            started, pause = process_time(), 0.0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
