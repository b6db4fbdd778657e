from services.sessionizer.wheel cimport Timer, Wheel


cdef class Held(Timer):
    cdef public bytes name, head
    cdef unsigned long long _number


cdef class HeldWindows:
    cdef dict _first, _others
    cdef readonly Wheel _wheel
    cdef public long long count, open

    cpdef list of(self, bytes name)
    cpdef Held find(self, bytes name, bytes id_)
    cpdef Held hold(self, bytes name, bytes id_)
    cdef Held _new(self, bytes name, bytes id_)
    cpdef let_go(self, Held held)
    cpdef restore(self, bytes name, bytes id_, bytes head)
    cpdef file(self, Held held, long long deadline)
