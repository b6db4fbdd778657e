cdef class Said:
    cdef public list few
    cdef public object many  # Who
    cdef public long long weight
    cdef public object _last, _writer
