"""How the C library gives memory back, for processes that pass large records through it all day."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of <malloc.h>
_KEPT = 128 << 20
_LARGEST = 32 << 20  # glibc takes no more


def keep_memory() -> bool:
    """Keep what was freed for the next record, instead of giving each back to the system and asking again.

    By default glibc maps large blocks anew, for each thread in an arena of its own: over half of what fetching took
    was page faults. Call before threads start. False where the C library has no such switch (musl, macOS).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT))
    return all(mallopt(option, value) == 1 for option, value in options)
