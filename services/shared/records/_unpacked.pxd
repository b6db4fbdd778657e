# cython: language_level=3
"""msgpack read from bytes, without objects. Inline C, no module of its own; `_packed.pxd` is the other way.

Each `read_*` takes one value from the reader and says whether it is of that kind; if not, whoever reads gives up.
Nothing is read beyond `end`, whatever the bytes are.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    MAX_DEPTH = 32


cdef struct Reader:
    const uint8_t* at
    const uint8_t* end


cdef struct Text:
    const uint8_t* data
    size_t size


cdef inline bint _read_number(Reader* reader, int size, uint64_t* number) noexcept nogil:
    """Behind a head: big-endian."""
    cdef int place
    cdef uint64_t found = 0
    if reader.end - reader.at < size:
        return False
    for place in range(size):
        found = found << 8 | reader.at[place]
    reader.at += size
    number[0] = found
    return True


cdef inline bint _read_run(Reader* reader, size_t size, Text* text) noexcept nogil:
    if <size_t>(reader.end - reader.at) < size:
        return False
    text.data = reader.at
    text.size = size
    reader.at += size
    return True


cdef inline bint is_next(Reader* reader, uint8_t head) noexcept nogil:
    return reader.at < reader.end and reader.at[0] == head


cdef inline bint read_none(Reader* reader) noexcept nogil:
    if not is_next(reader, 0xC0):
        return False
    reader.at += 1
    return True


cdef inline bint read_int(Reader* reader, int64_t* number) noexcept nogil:
    """An integer that fits 64 bits with its sign."""
    cdef uint8_t head
    cdef uint64_t found = 0
    if reader.at >= reader.end:
        return False
    head = reader.at[0]
    if head < 0x80 or head >= 0xE0:
        reader.at += 1
        number[0] = <int8_t>head
        return True
    if not 0xCC <= head <= 0xD3:
        return False
    reader.at += 1
    if not _read_number(reader, 1 << (head & 3), &found):
        return False
    if head == 0xCF and found >> 63:
        return False
    if head == 0xD0:
        number[0] = <int8_t>found
    elif head == 0xD1:
        number[0] = <int16_t>found
    elif head == 0xD2:
        number[0] = <int32_t>found
    else:
        number[0] = <int64_t>found
    return True


cdef inline bint read_array(Reader* reader, size_t* count) noexcept nogil:
    """The head of an array. There is a byte at least for each of its values, so `count` is no larger than the rest."""
    cdef uint8_t head
    cdef uint64_t found = 0
    if reader.at >= reader.end:
        return False
    head = reader.at[0]
    if head & 0xF0 == 0x90:
        reader.at += 1
        found = head & 0x0F
    elif head == 0xDC or head == 0xDD:
        reader.at += 1
        if not _read_number(reader, 2 if head == 0xDC else 4, &found):
            return False
    else:
        return False
    count[0] = found
    return found <= <uint64_t>(reader.end - reader.at)


cdef inline bint read_text(Reader* reader, Text* text) noexcept nogil:
    """A string; whether it is UTF-8 is not looked at."""
    cdef uint8_t head
    cdef uint64_t size = 0
    if reader.at >= reader.end:
        return False
    head = reader.at[0]
    if head & 0xE0 == 0xA0:
        reader.at += 1
        size = head & 0x1F
    elif 0xD9 <= head <= 0xDB:
        reader.at += 1
        if not _read_number(reader, 1 << (head - 0xD9), &size):
            return False
    else:
        return False
    return _read_run(reader, size, text)


cdef inline bint read_bytes(Reader* reader, Text* data) noexcept nogil:
    cdef uint8_t head
    cdef uint64_t size = 0
    if reader.at >= reader.end:
        return False
    head = reader.at[0]
    if not 0xC4 <= head <= 0xC6:
        return False
    reader.at += 1
    return _read_number(reader, 1 << (head - 0xC4), &size) and _read_run(reader, size, data)


cdef inline bint skip(Reader* reader, int depth) noexcept nogil:
    """One value of any kind that is not nested deeper than `depth`."""
    cdef uint8_t head
    cdef uint64_t size = 0, each
    cdef size_t count = 0
    cdef int64_t number = 0
    cdef Text run
    if reader.at >= reader.end:
        return False
    head = reader.at[0]
    if head & 0xF0 == 0x90 or head == 0xDC or head == 0xDD:
        if depth == 0 or not read_array(reader, &count):
            return False
        for each in range(count):
            if not skip(reader, depth - 1):
                return False
        return True
    if 0xC4 <= head <= 0xC6:
        return read_bytes(reader, &run)
    if head & 0xE0 == 0xA0 or 0xD9 <= head <= 0xDB:
        return read_text(reader, &run)
    if head == 0xCF:
        reader.at += 1
        return _read_number(reader, 8, &size)
    if head < 0x80 or head >= 0xE0 or 0xCC <= head <= 0xD3:
        return read_int(reader, &number)
    reader.at += 1
    if head == 0xC0 or head == 0xC2 or head == 0xC3:
        return True
    if head == 0xCA or head == 0xCB:
        return _read_number(reader, 4 if head == 0xCA else 8, &size)
    if 0xC7 <= head <= 0xC9:  # an extension type: its size, its code, its bytes
        return _read_number(reader, 1 << (head - 0xC7), &size) and _read_run(reader, size + 1, &run)
    if 0xD4 <= head <= 0xD8:
        return _read_run(reader, (1 << (head - 0xD4)) + 1, &run)
    if head & 0xF0 == 0x80:
        size = head & 0x0F
    elif head == 0xDE or head == 0xDF:
        if not _read_number(reader, 2 if head == 0xDE else 4, &size):
            return False
    else:
        return False
    if depth == 0:
        return False
    for each in range(2 * size):
        if not skip(reader, depth - 1):
            return False
    return True


cdef inline bint is_ascii(Text* text) noexcept nogil:
    cdef const uint8_t* at = text.data
    cdef const uint8_t* end = at + text.size
    cdef uint64_t found = 0, word
    while end - at >= 8:
        memcpy(&word, at, 8)
        found |= word
        at += 8
    while at < end:
        found |= at[0]
        at += 1
    return (found & <uint64_t>0x8080808080808080ULL) == 0
