"""Which page a name belongs to, when pages divide as they grow.

Pages are the leaves of a binary tree over the bits of a name's hash: page 1 is the root, page n
divides into 2n and 2n + 1. Knowing the numbers of the leaves is knowing everything.
"""

from collections.abc import Callable, Container
from hashlib import blake2b

ROOT = 1
MAX_DEPTH = 60
"""Pages this deep do not divide: their names agree in so many bits that more would not help."""


def leaf_of(name: bytes, leaves: Container[int]) -> int:
    """The number of the leaf that a name belongs to."""
    if ROOT in leaves:
        return ROOT
    number, bits = ROOT, _bits(name)
    while number not in leaves:
        number = 2 * number + (bits & 1)
        bits >>= 1
    return number


def can_divide(number: int) -> bool:
    return number >> MAX_DEPTH == 0


def side_of(number: int) -> Callable[[bytes], bool]:
    """Of a leaf that divides: whether a name goes to its second half."""
    depth = number.bit_length() - 1
    return lambda name: bool(_bits(name) >> depth & 1)


def _bits(name: bytes) -> int:
    """A hash that nobody can steer: ids are chosen by those who send them."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
