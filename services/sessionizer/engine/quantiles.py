"""Quantiles from log-scaled buckets that can be added up.

A duration falls into bucket `32 * e + m`, where m is its leading six bits (32 to 63; durations
below 64 are exact, e = 0) and e how many bits follow them. A bucket is 1/32 of its lower bound
wide, so its middle is within 1.6 % of everything in it. Only integers are used: every machine
and SQL (`bitShiftRight`) compute the same.
"""

from collections.abc import Mapping

_LEADING_BITS = 6
_STEPS = 32


def bucket(duration: int) -> int:
    """The bucket of a duration (ns, not negative)."""
    shift = max(duration.bit_length() - _LEADING_BITS, 0)
    return _STEPS * shift + (duration >> shift)


def middle(index: int) -> int:
    """The duration that stands for a bucket."""
    if index < 2 * _STEPS:
        return index
    shift = index // _STEPS - 1
    return ((index - _STEPS * shift) << shift) + (1 << shift >> 1)


def quantile(counts: Mapping[int, int], percent: int) -> int:
    """The smallest bucket's middle below or at which `percent` of all durations lie; 0 when there are none."""
    rank = -(-sum(counts.values()) * percent // 100)
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            return middle(index)
    return 0
