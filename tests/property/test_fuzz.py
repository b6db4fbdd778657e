"""Mutated bytes for all that decodes: a value or the documented error, in bounded time and memory (tests/fuzz)."""

import sys
import time

import pytest

from tests.support.fuzz.campaign import Fuzzer, Verdict, campaign
from tests.support.fuzz.corpus import make_corpus
from tests.support.fuzz.targets import TARGETS

SEED = 20_261_121


@pytest.fixture(scope="module")
def fuzzer() -> Fuzzer:
    return Fuzzer(SEED, make_corpus())


def test_what_is_not_mutated_is_decoded(fuzzer: Fuzzer) -> None:
    """Else the mutations would be those of rubbish."""
    outcomes = {name: {target(value) for value in fuzzer._corpus[kind]} for name, (kind, target) in TARGETS.items()}
    whole = {name: found - {"dead letter", "refused"} for name, found in outcomes.items()}
    assert all(whole.values()), outcomes
    assert not any("other types" in found or "refused" in found for found in outcomes.values()), outcomes


def test_an_input_has_the_same_bytes_whoever_makes_it(fuzzer: Fuzzer) -> None:
    again = Fuzzer(SEED, make_corpus())
    assert [fuzzer.input(number) for number in (0, 1, 77, 10**9)] == [again.input(n) for n in (0, 1, 77, 10**9)]


def test_ten_thousand_inputs_end_in_values_and_documented_errors(fuzzer: Fuzzer) -> None:
    verdict = Verdict()
    for number in range(10_000):
        fuzzer.attempt(number, verdict)
    assert verdict.faults == []
    assert verdict.inputs == 10_000
    reached = {outcome.partition(" ")[0] for outcome in verdict.outcomes}
    assert reached == set(TARGETS)


@pytest.mark.slow
def test_a_million_inputs_end_in_values_and_documented_errors(capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    verdict = campaign(SEED, inputs=1_000_000, processes=2)
    with capfd.disabled():  # pytest's own summary is another process's, where tests run in several
        print(f"\n{verdict.line(SEED, time.monotonic() - started)}", file=sys.stderr)  # noqa: T201 - the figure
    assert verdict.faults == []
    assert verdict.inputs == 1_000_000


def test_a_fault_a_slow_input_and_a_dead_process_are_told(monkeypatch: pytest.MonkeyPatch, fuzzer: Fuzzer) -> None:
    """The fuzzer itself can fail."""

    def broken(value: bytes) -> str:
        raise ZeroDivisionError(f"{len(value)}")

    monkeypatch.setitem(TARGETS, "decoder", ("request", broken))
    verdict = Verdict()
    number = next(number for number in range(100) if fuzzer.input(number)[0] == "decoder")
    fuzzer.attempt(number, verdict)
    (fault,) = verdict.faults
    assert f"input {number} of seed {SEED}" in fault
    assert "ZeroDivisionError" in fault
    monkeypatch.setattr("tests.support.fuzz.campaign.CPU_BOUND", -1.0)
    monkeypatch.setitem(TARGETS, "decoder", ("request", lambda value: "facts"))
    fuzzer.attempt(number, verdict)
    assert "s of CPU" in verdict.faults[-1]
