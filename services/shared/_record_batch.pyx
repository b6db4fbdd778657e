# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bodies of record batches, written in one go. The definition is `record_batch._body`.

Declines (None) where a record has headers, and where records are no list of tuples of bytes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from libc.string cimport memcpy


def body(records, Py_ssize_t start, Py_ssize_t room):
    """Records from `start` on as the body of a batch, and how many: as many as fit into the room, at least one."""
    if not PyList_CheckExact(records):
        return None
    cdef Py_ssize_t end = PyList_GET_SIZE(records), number, size, total = 0, count = 0
    for number in range(start, end):
        size = _content_size(number - start, <object>PyList_GET_ITEM(records, number))
        if size < 0:
            return None
        size += _varint_size(size)
        if count and total + size > room:
            break
        total += size
        count += 1
    result = PyBytes_FromStringAndSize(NULL, total)
    cdef unsigned char* to = <unsigned char*>PyBytes_AS_STRING(result)
    for number in range(count):
        to = _write(to, number, <object>PyList_GET_ITEM(records, start + number))
    assert to == <unsigned char*>PyBytes_AS_STRING(result) + total
    return result, count


cdef Py_ssize_t _content_size(Py_ssize_t number, object record) except -2:
    """Without the length in front; -1: leave it to the definition."""
    if not PyTuple_Check(record):
        return -1
    cdef Py_ssize_t fields = PyTuple_GET_SIZE(record)
    if fields < 2 or fields > 3 or (fields == 3 and len(<object>PyTuple_GET_ITEM(record, 2))):
        return -1
    cdef Py_ssize_t key = _sized_size(<object>PyTuple_GET_ITEM(record, 0))
    cdef Py_ssize_t value = _sized_size(<object>PyTuple_GET_ITEM(record, 1))
    if key < 0 or value < 0:
        return -1
    return 3 + _varint_size(number) + key + value  # attributes, difference of time; number of headers


cdef inline Py_ssize_t _sized_size(object data) noexcept:
    cdef Py_ssize_t size
    if data is None:
        return 1
    if not PyBytes_CheckExact(data):
        return -1
    size = PyBytes_GET_SIZE(data)
    return _varint_size(size) + size


cdef inline unsigned char* _write(unsigned char* to, Py_ssize_t number, object record) noexcept:
    to = _write_varint(to, _content_size(number, record))
    to[0] = to[1] = 0
    to = _write_varint(to + 2, number)
    to = _write_sized(to, <object>PyTuple_GET_ITEM(record, 0))
    to = _write_sized(to, <object>PyTuple_GET_ITEM(record, 1))
    to[0] = 0
    return to + 1


cdef inline unsigned char* _write_sized(unsigned char* to, object data) noexcept:
    cdef Py_ssize_t size
    if data is None:
        to[0] = 1
        return to + 1
    size = PyBytes_GET_SIZE(data)
    to = _write_varint(to, size)
    memcpy(to, PyBytes_AS_STRING(data), size)
    return to + size


cdef inline Py_ssize_t _varint_size(size_t number) noexcept:
    cdef Py_ssize_t size = 1
    number <<= 1
    while number > 0x7F:
        number >>= 7
        size += 1
    return size


cdef inline unsigned char* _write_varint(unsigned char* to, size_t number) noexcept:
    """Of numbers that are not negative, which zigzag doubles."""
    number <<= 1
    while number > 0x7F:
        to[0] = <unsigned char>(number & 0x7F | 0x80)
        number >>= 7
        to += 1
    to[0] = <unsigned char>number
    return to + 1
