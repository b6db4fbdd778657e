from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn_store cimport TurnStore


cdef class Window:
    cdef public bytes id, ended_by
    cdef public long long opened_at, first_seen_at, start, end, version, changed_at, gap, allowed_lateness
    cdef public long long late_spans, duplicates, identities, emitted, emitted_at, shown
    cdef public bint is_late, is_closed, is_stored, is_owed
    cdef public tuple opened
    cdef public object ended_at, sealed
    cdef public Totals totals
    cdef public TurnStore turns
    cdef public dict touched
