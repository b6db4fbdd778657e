"""Many inputs over some processes: counts, the slowest input, and the first fault with how to repeat it.

Input N of seed S is always the same bytes. No input may take more than `CPU_BOUND` seconds of CPU or, should it
never end, `HANG_BOUND` seconds of time; a process may not need more than `MEMORY_BOUND` bytes on top.
"""

import multiprocessing
import resource
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from random import Random
from typing import Any

from tests.support.fuzz.corpus import make_corpus
from tests.support.fuzz.mutation import mutated
from tests.support.fuzz.targets import SHARES, TARGETS

CPU_BOUND = 2.0
HANG_BOUND = 60.0
MEMORY_BOUND = 1 << 30
_REST = (100 - sum(SHARES.values())) / (len(TARGETS) - len(SHARES))
_NAMES = tuple(TARGETS)
_WEIGHTS = tuple(SHARES.get(name, _REST) for name in _NAMES)


@dataclass(slots=True)
class Verdict:
    """What came of a campaign. `faults` are texts, empty when all was well; `slowest` is CPU time and input number."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    faults: list[str] = field(default_factory=list)

    def line(self, seed: int, seconds: float) -> str:
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        return (
            f"fuzz: {self.inputs:,} inputs of seed {seed} in {seconds:.0f} s, {len(self.faults)} faults,"
            f" slowest {1000 * self.slowest[0]:.0f} ms of CPU (number {self.slowest[1]}); {told}"
        )


class Fuzzer:
    """Makes and tries inputs."""

    def __init__(self, seed: int, corpus: Mapping[str, Sequence[bytes]]) -> None:
        self._seed, self._corpus = seed, corpus

    def input(self, number: int) -> tuple[str, bytes]:
        """Target and bytes."""
        random = Random(self._seed << 40 | number)
        name = random.choices(_NAMES, _WEIGHTS)[0]
        values = self._corpus[TARGETS[name][0]]
        others = values if random.random() < 0.9 else self._corpus[random.choice(tuple(self._corpus))]
        return name, mutated(random.choice(values), random, others)

    def attempt(self, number: int, verdict: Verdict) -> None:
        """Try one input and write down what came of it."""
        name, value = self.input(number)
        started = time.process_time()
        try:
            outcome = TARGETS[name][1](value)
        except Exception:  # noqa: BLE001 - any exception at all is what is looked for
            verdict.faults.append(self._told(number, name, value, traceback.format_exc(limit=-4)))
            outcome = "fault"
        spent = time.process_time() - started
        if spent > CPU_BOUND:
            verdict.faults.append(self._told(number, name, value, f"{spent:.1f} s of CPU"))
        verdict.inputs += 1
        verdict.outcomes[f"{name} {outcome.partition(':')[0]}"] += 1
        verdict.slowest = max(verdict.slowest, (spent, number))

    def _told(self, number: int, name: str, value: bytes, what: str) -> str:
        return f"input {number} of seed {self._seed} ({name}, {len(value)} bytes, {value[:60]!r} ...): {what}"


def campaign(seed: int, inputs: int, processes: int) -> Verdict:
    """Try inputs 0 to `inputs` - 1. Ends early after many faults."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[BaseProcess, Any]] = {}
    for worker in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        at = context.RawValue("q", -1)
        started = context.Process(target=_work, args=(seed, range(worker, inputs, processes), at, theirs), daemon=True)
        started.start()
        theirs.close()
        running[ours] = started, at
    verdict = Verdict()
    seen = {ours: (-1, time.monotonic()) for ours in running}
    while running:
        for ready in wait(list(running), timeout=1.0):
            assert isinstance(ready, Connection)
            process, at = running.pop(ready)
            _add(verdict, ready, f"a process ended at input {at.value} of seed {seed}")
            process.join()
        for ours, (process, at) in list(running.items()):
            number, since = seen[ours]
            if at.value != number:
                seen[ours] = at.value, time.monotonic()
            elif time.monotonic() - since > HANG_BOUND:
                verdict.faults.append(f"input {number} of seed {seed} does not end within {HANG_BOUND:.0f} s")
                process.kill()
    return verdict


def _add(verdict: Verdict, pipe: Connection, broken: str) -> None:
    try:
        part: Verdict = pipe.recv()
    except EOFError:
        verdict.faults.append(broken)
        return
    verdict.inputs += part.inputs
    verdict.outcomes += part.outcomes
    verdict.slowest = max(verdict.slowest, part.slowest)
    verdict.faults += part.faults


def _work(seed: int, numbers: range, at: Any, pipe: Connection) -> None:
    fuzzer, verdict = Fuzzer(seed, make_corpus()), Verdict()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - no path of ours
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (max(used, mapped) + MEMORY_BOUND, resource.RLIM_INFINITY))
    for number in numbers:
        at.value = number
        fuzzer.attempt(number, verdict)
        if len(verdict.faults) >= 20:
            break
    pipe.send(verdict)
