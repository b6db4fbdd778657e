"""Names within a size: which are kept is a function of what was ever said, not of its order."""

from random import Random

import orjson
import pytest

from services.sessionizer.engine.names import Names, json_size


def kept(said: list[tuple[str, int]], limit: int) -> list[str]:
    """By definition: of each name its largest size; the smallest names in order, as far as the limit goes."""
    sizes: dict[str, int] = {}
    for name, size in said:
        sizes[name] = max(size, sizes.get(name, 0))
    names, total = [], 0
    for name in sorted(sizes):
        total += sizes[name]
        if total > limit:
            break
        names.append(name)
    return names


def names_of(said: list[tuple[str, int]], limit: int) -> Names:
    names = Names(limit)
    for name, size in said:
        assert names.admit(name, size) == (name in names)
    return names


@pytest.mark.parametrize(
    "text",
    ["", "plain", 'quote " and \\', "\x00\x1f\n\t\x7f", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\U0001f44b " * 9],
)
def test_the_size_of_a_text_is_that_of_its_json(text: str) -> None:
    assert json_size(text) == len(orjson.dumps(text))


def test_the_smallest_names_are_kept_whatever_the_order_of_arrival() -> None:
    random = Random(1)
    for _ in range(500):
        said = [(random.choice("abcdefghij"), random.randint(1, 9)) for _ in range(random.randint(1, 15))]
        limit = random.randint(9, 30)
        expected = kept(said, limit)
        for _ in range(5):
            random.shuffle(said)
            assert names_of(said, limit).sorted == expected


def test_names_of_merged_windows_are_those_of_one_window_that_saw_all() -> None:
    random = Random(2)
    for _ in range(500):
        said = [(random.choice("abcdefghij"), random.randint(1, 9)) for _ in range(random.randint(2, 20))]
        limit, split = random.randint(9, 30), random.randint(1, len(said) - 1)
        one, other = names_of(said[:split], limit), names_of(said[split:], limit)
        one.absorb(other)
        assert one.sorted == kept(said, limit)
        assert one.total == sum(one.sizes.values()) <= limit


def test_a_name_that_had_to_go_does_not_come_back_and_takes_its_value_along() -> None:
    names = Names(10)
    assert names.admit("b", 6)
    names.values["b"] = "value"
    assert names.admit("a", 6)
    assert (names.sorted, names.values, names.cut) == (["a"], {}, "b")
    assert not names.admit("b", 1)
    assert not names.admit("c", 1)
    assert names.sorted == ["a"]
