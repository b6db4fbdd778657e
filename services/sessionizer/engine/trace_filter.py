"""Which traces a sealed window may hold: known without its pages, which are many.

A copy of a span of a sealed window must be recognised, so every new trace of a session is looked
up in all of them. A window's filter is made once, when it is sealed: four bytes of hash a trace,
sorted, in parts of the size of a page. It never misses a trace, and one in four
billion divided by the traces is taken for another.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

_PART_TRACES = 4096
_HASH_BYTES = 4
_HASH_BITS = 32


def part_count(traces: int) -> int:
    """How many parts the filter of so many traces has: a power of two."""
    return 1 << max(0, (traces - 1) // _PART_TRACES).bit_length()


def trace_hash(trace_id: bytes) -> int:
    """Nobody can steer it: ids are chosen by those who send them."""
    return int.from_bytes(blake2b(trace_id, digest_size=_HASH_BYTES).digest(), "big")


def part_of(hash_: int, parts: int) -> int:
    return hash_ * parts >> _HASH_BITS


def build(trace_ids: Iterable[bytes], parts: int) -> list[bytes]:
    """The parts, in order."""
    divided: list[list[int]] = [[] for _ in range(parts)]
    for trace_id in trace_ids:
        hash_ = trace_hash(trace_id)
        divided[part_of(hash_, parts)].append(hash_)
    return [array("I", sorted(hashes)).tobytes() for hashes in divided]


def may_hold(part: bytes, hash_: int) -> bool:
    """Whether one of its traces has this hash."""
    hashes = memoryview(part).cast("I")
    at = bisect_left(hashes, hash_)
    return at < len(hashes) and hashes[at] == hash_
