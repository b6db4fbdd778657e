cdef class Names:
    cdef public long long limit, total
    cdef public dict sizes, values
    cdef public object cut
