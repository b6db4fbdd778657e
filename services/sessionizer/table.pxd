cimport cython

from services.sessionizer.engine.session cimport Session
from services.sessionizer.engine.window cimport Window
from services.sessionizer.timers cimport Timer, Wheel


@cython.no_gc  # bytes, and one that was there before: no cycle
cdef class Held(Timer):
    cdef public bytes name, id, head
    cdef public Held next


cdef class SessionTable:
    cdef public dict _windows, _records, _used, _kept
    cdef list _removed
    cdef public Wheel _wheel
    cdef public long long held, open, decoded

    cdef Held _find(self, bytes name, bytes id_)
    cdef Held _hold(self, bytes name, bytes id_)
    cdef _let_go(self, Held held)
    cdef _store_window(self, bytes name, Window window, long long deadline, list changes)
    cdef bytes _whole(self, Held held, Window window, long long deadline)
    cpdef file(self, Session session, Window window, long long deadline)
