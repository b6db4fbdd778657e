"""Turns in pages and their spans in sets: found again wherever they are, and only what changed is stored."""

import pytest

from services.sessionizer import state
from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import PAGE_BYTES, SET_BYTES, SPILL_BYTES, Page, SetName, TurnStore
from tests.support.spans import T0, facts, span_id, trace_id

LONG = "\N{WAVING HAND SIGN}" * 1024


class Disk:
    """Pages and sets as they are stored; counts what is read."""

    def __init__(self) -> None:
        self.pages: dict[int, bytes] = {}
        self.sets: dict[SetName, bytes] = {}
        self.reads = 0
        self.written: list[int] = []

    def store(self, turns: TurnStore) -> TurnStore:
        """Write what changed, and go on with a store that has nothing decoded."""
        turns.balance()
        for number in turns.dropped_pages:
            self.pages.pop(number, None)
        for name in turns.dropped_sets - turns.changed_sets:
            self.sets.pop(name, None)
        values = [(self.pages, number, state.encode_page(turns.pages[number])) for number in turns.changed_pages]
        for pages, number, value in values:
            pages[number] = value
        for name in turns.changed_sets:
            self.sets[name] = state.encode_set(turns.sets[name])
        self.written = [len(value) for _, _, value in values]
        self.written += [len(self.sets[name]) for name in turns.changed_sets]
        turns.stored()
        assert self.pages.keys() == turns.leaves.keys()
        assert self.sets.keys() == set(turns.set_names())
        return self.open(turns)

    def open(self, turns: TurnStore) -> TurnStore:
        again = TurnStore(turns.leaves, turns.spilled)

        def load_page(number: int) -> Page:
            self.reads += 1
            return state.decode_page(self.pages[number])

        def load_set(name: SetName) -> SpanSet:
            self.reads += 1
            return state.decode_set(self.sets[name])

        again.load_page, again.load_set = load_page, load_set
        return again


def add(turns: TurnStore, trace: int, span: int, version: int = 1, text: str = "") -> None:
    one = facts(trace, span, T0, T0, input=text, output=text)
    turn = turns.get(one.trace_id) or Turn(one.trace_id, T0, T0)
    turn.add(one)
    turn.version = version
    turns.change(turn)
    turns.spans_to_change(turn, one.span_id).add(one.span_id)


def test_turns_are_found_after_their_pages_divided_and_no_page_is_large() -> None:
    disk, turns = Disk(), TurnStore()
    for trace in range(1, 2_001):
        add(turns, trace, 1)
        if trace % 300 == 0:
            turns = disk.store(turns)
    turns = disk.store(turns)
    assert len(disk.pages) > 10
    assert max(map(len, disk.pages.values())) <= PAGE_BYTES
    assert all(turns.get(trace_id(trace)) is not None for trace in range(1, 2_001))
    assert turns.get(trace_id(2_001)) is None
    assert sorted(turn.trace_id for turn in turns.all()) == [trace_id(trace) for trace in range(1, 2_001)]


def test_turns_of_long_texts_have_pages_of_their_own() -> None:
    disk, turns = Disk(), TurnStore()
    for trace in range(1, 51):
        add(turns, trace, 1, text=LONG)
    disk.store(turns)
    assert max(map(len, disk.pages.values())) <= PAGE_BYTES


def test_one_more_span_reads_and_writes_one_page_of_many() -> None:
    disk, turns = Disk(), TurnStore()
    for trace in range(1, 2_001):
        add(turns, trace, 1)
    turns = disk.store(turns)
    disk.reads = 0
    add(turns, 1_000, 2)
    disk.store(turns)
    assert disk.reads == 1
    assert len(disk.written) == 1


def test_only_pages_with_a_newer_turn_are_read_for_what_changed() -> None:
    disk, turns = Disk(), TurnStore()
    for trace in range(1, 2_001):
        add(turns, trace, 1)
    turns = disk.store(turns)
    add(turns, 1_000, 2, version=5)
    turns = disk.store(turns)
    disk.reads = 0
    assert [turn.trace_id for turn in turns.changed(1)] == [trace_id(1_000)]
    assert disk.reads == 1
    assert list(turns.changed(5)) == []
    assert disk.reads == 1


@pytest.mark.parametrize("at_once", [1_000, 20_000])
def test_spans_of_a_long_turn_are_found_in_sets_that_stay_small(at_once: int) -> None:
    disk, turns = Disk(), TurnStore()
    for first in range(1, 20_001, at_once):
        for span in range(first, first + at_once):
            add(turns, 1, span)
        turns = disk.store(turns)
    turn = turns.get(trace_id(1))
    assert turn is not None
    assert turn.spans.weight == 0
    assert len(disk.sets) > 1
    assert max(map(len, disk.sets.values())) <= SET_BYTES + 100
    assert all(turns.holds(turn, span_id(span)) for span in range(1, 20_001))
    assert not turns.holds(turn, span_id(20_001))


def test_one_more_span_of_a_long_turn_writes_its_page_and_one_set() -> None:
    disk, turns = Disk(), TurnStore()
    for span in range(1, 20_001):
        add(turns, 1, span)
    turns = disk.store(turns)
    for _ in range(3):
        add(turns, 1, 20_001)
        turns = disk.store(turns)
        assert len(disk.written) == 2


def test_a_turn_is_adopted_with_its_sets() -> None:
    disk, turns, other_disk, other = Disk(), TurnStore(), Disk(), TurnStore()
    add(turns, 1, 1)
    for span in range(1, 3 * SPILL_BYTES // 8):
        add(other, 2, span)
    other = other_disk.store(other)
    for turn in other.all():
        turns.adopt(turn, other)
    turns = disk.store(turns)
    adopted = turns.get(trace_id(2))
    assert adopted is not None
    assert turns.holds(adopted, span_id(700))
    assert len(disk.sets) == len(other_disk.sets) > 0


def test_forgotten_spans_leave_no_sets_and_new_ones_are_remembered() -> None:
    disk, turns = Disk(), TurnStore()
    for span in range(1, 2 * SPILL_BYTES // 8):
        add(turns, 1, span)
    turns = disk.store(turns)
    turns.forget_spans()
    for span in range(1, 2 * SPILL_BYTES // 8):
        add(turns, 1, 100_000 + span)
    turns = disk.store(turns)
    turn = turns.get(trace_id(1))
    assert turn is not None
    assert not turns.holds(turn, span_id(5))
    assert turns.holds(turn, span_id(100_005))
    turns.forget_spans()
    disk.store(turns)
    assert disk.sets == {}
