"""`tests/bench/run`: what Spanloom takes, on real parts, part by part."""

import argparse
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.bench import machine, page
from tests.bench.options import MOST, RATE, SESSIONS, Options
from tests.bench.parts import PARTS, Part
from tests.bench.results import CaseResult, PartResult, Results
from tests.bench.site import Site, site

_QUICK_SECONDS = 75.0  # no case of a quick run begins later; one takes up to half a minute where others are at work
_EPILOG = "parts:\n" + "\n".join(f"  {name:9} {part.title}" for name, part in PARTS.items()) + f"\n{page.ADVICE}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure; all of it where none is named")
    parser.add_argument("--quick", action="store_true", help="small cases of the main parts, within two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure with its unit to FILE as well")
    parser.add_argument(
        "--save", action="store_true", help="put the figures into the committed results, and make the pages anew"
    )
    parser.add_argument("--pages", action="store_true", help="measure nothing, make the pages from the results anew")
    parser.add_argument("--rate", type=int, default=RATE, help="spans/s of the latency part (%(default)s)")
    parser.add_argument(
        "--sessions", type=int, default=SESSIONS, help="of the parts state, restart and api (%(default)s)"
    )
    parser.add_argument(
        "--most", type=int, default=MOST, metavar="SPANS", help="of a case: for a look on a busy machine"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.save and options.quick:
        parser.error("figures of a quick run are not for the results")
    if options.pages:
        page.write()
        return
    signal.signal(signal.SIGTERM, _end)
    chosen = options.parts or [name for name, part in PARTS.items() if part.is_quick or not options.quick]
    measured, failed = Results(), False
    for part in _run(chosen, options):
        _say(page.part_text(part) + "\n")
        measured.add(part)
        if options.save:
            page.save(part)
        failed = failed or any(name.endswith("(failed)") for name in part.left_out)
        if options.json:
            options.json.write_bytes(measured.to_json())
    if failed:
        raise SystemExit(1)


def _run(chosen: Sequence[str], told: argparse.Namespace) -> Iterator[PartResult]:
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spanloom-bench-")))
        kafka: Site | None = None
        for name in chosen:
            part = PARTS[name]
            if part.needs_kafka and kafka is None:
                kafka = stack.enter_context(site(folder))
            deadline = started + _QUICK_SECONDS if told.quick else float("inf")
            options = Options(told.quick, told.rate, told.sessions, told.most, folder, kafka)
            yield _measure(name, part, options, deadline)


def _measure(name: str, part: Part, options: Options, deadline: float) -> PartResult:
    about, began = machine.description(), time.monotonic()
    results: list[CaseResult] = []
    left_out: list[str] = []
    for case, measure in part.cases(options):
        if time.monotonic() > deadline:
            left_out.append(case)
            continue
        _progress(f"{name}: {case} ...")
        try:
            results.append(CaseResult(case, measure()))
        except AssertionError as error:  # of a case: the others may tell something all the same
            _progress(f"{name}: {case} failed: {error}")
            left_out.append(f"{case} (failed)")
    command = f"tests/bench/run {name}{' --quick' * options.quick}{options.said}"
    return PartResult(name, about, command, time.monotonic() - began, results, left_out)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """An exit like any other: brokers and services, in process groups of their own, end with the blocks they are in."""
    del frame
    signal.signal(number, signal.SIG_IGN)  # `timeout` sends it twice, and what is being ended must be ended
    for child in multiprocessing.active_children():
        child.terminate()  # its pool would wait for what it measures
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its result


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a long step shows itself


if __name__ == "__main__":
    main()
