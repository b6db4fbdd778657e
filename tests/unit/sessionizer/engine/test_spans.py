"""Identities, and model calls that two instrumentations report."""

from itertools import permutations

import pytest

from services.sessionizer.engine.spans import SpanSet, twin_fields, twin_name, twin_of
from services.sessionizer.engine.window import Window
from services.shared.model.span import SpanFacts
from services.shared.otlp.numbers import MAX_COUNT
from tests.support.spans import T0, call, facts, span_id


def added(*spans: SpanFacts) -> Window:
    window = Window(b"windowid", (1, 1), T0, T0, is_late=False)
    for span in spans:
        window.add(span, window.turns.get(span.trace_id), 1)
    return window


def test_a_set_knows_the_ids_that_were_added_and_no_others_that_happen_to_be_in_its_bytes() -> None:
    spans = SpanSet()
    spans.add(bytes(range(8)))
    spans.add(bytes(range(8, 16)))
    assert spans.has(bytes(range(8)))
    assert spans.has(bytes(range(8, 16)))
    assert not spans.has(bytes(range(4, 12)))
    spans.add(bytes(range(4, 12)))
    assert spans.has(bytes(range(4, 12)))


outer = facts(1, 1, T0, T0, call=call("gpt", 10, 5))
inner = facts(1, 2, T0, T0, parent=1, call=call("gpt", 10, 5))
innermost = facts(1, 3, T0, T0, parent=2, call=call("gpt", 10, 5))
sibling = facts(1, 4, T0, T0, parent=1, call=call("gpt", 10, 5))
other_tokens = facts(1, 5, T0, T0, parent=1, call=call("gpt", 10, 6))
without_tokens = facts(1, 6, T0, T0, parent=1, call=call("gpt", 10, None))
elsewhere = facts(2, 2, T0, T0, parent=1, call=call("gpt", 10, 5))


@pytest.mark.parametrize(
    ("spans", "calls", "prompt"),
    [
        pytest.param((outer, inner), 1, 10, id="twins count once"),
        pytest.param((outer, inner, innermost), 1, 10, id="three nested twins count once"),
        pytest.param((outer, inner, sibling), 2, 20, id="siblings are no twins of each other"),
        pytest.param((outer, other_tokens), 2, 20, id="calls of other tokens are no twins"),
        pytest.param((outer, without_tokens), 2, 20, id="a call that does not say its tokens is no twin"),
        pytest.param((outer, elsewhere), 2, 20, id="calls of other turns are no twins"),
    ],
)
def test_model_calls_count_in_any_order_of_arrival(spans: tuple[SpanFacts, ...], calls: int, prompt: int) -> None:
    for order in permutations(spans):
        window = added(*order)
        assert (window.totals.usage.calls, window.totals.usage.prompt) == (calls, prompt)
        assert window.totals.amounts_by_model("prompt") == {"gpt": prompt}


def test_a_divided_set_knows_in_its_halves_what_it_knew() -> None:
    spans = SpanSet()
    for number in range(1, 101):
        spans.add(span_id(number))
        spans.add_call(twin_of(span_id(number), number, 1), call("gpt", number, 1))
        spans.add_child(twin_of(span_id(1000 + number), number, 1))
    first, second = halves = spans.divide(lambda name: name[-1] % 2 == 1)
    for number in range(1, 101):
        assert halves[number % 2].has(span_id(number))
        assert not halves[1 - number % 2].has(span_id(number))
        twin = twin_of(span_id(number), number, 1)
        assert twin in dict(halves[twin_name(twin)[-1] % 2].packed_calls())
    assert first.weight + second.weight == spans.weight
    assert {*first.twins_of_children(), *second.twins_of_children()} == set(spans.twins_of_children())


@pytest.mark.parametrize("tokens", [(0, 0), (1, 2**40 - 1), (MAX_COUNT, MAX_COUNT)])
def test_a_twin_is_told_by_span_and_tokens(tokens: tuple[int, int]) -> None:
    twin = twin_of(span_id(7), *tokens)
    assert twin_fields(twin) == (span_id(7), *tokens)
    assert twin_name(twin) == b"%b%d/%d" % (span_id(7), *tokens)
