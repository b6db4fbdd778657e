cdef class Names:
    cdef public long long limit, total
    cdef public dict _sizes, _values
    cdef public object cut
