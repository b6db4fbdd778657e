from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.turn_store cimport TurnStore
from services.sessionizer.engine.window cimport Window

cdef Window blank_window(bytes id_, tuple opened, long long opened_at, long long first_seen_at, bint is_late)
cdef Totals blank_totals()
cdef TurnStore blank_store(dict leaves, dict spilled)
cdef Turn blank_turn(bytes trace_id, long long start, long long end)
cdef Names blank_names(Py_ssize_t limit)
