cdef class TurnStore:
    cdef public dict pages, leaves, spilled, _sets
    cdef public set changed_pages, _changed_sets, _dropped_pages, _dropped_sets
    cdef public object load_page, load_set, stored_page, stored_set, stored_filter
