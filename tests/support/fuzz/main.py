"""`tests/fuzz`: see there."""

import argparse
import os
import sys
import time

from tests.support.fuzz.campaign import Fuzzer, Verdict, campaign
from tests.support.fuzz.corpus import make_corpus


def main() -> int:
    """Print the verdict; 1 when there are faults."""
    parser = argparse.ArgumentParser(prog="tests/fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, metavar="N", help="try input N alone, and write its bytes to stdout")
    parser.add_argument("--coverage", action="store_true", help="let Atheris find inputs for the decoder, by coverage")
    arguments = parser.parse_args()
    if arguments.coverage:
        from tests.support.fuzz.coverage import run_atheris  # noqa: PLC0415 - needs Atheris, which is not installed

        return run_atheris(arguments.inputs, arguments.seed)
    started = time.monotonic()
    if arguments.only is not None:
        fuzzer, verdict = Fuzzer(arguments.seed, make_corpus()), Verdict()
        sys.stdout.buffer.write(fuzzer.input(arguments.only)[1])
        fuzzer.attempt(arguments.only, verdict)
    else:
        verdict = campaign(arguments.seed, arguments.inputs, arguments.processes)
    for fault in verdict.faults:
        print(fault, file=sys.stderr)  # noqa: T201 - a command
    print(verdict.line(arguments.seed, time.monotonic() - started), file=sys.stderr)  # noqa: T201 - a command
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
