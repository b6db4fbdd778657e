cdef long long NOWHERE, _SECOND


cdef class Timer:
    cdef public long long filed


cdef class Wheel:
    cdef dict _buckets, _least, _passed
    cdef list _order, _at_hand
    cdef long long _filed, _number
    cdef object _time

    cpdef file(self, long long deadline, Timer timer)
    cpdef discard(self, Timer timer)
    cdef bint _open_bucket(self, time) except -1
    cdef _put(self, long long deadline, Timer timer)
