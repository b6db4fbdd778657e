"""What a turn is told of who and where: the same summary however it was told, and bounded."""

from itertools import permutations
from random import Random

import pytest

from services.sessionizer.engine.names import json_size
from services.sessionizer.engine.said import ENTRY_BYTES, MAX_FEW, NAME_BYTES, Said, Summary
from services.shared.model.span import NO_DIMENSIONS, Dimensions

_Told = list[tuple[Dimensions, int]]


def version(number: int) -> Dimensions:
    return Dimensions("ann", "prod", "bot", "", ("a",), (("session.prompt_version", f"{number}"),), (("k", "v"),))


def told(things: _Told, *, a_record: int = 1) -> Said:
    """A record holds `a_record` spans."""
    said = Said()
    for number, (thing, end) in enumerate(things, start=1):
        said.hear(thing, end, end.to_bytes(8, "big"))
        if number % a_record == 0:
            said.settle()
    said.settle()
    return said


def summary_of(things: _Told) -> Summary:
    return told(things).summary()


def test_what_all_spans_say_alike_is_kept_once_with_its_last_writer() -> None:
    said = told([(version(1), 5), (version(1), 9), (version(1), 7)], a_record=3)
    assert said.few == [(version(1), (9, b"", (9).to_bytes(8, "big")))]
    assert said.summary() == (
        *(["ann"], "prod", ["bot"], [], [], ["a"]),
        *({"session.prompt_version": "1"}, {"k": "v"}),
    )


def test_spans_that_say_nothing_leave_nothing() -> None:
    said = told([(Dimensions(), 1), (NO_DIMENSIONS, 2)])
    assert (said.few, said.weight) == ([], 0)
    assert said.summary() == ([], "", [], [], [], [], {}, {})


@pytest.mark.parametrize("count", [2, MAX_FEW, MAX_FEW + 1])
def test_of_several_things_the_last_writer_wins_in_any_order(count: int) -> None:
    things = [(version(number), number) for number in range(count)]
    for order in permutations(things):
        assert summary_of(list(order))[6] == {"session.prompt_version": f"{count - 1}"}


def test_few_and_many_give_the_same_summary_whatever_is_over_a_bound() -> None:
    random = Random(4)
    things = [
        (
            Dimensions(
                f"user {number:0200}",
                conversation_id="c" * number,
                tags=(f"{number:0999}",),
                metadata=((f"k{number % 5}", "\N{SNOWMAN}" * random.randint(1, 1024)),),
            ),
            random.randint(0, 99),
        )
        for number in range(12)
    ]
    whole = summary_of(things)
    for _ in range(20):
        random.shuffle(things)
        assert told(things, a_record=random.randint(1, 5)).summary() == whole
    few = things[:MAX_FEW]
    collected = told(few)
    collected.collect()
    assert collected.summary() == summary_of(few)


@pytest.mark.parametrize("length", [10, 1024])
def test_a_summary_is_bounded(length: int) -> None:
    large = Dimensions(
        tags=tuple(f"{number}".rjust(length, "t") for number in range(64)),
        session=tuple((f"session.{number}", "\0" * length) for number in range(16)),
        metadata=tuple((f"{number}", "\N{SNOWMAN}" * length) for number in range(16)),
    )
    *_, tags, session, metadata = summary_of([(large, 1)])
    assert 0 < sum(map(json_size, tags)) <= NAME_BYTES
    for entries in (session, metadata):
        assert sum(json_size(name) + json_size(value) for name, value in entries.items()) <= ENTRY_BYTES


def test_what_fits_is_the_same_by_the_short_way_and_by_collecting() -> None:
    alone, collected = told([(version(1), 1)]), told([(version(1), 1)])
    collected.collect()
    assert alone.summary() == collected.summary()
