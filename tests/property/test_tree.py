"""A name's page is the same, whoever looks for it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import COMPILED
from services.sessionizer.engine.tree import MAX_DEPTH, ROOT, can_divide, leaf_of, side_of

with suppress(ImportError):
    from services.sessionizer.engine._tree import leaf_of as compiled_leaf_of


@st.composite
def trees(draw: st.DrawFn) -> dict[int, int]:
    """Leaves after some divisions, each of the page of a name."""
    leaves = {ROOT: -1}
    for name in draw(st.lists(st.binary(max_size=300), max_size=20)):
        for _ in range(draw(st.sampled_from((1, 1, 1, MAX_DEPTH)))):
            number = leaf_of(name, leaves)
            if can_divide(number):
                del leaves[number]
                leaves |= {2 * number: -1, 2 * number + 1: -1}
    return leaves


@pytest.mark.skipif(COMPILED == "off", reason="the definition alone is in use")
@given(trees(), st.binary(max_size=300) | st.binary(min_size=16, max_size=16))
def test_the_compiled_search_finds_the_leaf_of_the_definition(leaves: dict[int, int], name: bytes) -> None:
    assert compiled_leaf_of(name, leaves) == leaf_of(name, leaves)
    assert compiled_leaf_of(name, set(leaves)) == leaf_of(name, leaves)


@given(trees(), st.binary(max_size=40))
def test_a_name_stays_on_its_side_when_its_page_divides(leaves: dict[int, int], name: bytes) -> None:
    number = leaf_of(name, leaves)
    if can_divide(number):
        divided = {each: -1 for each in leaves if each != number} | {2 * number: -1, 2 * number + 1: -1}
        assert leaf_of(name, divided) == 2 * number + side_of(number)(name)
