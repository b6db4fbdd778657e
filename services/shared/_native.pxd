# cython: language_level=3
"""Columns in ClickHouse's Native format, as bytes that grow: what compiled writers of rows share.

A value of a `String` column is its length as a varint and its bytes, one of a number is its bytes, little end first. A
column of `LowCardinality(String)` is a dictionary and the places of its values there (`Names`).
Nothing here knows of rows: who writes them sees to it that all columns have the same number of values.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset


cdef struct Buffer:
    uint8_t* data
    size_t size
    size_t room


cdef inline int reserve(Buffer* buffer, size_t more) except -1:
    """Room for so many more bytes."""
    cdef size_t room
    cdef uint8_t* data
    if buffer.room - buffer.size >= more:
        return 0
    room = buffer.room * 2
    if room < buffer.size + more:
        room = buffer.size + more
    if room < 256:
        room = 256
    data = <uint8_t*> realloc(buffer.data, room)
    if data == NULL:
        raise MemoryError
    buffer.data, buffer.room = data, room
    return 0


cdef inline void release(Buffer* buffer) noexcept:
    free(buffer.data)
    buffer.data = NULL
    buffer.size = buffer.room = 0


cdef inline int put_byte(Buffer* buffer, uint8_t byte) except -1:
    reserve(buffer, 1)
    buffer.data[buffer.size] = byte
    buffer.size += 1
    return 0


cdef inline int put_bytes(Buffer* buffer, const uint8_t* data, size_t size) except -1:
    reserve(buffer, size)
    if size:
        memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size
    return 0


cdef inline int put_size(Buffer* buffer, size_t value) except -1:
    """A varint."""
    reserve(buffer, 10)
    while value >= 0x80:
        buffer.data[buffer.size] = <uint8_t> (value | 0x80)
        buffer.size += 1
        value >>= 7
    buffer.data[buffer.size] = <uint8_t> value
    buffer.size += 1
    return 0


cdef inline int put_text(Buffer* buffer, const uint8_t* data, size_t size) except -1:
    """A value of a `String` column."""
    put_size(buffer, size)
    return put_bytes(buffer, data, size)


cdef inline int put_u32(Buffer* buffer, uint32_t value) except -1:
    return put_bytes(buffer, <const uint8_t*> &value, 4)


cdef inline int put_u64(Buffer* buffer, uint64_t value) except -1:
    return put_bytes(buffer, <const uint8_t*> &value, 8)


# Texts that repeat: the names of attributes, of spans, of services. Each is kept once, and knows its place in the
# dictionary of the block that is being written.

cdef struct Name:
    uint64_t hash
    uint8_t* text
    size_t size
    Buffer json  # what a writer keeps of it
    uint32_t block  # the block whose dictionary has it
    uint32_t place  # there
    uint32_t seen  # for whoever looks for repetitions
    int action  # for whoever does something about it
    int rank
    Name* other


cdef struct Names:
    Name** slots
    size_t room  # a power of two
    size_t count
    uint64_t seed  # of this process: nobody can choose names that fall together
    uint32_t block
    uint32_t places
    Buffer dictionary  # of this block


cdef enum:
    MOST_NAMES = 1 << 16  # kept from block to block


cdef extern from *:
    """
    #ifndef SPANLOOM_NATIVE_H
    #define SPANLOOM_NATIVE_H
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t native_mix(uint64_t a, uint64_t b) {
        a ^= b;
        a *= 0x9E3779B97F4A7C15ULL;
        return a ^ (a >> 29);
    }
    static inline uint64_t native_hash(const uint8_t *p, size_t n, uint64_t seed) {
        uint64_t h = native_mix(seed, n), w;
        for (; n >= 8; p += 8, n -= 8) { memcpy(&w, p, 8); h = native_mix(h, w); }
        w = 0;
        if (n) memcpy(&w, p, n);
        h = native_mix(h, w);
        return native_mix(h, seed);
    }
    #endif
    """
    uint64_t native_hash(const uint8_t* data, size_t size, uint64_t seed) noexcept nogil


cdef inline int open_names(Names* names, uint64_t seed) except -1:
    memset(names, 0, sizeof(Names))
    names.seed = seed
    names.block = 1
    return grow_names(names, 256)


cdef inline int grow_names(Names* names, size_t room) except -1:
    cdef Name** slots = <Name**> calloc(room, sizeof(Name*))
    cdef size_t each, slot
    if slots == NULL:
        raise MemoryError
    for each in range(names.room):
        if names.slots[each] != NULL:
            slot = names.slots[each].hash & (room - 1)
            while slots[slot] != NULL:
                slot = (slot + 1) & (room - 1)
            slots[slot] = names.slots[each]
    free(names.slots)
    names.slots, names.room = slots, room
    return 0


cdef inline void forget_names(Names* names) noexcept:
    """All of them; their pointers are void."""
    cdef size_t each
    for each in range(names.room):
        if names.slots[each] != NULL:
            release(&names.slots[each].json)
            free(names.slots[each].text)
            free(names.slots[each])
            names.slots[each] = NULL
    names.count = 0


cdef inline void close_names(Names* names) noexcept:
    forget_names(names)
    free(names.slots)
    names.slots = NULL
    names.room = 0
    release(&names.dictionary)


cdef inline int find_name(Names* names, const uint8_t* text, size_t size, Name** found) except -1:
    """1: it is a new one."""
    cdef uint64_t code = native_hash(text, size, names.seed)
    cdef size_t slot = code & (names.room - 1)
    cdef Name* name = names.slots[slot]
    while name != NULL:
        if name.hash == code and name.size == size and memcmp(name.text, text, size) == 0:
            found[0] = name
            return 0
        slot = (slot + 1) & (names.room - 1)
        name = names.slots[slot]
    if 2 * names.count >= names.room:
        grow_names(names, 2 * names.room)
        slot = code & (names.room - 1)
        while names.slots[slot] != NULL:
            slot = (slot + 1) & (names.room - 1)
    name = <Name*> calloc(1, sizeof(Name))
    if name == NULL:
        raise MemoryError
    name.text = <uint8_t*> malloc(size + 1)
    if name.text == NULL:
        free(name)
        raise MemoryError
    memcpy(name.text, text, size)
    name.hash, name.size = code, size
    names.slots[slot] = found[0] = name
    names.count += 1
    return 1


cdef inline int put_name(Buffer* column, Names* names, Name* name) except -1:
    """A value of a `LowCardinality(String)` column: its place in the dictionary."""
    if name.block != names.block:
        put_text(&names.dictionary, name.text, name.size)
        name.block, name.place = names.block, names.places
        names.places += 1
    return put_u32(column, name.place)


cdef inline int put_named(Buffer* column, Names* names, const uint8_t* text, size_t size) except -1:
    """The same from the text."""
    cdef Name* name
    find_name(names, text, size, &name)
    return put_name(column, names, name)


cdef inline void next_block(Names* names) noexcept:
    """Begin a new dictionary. Where there are too many names all are forgotten."""
    names.block += 1
    names.places = 0
    names.dictionary.size = 0
    if names.count > MOST_NAMES:
        forget_names(names)


cdef inline int put_places(Buffer* out, Buffer* places, Names* names) except -1:
    """The data of a `LowCardinality(String)` column (its prefix, a 1 of 64 bits, comes first)."""
    cdef size_t count = places.size // 4, each
    cdef const uint32_t* wide = <const uint32_t*> places.data
    if not count:
        return 0
    # A dictionary follows, all of it in the block; the last bits are the width of the places.
    put_u64(out, (1 << 9) | (1 << 10) | (0 if names.places <= 256 else 1 if names.places <= 65536 else 2))
    put_u64(out, names.places)
    put_bytes(out, names.dictionary.data, names.dictionary.size)
    put_u64(out, count)
    reserve(out, 4 * count)
    if names.places <= 256:
        for each in range(count):
            out.data[out.size + each] = <uint8_t> wide[each]
        out.size += count
    elif names.places <= 65536:
        for each in range(count):
            out.data[out.size + 2 * each] = <uint8_t> wide[each]
            out.data[out.size + 2 * each + 1] = <uint8_t> (wide[each] >> 8)
        out.size += 2 * count
    else:
        put_bytes(out, places.data, places.size)
    return 0


cdef inline int put_column_name(Buffer* out, bytes name, bytes type) except -1:
    put_text(out, name, len(name))
    return put_text(out, type, len(type))
