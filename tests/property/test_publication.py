"""Windows and turns as JSON: what the compiled writer writes is what the definition writes, byte for byte."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer import publication
from services.sessionizer.engine.said import MAX_FEW
from services.sessionizer.engine.window import Window
from services.shared.model.rollup import CloseReason
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, ModelCall
from services.shared.records.rollup_fields import turn_from_json, window_from_json
from services.shared.records.rollups import MAX_RECORD_BYTES
from tests.property.profile import streams
from tests.support.spans import SECOND, T0, facts

_KEY = SessionKey("shop", "s1")
_LARGE = 10**12  # tokens of a call at most
_DEAR = 10**21  # picodollars of a call at most
_TURNS = 4

characters = st.one_of(
    st.sampled_from('"\\/\b\t\n\f\r\0\x1f\x7f\x80é\u2028\ufffe\U0001f44b'), st.characters(exclude_categories=["Cs"])
)
texts = st.one_of(
    st.just(""),
    st.sampled_from(["gpt", "alice", "bob", "chat", "a" * 300]),
    st.text(characters, max_size=40),
    # One odd character somewhere in a text that is copied sixteen bytes at a time.
    st.tuples(st.integers(0, 40), characters, st.integers(0, 40)).map(lambda t: "x" * t[0] + t[1] + "y" * t[2]),
)
numbers = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 2**62))
counts = st.one_of(st.none(), st.integers(0, 10), st.integers(0, _LARGE))
costs = st.one_of(st.none(), st.just(0), st.integers(0, 10**13), st.integers(0, _DEAR))
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
dimensions = st.builds(
    Dimensions, texts, texts, texts, texts, st.lists(texts, max_size=3).map(tuple), pairs, pairs, texts
)
calls = st.builds(ModelCall, texts, *[counts] * 6, *[costs] * 3, texts)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window that spans can make, and some that they cannot."""
    window = Window(
        draw(st.binary(min_size=8, max_size=8)), (draw(numbers), 1), T0, draw(numbers), is_late=draw(st.booleans())
    )
    said = [*draw(st.lists(dimensions, min_size=1, max_size=3)), Dimensions()]
    if draw(st.integers(0, 9)) == 0:
        said = [Dimensions(user_id=f"user {number}") for number in range(2 * MAX_FEW)]
    for number in range(draw(st.integers(0, 20))):
        trace = draw(st.integers(1, _TURNS))
        start = T0 + draw(st.integers(0, 3)) * SECOND
        span = facts(
            trace,
            draw(st.integers(0, 2)) << 8 | number + 1,
            start,
            start + draw(st.one_of(st.integers(0, 100), st.integers(0, 2**50))),
            parent=draw(st.sampled_from([0, 0, 7])),
            name=draw(texts),
            is_error=draw(st.booleans()),
            is_tool_call=draw(st.booleans()),
            call=draw(st.one_of(st.none(), calls)),
            dimensions=draw(st.sampled_from(said)),
            input=draw(texts),
            output=draw(texts),
            error=draw(texts),
            time_to_first_token=draw(st.one_of(st.none(), numbers)),
            tool=draw(texts),
        )
        window.add(span, window.turns.get(span.trace_id), draw(st.integers(0, 5)))
    window.settle()
    window.late_spans, window.duplicates, window.version = draw(numbers), draw(numbers), draw(numbers)
    window.gap, window.allowed_lateness = draw(numbers), draw(numbers)
    window.is_closed = draw(st.booleans())
    window.sealed = draw(st.sampled_from([CloseReason.NONE, CloseReason.NONE, CloseReason.MAX_SPANS]))
    window.ended_at = draw(st.one_of(st.none(), numbers))
    return window


@streams(100)
@given(windows(), texts, texts, st.integers(-1, 5))
def test_a_window_is_written_as_it_is_defined_and_read_back(
    window: Window, project: str, session_id: str, since: int
) -> None:
    key = SessionKey(project, session_id)
    written = publication.edition(key, window, since)
    assert written == publication.plain_edition(key, window, since)
    assert publication.rollup(key, window, since) == written.records(since)
    totals = publication.window_rollup(key, window)
    if totals.usage.prompt_tokens < 2**63:
        assert window_from_json(written.totals) == totals
    for turn, data in written.turns:
        assert turn.version > since
        assert turn_from_json(data, totals) == publication.turn_rollup(key, window, turn)


def edition_of(window: Window) -> publication.Edition:
    edition = publication.edition(_KEY, window, -1)
    assert edition == publication.plain_edition(_KEY, window, -1)
    assert publication.rollup(_KEY, window, -1) == edition.records(-1)
    return edition


def window_of(*said: Dimensions, **more: Any) -> Window:
    window = Window(bytes(8), (1, 1), T0, T0, is_late=False)
    for number, each in enumerate(said, 1):
        window.add(facts(1, number, T0, T0 + number, dimensions=each, **more), window.turns.get((1).to_bytes(16)), 1)
    window.settle()
    return window


def test_of_what_several_spans_of_a_turn_say_the_last_writer_of_a_key_is_kept() -> None:
    said = [
        Dimensions("b", "old", tags=("x", "a"), metadata=(("k", "1"), ("a", "1"))),
        Dimensions("a", "new", tags=("x",), metadata=(("k", "2"),)),
        Dimensions("b", "", tags=("",), session=(("z", "1"), ("y", "2"))),
    ]
    [(_, turn)] = edition_of(window_of(*said)).turns
    found = orjson.loads(turn)
    assert (found["user_ids"], found["environment"], found["tags"]) == (["a", "b"], "new", ["", "a", "x"])
    assert list(found["metadata"].items()) == [("a", "1"), ("k", "2")]
    assert list(found["session_attributes"]) == ["y", "z"]


@pytest.mark.parametrize("count", [1, MAX_FEW, MAX_FEW + 1, 300])
def test_a_turn_that_says_many_things_is_written_as_it_is_defined(count: int) -> None:
    said = [Dimensions(f"user {number}", metadata=((f"key {number}", "v" * 100),)) for number in range(count)]
    [(_, turn)] = edition_of(window_of(*said)).turns
    users = orjson.loads(turn)["user_ids"]
    assert users == sorted(users)
    assert 0 < len(users) <= count


def test_a_rollup_that_is_too_large_for_one_record_is_cut_as_it_is_defined() -> None:
    window = window_of()
    for trace in range(1, 200):
        window.add(facts(trace, 1, T0, T0, input="\x01" * 1024), None, 1)
    window.settle()
    records = edition_of(window).records(-1)
    assert len(records) > 1
    assert max(map(len, records)) <= MAX_RECORD_BYTES


def test_costs_over_64_bits_are_written_exactly() -> None:
    call = ModelCall("gpt", 1, 1, 2, total_cost=_DEAR - 1, prompt_cost=2**63, completion_cost=2**63 - 1)
    edition = edition_of(window_of(*[Dimensions()] * 9, call=call, parent=77))
    found = orjson.loads(edition.totals)
    assert found["total_cost"] == found["total_cost_by_model"]["gpt"] == "8999999999.999999999991"
    assert (found["prompt_cost"], found["completion_cost"]) == ("83010348.331692982272", "83010348.331692982263")


def test_a_lone_surrogate_is_refused_by_both() -> None:
    window = window_of(Dimensions(), input="\ud800")
    for write in (publication.edition, publication.plain_edition, publication.rollup):
        with pytest.raises(TypeError, match="surrogates not allowed"):
            write(_KEY, window, -1)
