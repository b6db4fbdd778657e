cdef class Now:
    cdef public long long version, watermark, max_identities, max_windows, record_time, position
    cdef public object policy


cdef class Effects:
    cdef public list absorbed, annotated, given_up
    cdef public long long opened, added, duplicates, late, ends_ignored, evicted


cdef class Session:
    cdef public object key
    cdef public bytes name
    cdef public list windows
    cdef public dict _sealed
    cdef public long long _version
