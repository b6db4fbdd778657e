from services.sessionizer.engine.session cimport Session
from services.sessionizer.engine.window cimport Window
from services.sessionizer.held_windows cimport Held, HeldWindows


cdef class SessionTable:
    cdef public HeldWindows windows
    cdef public dict _records, _kept
    cdef list _removed, _waiting, _changes
    cdef Session _at_hand
    cdef public long long decoded

    cdef _store_window(self, bytes name, Window window, long long deadline)
    cdef bytes _whole(self, Held held, Window window, long long deadline)
    cpdef bint expire(self, Held held) except -1
