# cython: language_level=3
"""The size of a text in JSON, as `engine.names.json_size` counts it."""

from libc.stdint cimport uint8_t


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef inline Py_ssize_t json_size(object text) except -1:
    cdef Py_ssize_t size, at, found
    cdef const uint8_t* data = <const uint8_t*> PyUnicode_AsUTF8AndSize(text, &size)
    cdef uint8_t byte
    found = size + 2
    for at in range(size):
        byte = data[at]
        if byte < 0x20:
            # \b, \t, \n, \f and \r have forms of two characters.
            found += 1 if 8 <= byte <= 13 and byte != 11 else 5
        elif byte == 0x22 or byte == 0x5C:
            found += 1
    return found
