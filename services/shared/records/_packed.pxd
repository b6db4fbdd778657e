# cython: language_level=3
"""msgpack written into a growing buffer, byte for byte as `packed.pack` writes it. Inline C, no module of its own.

    reserve(&buffer, most)                  # room for all that follows, or MemoryError
    at = buffer.data + buffer.size
    at = put_text(put_array(at, 2), text, size)
    at = put_int(at, -5)
    buffer.size = at - buffer.data

What is written takes at most: `HEAD_BYTES` for a number or the head of an array, a map, a text or bytes.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

cdef enum:
    HEAD_BYTES = 9


cdef struct Buffer:
    uint8_t* data
    size_t size
    size_t room


cdef inline int reserve(Buffer* buffer, size_t more) except -1:
    """Room for `more` bytes behind what the buffer holds."""
    cdef uint8_t* data
    cdef size_t room
    if buffer.room - buffer.size < more:
        room = 2 * buffer.room + more
        data = <uint8_t*>realloc(buffer.data, room)
        if data is NULL:
            raise MemoryError
        buffer.data = data
        buffer.room = room
    return 0


cdef inline int append(Buffer* buffer, const uint8_t* data, size_t size) except -1:
    reserve(buffer, size)
    if size:
        memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size
    return 0


cdef inline uint8_t* _put_big_endian(uint8_t* at, uint8_t head, uint64_t number, int size) noexcept nogil:
    cdef int place
    at[0] = head
    for place in range(size):
        at[size - place] = <uint8_t>(number >> (8 * place))
    return at + 1 + size


cdef inline uint8_t* put_int(uint8_t* at, int64_t number) noexcept nogil:
    if number >= 0:
        if number < 128:
            at[0] = <uint8_t>number
            return at + 1
        if number < 256:
            return _put_big_endian(at, 0xCC, number, 1)
        if number < 65536:
            return _put_big_endian(at, 0xCD, number, 2)
        if not number >> 32:
            return _put_big_endian(at, 0xCE, number, 4)
        return _put_big_endian(at, 0xCF, number, 8)
    if number >= -32:
        at[0] = <uint8_t>number
        return at + 1
    if number >= -128:
        return _put_big_endian(at, 0xD0, <uint64_t>number, 1)
    if number >= -32768:
        return _put_big_endian(at, 0xD1, <uint64_t>number, 2)
    if number >> 31 == -1:
        return _put_big_endian(at, 0xD2, <uint64_t>number, 4)
    return _put_big_endian(at, 0xD3, <uint64_t>number, 8)


cdef inline uint8_t* put_none(uint8_t* at) noexcept nogil:
    at[0] = 0xC0
    return at + 1


cdef inline uint8_t* put_array(uint8_t* at, size_t count) noexcept nogil:
    """The head of an array."""
    if count < 16:
        at[0] = <uint8_t>(0x90 | count)
        return at + 1
    if count < 65536:
        return _put_big_endian(at, 0xDC, count, 2)
    return _put_big_endian(at, 0xDD, count, 4)


cdef inline uint8_t* put_map(uint8_t* at, size_t count) noexcept nogil:
    """The head of a map."""
    if count < 16:
        at[0] = <uint8_t>(0x80 | count)
        return at + 1
    if count < 65536:
        return _put_big_endian(at, 0xDE, count, 2)
    return _put_big_endian(at, 0xDF, count, 4)


cdef inline uint8_t* put_text(uint8_t* at, const uint8_t* text, size_t size) noexcept nogil:
    """UTF-8."""
    if size < 32:
        at[0] = <uint8_t>(0xA0 | size)
        at += 1
    elif size < 256:
        at = _put_big_endian(at, 0xD9, size, 1)
    elif size < 65536:
        at = _put_big_endian(at, 0xDA, size, 2)
    else:
        at = _put_big_endian(at, 0xDB, size, 4)
    if size:
        memcpy(at, text, size)
    return at + size


cdef inline uint8_t* put_bytes_head(uint8_t* at, size_t size) noexcept nogil:
    """Before `size` bytes."""
    if size < 256:
        return _put_big_endian(at, 0xC4, size, 1)
    if size < 65536:
        return _put_big_endian(at, 0xC5, size, 2)
    return _put_big_endian(at, 0xC6, size, 4)


cdef inline uint8_t* put_bytes(uint8_t* at, const uint8_t* data, size_t size) noexcept nogil:
    at = put_bytes_head(at, size)
    if size:
        memcpy(at, data, size)
    return at + size


cdef inline uint8_t* put_raw(uint8_t* at, const uint8_t* data, size_t size) noexcept nogil:
    """What is packed already."""
    if size:
        memcpy(at, data, size)
    return at + size
