# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which page a name belongs to, found without Python's hash objects. The definition is `tree.leaf_of`.

In a large session it is asked twice for each span that comes in a record of its own.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from services.shared.otlp._blake2b cimport blake2b_8

from services.sessionizer.engine.tree import ROOT as _ROOT

cdef uint64_t ROOT = _ROOT


def leaf_of(bytes name not None, leaves not None):
    """The number of the leaf that a name belongs to."""
    cdef uint64_t number = ROOT, bits
    if number in leaves:
        return number
    bits = blake2b_8(<const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    while number not in leaves:
        number = 2 * number + (bits & 1)
        bits >>= 1
    return number
