# cython: language_level=3
"""The bytes of a `SpanSet`, searched and added to in place. Inline C, no module of its own; `spans.py` is the definition."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from services.shared.records._session_spans cimport COMPLETION, PROMPT, SPAN_ID_BYTES, Item
from services.shared.records._unpacked cimport Text

cdef enum:
    COUNT_BYTES = 5
    TWIN_BYTES = SPAN_ID_BYTES + 2 * COUNT_BYTES
    LENGTH_BYTES = 4
    HEAD_BYTES = TWIN_BYTES + LENGTH_BYTES


cdef inline int append(bytearray items, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Py_ssize_t at = PyByteArray_GET_SIZE(items)
    PyByteArray_Resize(items, at + size)
    memcpy(PyByteArray_AS_STRING(items) + at, data, size)
    return 0


cdef inline bint holds(bytearray items, const uint8_t* item, Py_ssize_t size) noexcept:
    """Whether it is one of items of this size that follow one another."""
    cdef const char* data = PyByteArray_AS_STRING(items)
    cdef Py_ssize_t at = 0, end = PyByteArray_GET_SIZE(items) - size
    cdef uint64_t first, other
    memcpy(&first, item, 8)
    while at <= end:
        memcpy(&other, data + at, 8)
        if first == other and memcmp(data + at, item, size) == 0:
            return True
        at += size
    return False


cdef inline void put_count(uint8_t* at, int64_t number) noexcept:
    cdef int place
    for place in range(COUNT_BYTES):
        at[place] = <uint8_t>(number >> (8 * (COUNT_BYTES - 1 - place)))


cdef inline void put_twin(uint8_t* at, const uint8_t* span_id, Item* item) noexcept:
    """`spans.twin_of`."""
    memcpy(at, span_id, SPAN_ID_BYTES)
    put_count(at + SPAN_ID_BYTES, item.amounts[PROMPT])
    put_count(at + SPAN_ID_BYTES + COUNT_BYTES, item.amounts[COMPLETION])


cdef inline int append_call(bytearray calls, const uint8_t* twin, Text* call) except -1:
    """`SpanSet.put_call`."""
    cdef Py_ssize_t at = PyByteArray_GET_SIZE(calls)
    cdef uint8_t* data
    cdef int place
    PyByteArray_Resize(calls, at + HEAD_BYTES + call.size)
    data = <uint8_t*>PyByteArray_AS_STRING(calls) + at
    memcpy(data, twin, TWIN_BYTES)
    for place in range(LENGTH_BYTES):
        data[TWIN_BYTES + place] = <uint8_t>(call.size >> (8 * place))
    memcpy(data + HEAD_BYTES, call.data, call.size)
    return 0


cdef inline bytes take_call(bytearray calls, const uint8_t* twin):
    """Take out the call of this name, packed; None where there is none."""
    cdef const uint8_t* data = <const uint8_t*>PyByteArray_AS_STRING(calls)
    cdef Py_ssize_t at = 0, size = PyByteArray_GET_SIZE(calls), length
    cdef int place
    cdef bytes call
    while size - at >= HEAD_BYTES:
        length = 0
        for place in range(LENGTH_BYTES):
            length |= <Py_ssize_t>data[at + TWIN_BYTES + place] << (8 * place)
        if length > size - at - HEAD_BYTES:
            return None  # not what `put_call` wrote
        if memcmp(data + at, twin, TWIN_BYTES) == 0:
            call = PyBytes_FromStringAndSize(<const char*>data + at + HEAD_BYTES, length)
            del calls[at : at + HEAD_BYTES + length]
            return call
        at += HEAD_BYTES + length
    return None
