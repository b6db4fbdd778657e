# cython: language_level=3
"""What both sides of the compiled codec of states know of format 4; `state_fields.py` is the definition."""

cdef enum:
    ROOT = 1
    NEVER = -1
    TRACE_BYTES = 16
    SPAN_BYTES = 8
    TWIN_BYTES = 18

cdef enum TurnFlag:  # which fields of a turn follow; the four from `TEXT` on are its texts
    SETTLED = 1
    UNSETTLED = 2
    HAS_ROOT = 4
    HAS_MODEL = 8
    HAS_FIRST_TOKEN = 16
    MANY = 32
    TEXT = 64

cdef enum Kind:  # of names: what their values are, and so how their sizes are counted
    PLAIN, ENTRY, TOOL, MODEL
