"""`tests/chaos`: any number of seeds by hand. Says what it found, and how to do it again."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.chaos.run import SeedRun, hush
from tests.support.chaos.site import surroundings
from tests.support.chaos.verdict import Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when everything was exact, 1 when not."""
    parser = argparse.ArgumentParser(prog="tests/chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the next ones follow it")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin seeds for so long; 0: one seed")
    parser.add_argument("--verbose", action="store_true", help="say each fault when it has happened")
    options = parser.parse_args(arguments)
    total, seed, started = Verdict(), options.seed, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spanloom-chaos-") as folder, surroundings(Path(folder)) as around:
        while seed == options.seed or time.monotonic() - started < options.minutes * 60:
            began, say = time.monotonic(), _say if options.verbose else hush
            try:
                verdict = SeedRun(seed, Path(folder) / str(seed), around, say=say).run()
            except AssertionError as error:  # it never came to a verdict
                verdict = Verdict(wrong=1, findings=[str(error)])
            _say(f"seed {seed}: {verdict.text()} ({time.monotonic() - began:.0f} s)")
            total += verdict
            if not verdict.is_exact:
                _say(f"again: tests/chaos --seed {seed}")
                break
            seed += 1
    _say(f"{seed - options.seed} exact seeds in {time.monotonic() - started:.0f} s: {total.line()}")
    return 0 if total.is_exact else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command line


if __name__ == "__main__":
    sys.exit(main())
