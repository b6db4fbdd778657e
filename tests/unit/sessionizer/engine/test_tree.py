"""Which leaf a name belongs to, and how leaves divide."""

from services.sessionizer.engine.tree import MAX_DEPTH, ROOT, can_divide, leaf_of, side_of


def names(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_every_name_belongs_to_the_root_until_that_divides() -> None:
    assert {leaf_of(name, {ROOT}) for name in names(50)} == {ROOT}


def test_a_divided_leaf_gives_its_names_to_the_halves_that_side_of_says_and_no_other_leaf_changes() -> None:
    leaves = {ROOT}
    for divided in (1, 2, 3, 5, 10, 21):
        before = {name: leaf_of(name, leaves) for name in names(500)}
        leaves.remove(divided)
        leaves |= {2 * divided, 2 * divided + 1}
        is_second = side_of(divided)
        for name, leaf in before.items():
            assert leaf_of(name, leaves) == (2 * leaf + is_second(name) if leaf == divided else leaf)


def test_names_spread_evenly() -> None:
    counts = [0] * 8
    for name in names(8_000):
        counts[leaf_of(name, range(8, 16)) - 8] += 1
    assert max(counts) < 1_150
    assert min(counts) > 850


def test_a_leaf_that_fits_into_its_key_can_divide_and_a_deeper_one_cannot() -> None:
    assert can_divide((1 << MAX_DEPTH) - 1)
    assert not can_divide(1 << MAX_DEPTH)
    assert (2 << MAX_DEPTH).bit_length() <= 64
