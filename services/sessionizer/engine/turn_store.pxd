cdef class TurnStore:
    cdef public dict pages, leaves, spilled, sets
    cdef public set changed_pages, changed_sets, dropped_pages, dropped_sets
    cdef public object load_page, load_set, stored_page, stored_set, stored_filter
