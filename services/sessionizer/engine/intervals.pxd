cdef class Intervals:
    cdef public object bounds  # array("q")
    cdef public object _gaps
