"""What a jump of the watermark costs that closes very many windows at once: the longest pause, and memory.

    python -m tests.bench.sweep [--windows 50000]

A pause is one call of `fold` or `flush`: nothing else of the worker runs meanwhile. Flushes come
as the worker makes them, when enough waits.
"""

import argparse
import resource
from time import perf_counter

from services.sessionizer.partition import BACKLOG_LIMIT
from services.sessionizer.stage import InputRecord, Moment
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import SpanGroup, WatermarkRecord, encode_spans, encode_watermark
from tests.bench.engine import new_stage, span
from tests.support.spans import SECOND, T0

_A_RECORD = 1_000
_MOMENT = Moment(now=0, caught_up=False)
_MEGABYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=50_000)
    windows = parser.parse_args().windows
    stage = new_stage()
    offset = 0
    for first in range(0, windows, _A_RECORD):
        groups = [
            SpanGroup(
                SessionKey("shop", f"session-{number:012}"), T0, tuple(span(number, each, T0) for each in range(10))
            )
            for number in range(first, min(windows, first + _A_RECORD))
        ]
        stage.fold(InputRecord(offset, T0, None, encode_spans(groups)))
        stage.flush(_MOMENT)
        offset += 1
    jump = InputRecord(offset, T0 + SECOND, None, encode_watermark(WatermarkRecord("otlp_spans/0", T0 + 10**13, 1)))
    before, started = _peak(), perf_counter()
    pauses, flushes, applied = [], 0, False
    while not applied:
        since = perf_counter()
        applied = stage.fold(jump)
        pauses.append(perf_counter() - since)
        if applied or stage.backlog > BACKLOG_LIMIT:
            since = perf_counter()
            stage.flush(_MOMENT)
            pauses.append(perf_counter() - since)
            flushes += 1
    print(  # noqa: T201 - a program for the terminal
        f"{windows:,} windows closed at once in {perf_counter() - started:.1f} s and {flushes} checkpoints:"
        f" the longest pause {max(pauses):.2f} s, {_peak() - before:,.0f} MB of memory over the states"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEGABYTE


if __name__ == "__main__":
    main()
