"""Bindings, compiled and not: of which session a trace is, for how long, and what is written, to the byte."""

import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer.bindings import Bindings, Bound
from services.sessionizer.engine.watermark import NO_WATERMARK
from services.shared.model.session_key import SessionKey
from services.shared.records.packed import pack
from services.shared.records.session_spans import UnreadableRecordError
from services.shared.records.trace_spans import (
    TRACES_HEAD,
    BindingGroup,
    WaitingGroup,
    WaitingSpan,
    encode_traces,
    encode_waiting,
)
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.spans import T0, facts, trace_id
from tests.support.stage_run import compact

STREAMS = 150
KEPT = 40
TRACES = range(1, 13)
KEYS = (
    SessionKey("shop", "s1"),
    SessionKey("shöp", "s\x001"),
    SessionKey("", "9:" + "é" * 40),
    SessionKey("p" * 300, "s"),
)
WAITING = WaitingGroup("shop", T0, (WaitingSpan(facts(1, 1, T0, T0)),))
CAME = [(trace_id(1), T0, 1, encode_waiting(WAITING))]

KINDS: dict[str, type[Bindings]] = {"definition": Bindings}
with suppress(ImportError):  # not built, or switched off
    KINDS["compiled"] = import_module("services.sessionizer._bindings").Bindings
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class Take(NamedTuple):
    groups: tuple[BindingGroup, ...]
    waits: frozenset[bytes]
    has_spans: bool


class Use(NamedTuple):
    trace: int
    time: int


class Pass(NamedTuple):
    by: int
    most: int


class Store(NamedTuple):
    is_restart: bool
    by_snapshot: bool


Step = Take | Use | Pass | Store

_times = st.integers(0, 60).map(lambda at: T0 + at)
_groups = st.builds(
    lambda key, time, traces: BindingGroup(key, time, tuple(map(trace_id, traces))),
    st.sampled_from(KEYS),
    _times,
    st.lists(st.sampled_from(TRACES), max_size=4),
)
_takes = st.builds(
    lambda groups, waits, has_spans: Take(tuple(groups), frozenset(map(trace_id, waits)), has_spans),
    st.lists(_groups, max_size=5),
    st.sets(st.sampled_from(TRACES), max_size=2),
    st.booleans(),
)
_uses = st.builds(Use, st.sampled_from(TRACES), _times)
_steps = st.one_of(
    _takes,
    _takes,
    _uses,
    _uses,
    st.builds(Pass, st.integers(0, 30), st.integers(1, 5)),
    *[st.builds(Store, st.booleans(), st.booleans())] * 2,
)


def new(kind: type[Bindings]) -> Bindings:
    """With segments of few bindings."""
    return kind(KEPT, segment_bytes=150, slack=3)


@dataclass
class Run:
    """What is known by semantics.md, and each implementation, which knows the same; both write `log`."""

    known: dict[bytes, tuple[SessionKey, int]] = field(default_factory=dict)
    watermark: int = NO_WATERMARK
    kinds: list[Bindings] = field(default_factory=lambda: [new(kind) for kind in KINDS.values()])
    log: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def apply(self, step: Step) -> None:
        match step:
            case Take():
                self.take(step)
            case Use():
                self.use(trace_id(step.trace), step.time)
            case Pass():
                self.pass_time(step)
            case Store():
                self.store(step)

    def take(self, step: Take) -> None:
        waiting: list[Bound] = []
        for group in step.groups:
            for trace in group.traces:
                time = max(self.watermark, group.record_time)
                if trace in step.waits:
                    waiting.append((trace, group.key, time))
                else:
                    self.known.setdefault(trace, (group.key, time))
        value = encode_traces((*step.groups, *([WAITING] if step.has_spans else [])))
        for each in self.kinds:
            found = each.take(value, self.watermark, step.waits)
            assert found == (waiting, CAME if step.has_spans else [])

    def use(self, trace: bytes, time: int) -> None:
        if trace in self.known:
            key, since = self.known[trace]
            self.known[trace] = key, max(since, time)
            for each in self.kinds:
                each.use(trace, time)

    def pass_time(self, step: Pass) -> None:
        self.watermark = max(self.watermark, T0) + step.by
        for trace in [trace for trace, (_, since) in self.known.items() if self.watermark > since + KEPT]:
            del self.known[trace]
            self.counts["forgotten"] += 1
        for each in self.kinds:
            while not each.expire(self.watermark, step.most):
                self.counts["slices"] += 1

    def store(self, step: Store) -> None:
        written = [each.store() for each in self.kinds]
        assert written[0] == written[-1]
        self.log += written[0]
        self.counts["segments"] += sum(value is not None for _, value in written[0])
        self.counts["segments that went"] += sum(value is None for _, value in written[0])
        if step.is_restart:
            self.log = list(self.kinds[0].snapshot()) if step.by_snapshot else list(compact(self.log))
            self.kinds = [new(kind) for kind in KINDS.values()]
            for each in self.kinds:
                for key, value in self.log:
                    each.load(key, value or b"")
                each.loaded(self.watermark)

    def check(self) -> None:
        for each in self.kinds:
            assert len(each) == len(self.known)
            for trace in map(trace_id, TRACES):
                assert each.session(trace) == self.known.get(trace, (None,))[0]
            assert each.size == self.kinds[0].size
            assert list(each.snapshot()) == list(self.kinds[0].snapshot())


def test_a_trace_is_of_its_first_session_until_it_was_not_used_for_so_long_whatever_befalls_the_worker() -> None:
    counts: Counter[str] = Counter()

    @streams(STREAMS)
    @given(st.lists(_steps, min_size=40, max_size=80))
    def check(steps: list[Step]) -> None:
        run = Run()
        for step in _without_bound_waits(steps):
            run.apply(step)
            run.check()
        counts.update(run.counts, streams=1)

    check()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts["streams"] >= STREAMS * min(SCALE, 1)
    assert min(counts.values()) >= counts["streams"], f"the streams are too tame: {counts}"


def _without_bound_waits(steps: list[Step]) -> list[Step]:
    """A trace that is bound does not wait: only those wait that no earlier step may have bound."""
    bound: set[bytes] = set()
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Take):
            waits = step.waits - bound
            found.append(step._replace(waits=waits))
            bound.update(trace for group in step.groups for trace in group.traces if trace not in waits)
        else:
            found.append(step)
    return found


GROUP = ["shop", "s1", T0, trace_id(1)]
RECORD = [1, 0, [GROUP], [], []]


@pytest.mark.parametrize(
    "record",
    [
        [1, 0, [["shop", "s1", T0, trace_id(1)[:-1]]], [], []],
        [1, 0, [["shop", "s1", T0]], [], []],
        [1, 0, [GROUP], []],
        [1, 0, [GROUP], [], [], []],
        [1, 0, [GROUP], [], [7]],
        [1, 0, 7, [], []],
    ],
)
@each_kind
def test_a_record_that_no_worker_wrote_is_refused(kind: type[Bindings], record: list[object]) -> None:
    assert new(kind).take(pack(RECORD), T0, ()) == ([], [])
    with pytest.raises(UnreadableRecordError):
        new(kind).take(pack(record), T0, ())


@each_kind
def test_a_record_is_refused_or_read_wherever_it_breaks(kind: type[Bindings]) -> None:
    """What is inside a span is passed on as it is, where it is compiled; its next reader refuses it."""
    groups = [BindingGroup(key, T0, (trace_id(1), trace_id(2))) for key in KEYS]
    whole, spans = encode_traces([*groups, WAITING]), len(encode_traces(groups)) - 2
    for place in range(len(TRACES_HEAD), len(whole)):
        with pytest.raises(UnreadableRecordError):
            new(kind).take(whole[:place], T0, ())
        for bit in (1, 0x10, 0x80):
            broken = bytearray(whole)
            broken[place] ^= bit
            expected, found = (outcome(each, bytes(broken)) for each in (Bindings, kind))
            assert expected == found or place >= spans


def outcome(kind: type[Bindings], record: bytes) -> object:
    bindings = new(kind)
    try:
        return bindings.take(record, T0, ()), bindings.store()
    except (UnreadableRecordError, *FAULTS):
        return "refused"


FAULTS = (AssertionError, AttributeError, TypeError, OverflowError, ValueError, struct.error)
"""What else stops a worker: fields of other types than a worker writes."""
