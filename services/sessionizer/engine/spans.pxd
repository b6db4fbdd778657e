cdef class SpanSet:
    cdef public bytearray ids, calls, children
