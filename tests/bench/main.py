"""`tests/bench/run`: what the worker takes for a million spans, on Apache Kafka."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from tests.bench import machine
from tests.bench.case import FULL, QUICK
from tests.bench.figures import Figure, figures, table
from tests.bench.worker import Site
from tests.support.kafka.apache import ApacheKafka

Results = list[tuple[str, list[Figure]]]
"""Of each case that was measured, by its name."""

_QUICK_SECONDS = 85.0  # no case of a quick run begins later; one takes up to half a minute where others are at work

_NOTE = """\
A real `spanloom worker` (route and window, transactions, no Redis) reads a topic of 4 partitions that was filled
before it started; broker and worker share the machine. Worker CPU is user and system time of its process, without
what an idle start takes; `parse only` is the protobuf library on the same records. Sizes of topics are as on disk,
compressed where Spanloom compresses. Not measured: the time from a record to its row in ClickHouse."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five cases in about two minutes; on a busy machine fewer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure with its unit to FILE as well")
    options = parser.parse_args(arguments)
    about = machine.description()
    results, left_out = _run(quick=options.quick)
    _say("\n".join(f"{name}: {value}" for name, value in about.items()))
    _say(f"\n{table(results)}\n\n{_NOTE}")
    if left_out:
        _say(f"Left out, since two minutes were nearly over: {'; '.join(left_out)}.")
    if options.json:
        options.json.write_bytes(_json(about, results, left_out))


def _run(*, quick: bool) -> tuple[Results, list[str]]:
    """Results, and the names of the cases that there was no time for."""
    results: Results = []
    left_out: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spanloom-bench-") as folder:
        broker_folder = Path(folder) / "kafka"
        broker = ApacheKafka(broker_folder)
        try:
            broker.start()
            site = Site(broker, broker_folder, Path(folder))
            idle = site.idle_cpu_seconds()
            for number, case in enumerate(QUICK if quick else FULL, 1):
                if quick and time.monotonic() - started > _QUICK_SECONDS:
                    left_out.append(case.name)
                    continue
                _progress(f"{case.name} ...")
                results.append((case.name, figures(site.measure(number, case, idle))))
        finally:
            broker.kill()
    return results, left_out


def _json(about: dict[str, str], results: Results, left_out: list[str]) -> bytes:
    cases = [{"case": name, "figures": own} for name, own in results]
    return orjson.dumps({"about": about, "cases": cases, "left_out": left_out}, option=orjson.OPT_INDENT_2)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a long step shows itself


if __name__ == "__main__":
    main()
