"""What may not matter: crashes, when flushes come, in which order rows are upserted, which process computes."""

import os
import subprocess
import sys
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer.stage import Flush
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.stage_run import Published, StageRun, Tables
from tests.support.streams import Stream, eventful_streams

REPLAYED, FLUSHED, UPSERTED = 150, 150, 150

flush_plans = st.integers(1, 2**16 - 1)
"""Bit n: whether to flush after record n."""


def is_flush(plan: int, index: int) -> bool:
    return bool(plan >> index % 16 & 1)


def everything(flush: Flush) -> tuple[object, ...]:
    live = sorted(
        (u.project, u.session_id, sorted(u.windows.items()), sorted(u.turns.items()), sorted(u.removed))
        for u in flush.live
    )
    return list(flush.outputs), live, flush.counts


def replay(stream: Stream, plan: int) -> None:
    """Every flush is made three times: lost, lost again, committed. Then the whole log once more from its start."""
    stage_run = StageRun(stream.policy, max_identities=stream.max_identities)
    committed = []
    for index, step in enumerate(stream.steps):
        stage_run.fold(step.timestamp, step.record)
        if not is_flush(plan, index):
            continue
        first = everything(stage_run.prepare())
        stage_run.crash()
        second = everything(stage_run.prepare())
        stage_run.crash(compacted=True)
        flush = stage_run.prepare()
        assert first == second == everything(flush)
        stage_run.commit(flush)
        committed.append(everything(flush))
    again = StageRun(stream.policy, max_identities=stream.max_identities)
    for index, step in enumerate(stream.steps):
        again.fold(step.timestamp, step.record)
        if is_flush(plan, index):
            flush = again.prepare()
            again.commit(flush)
            assert everything(flush) == committed.pop(0)


def flushed_run(stream: Stream, plan: int) -> tuple[StageRun, list[Published]]:
    stage_run, published = StageRun(stream.policy, max_identities=stream.max_identities), []
    for index, step in enumerate(stream.steps):
        stage_run.fold(step.timestamp, step.record)
        if is_flush(plan, index):
            published.append(stage_run.flush(drain=is_flush(plan, index + 7)))
    published.append(stage_run.flush(drain=True))
    return stage_run, published


def compare_plans(stream: Stream, one: int, other: int) -> None:
    """The same last versions with the same content; and one version has one content in both."""
    first, second = flushed_run(stream, one)[0].tables, flushed_run(stream, other)[0].tables
    assert first.living_windows() == second.living_windows()
    assert first.living_turns() == second.living_turns()
    for name in first.contents.keys() & second.contents.keys():
        assert first.contents[name] == second.contents[name], f"two contents of {name}"


def upsert_in_any_order(stream: Stream, plan: int, seed: int) -> None:
    """Sinks of different partitions of the topic, retries and replays: what ClickHouse holds is the same."""
    stage_run, published = flushed_run(stream, plan)
    rows: list[Published] = []
    for each in published:
        rows += [Published([row]) for row in each.windows] + [Published([], [row]) for row in each.turns]
    random = Random(seed)
    rows += random.sample(rows, len(rows) // 3)
    random.shuffle(rows)
    tables = Tables()
    for row in rows:
        tables.apply(row)
    assert tables.living_windows() == stage_run.tables.living_windows()
    assert tables.living_turns() == stage_run.tables.living_turns()
    assert {of for of, _ in tables.living_turns()} == set(tables.living_windows())


def test_replays_flush_points_and_the_order_of_upserts_change_nothing() -> None:
    counts: Counter[str] = Counter()

    @streams(REPLAYED)
    @given(eventful_streams(), flush_plans)
    def replayed(stream: Stream, plan: int) -> None:
        replay(stream, plan)
        counts["streams replayed"] += 1

    @streams(FLUSHED)
    @given(eventful_streams(), flush_plans, flush_plans)
    def flushed(stream: Stream, one: int, other: int) -> None:
        compare_plans(stream, one, other)
        counts["streams flushed at other points"] += 1

    @streams(UPSERTED)
    @given(eventful_streams(), flush_plans, st.integers(0, 2**32))
    def upserted(stream: Stream, plan: int, seed: int) -> None:
        upsert_in_any_order(stream, plan, seed)
        counts["streams upserted in another order"] += 1

    replayed()
    flushed()
    upserted()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts.total() >= (REPLAYED + FLUSHED + UPSERTED) * min(SCALE, 1)


_DIGEST = """
from hashlib import sha256
from hypothesis import given, settings, Verbosity
from tests.property.test_replay import flushed_run
from tests.support.streams import eventful_streams
digest = sha256()
@settings(max_examples=40, derandomize=True, database=None, deadline=None, verbosity=Verbosity.quiet)
@given(eventful_streams())
def check(stream):
    stage_run, published = flushed_run(stream, 0xA5A5)
    digest.update(repr((published, stage_run.changelog)).encode())
check()
print(digest.hexdigest())
"""


def test_every_process_computes_the_same_whatever_its_hash_seed() -> None:
    def run(seed: str) -> str:
        command = [sys.executable, "-c", _DIGEST]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("1") == run("2") != ""
