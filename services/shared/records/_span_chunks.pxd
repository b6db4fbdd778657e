# cython: language_level=3
"""What other accelerators write into chunks: see `_span_chunks.pyx`."""

from libc.stdint cimport int64_t, uint8_t

from services.shared.records._packed cimport Buffer


cdef class Total:
    cdef public size_t bytes


cdef class ItemChunks:
    cdef readonly size_t size
    cdef Total total
    cdef Buffer table
    cdef Buffer groups
    cdef list records
    cdef dict places
    cdef size_t written
    cdef size_t group_count
    cdef size_t group_begin
    cdef size_t items_begin
    cdef size_t item_begin
    cdef size_t item_count

    cdef Py_ssize_t place_of(self, bytes dimensions) except -1
    cdef int begin_item(self, size_t most) except -1
    cdef bint end_item(self) except -1
    cdef int put_items_head(self) except -1
    cdef int _begin(self, uint8_t fields, const uint8_t* names, size_t size, int64_t record_time) except -1
    cdef bint _add_item(self, object item) except -1
    cdef int _finish(self, bytes record) except -1
    cdef list _take(self)
    cdef bint is_full(self) noexcept


cdef class SpanChunks(ItemChunks):
    cdef int begin_group(self, const uint8_t* names, size_t size, int64_t record_time) except -1
    cdef int end_group(self) except -1
    cdef int cut(self) except -1


cdef class TraceChunks(ItemChunks):
    cdef Buffer bindings
    cdef size_t binding_count
    cdef size_t trace_count
    cdef size_t traces_begin
    cdef list previous

    cdef int begin_binding(self, const uint8_t* names, size_t size, int64_t record_time) except -1
    cdef bint add_trace(self, const uint8_t* trace_id) except -1
    cdef int end_binding(self) except -1
    cdef int begin_waiting(self, const uint8_t* project, size_t size, int64_t record_time) except -1
    cdef int add_previous(self, str previous_id) except -1
    cdef int end_waiting(self) except -1
    cdef int cut(self) except -1
