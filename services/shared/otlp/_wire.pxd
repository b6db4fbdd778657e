# cython: language_level=3
"""OTLP on the wire, walked without objects: for accelerators that cimport it. Inline C, no module of its own.

The protobuf library is the judge of what decodes. These functions accept only what it accepts for
certain, in the form in which encoders write it, and refuse everything else, odd but valid bytes
included: whoever calls them leaves such a record to the library and to the Python that reads its
messages (`decode.py`, `facts.py`, `rows.py`). What they refuse although it may be valid: fields and
wire types they do not know, groups, numbers longer than they need be, a message field that is there twice (the
library merges those), two values in one `AnyValue`, values deeper than `MAX_DEPTH`, indices of a string table.

Every function gets the end of what it may read and reads no further. `WIRE_REFUSED` (-1) is returned, nothing raises.
Slices point into the caller's bytes and live as long as these.

    while at < end:
        tag = at[0]
        at += 1
        if tag != 0x12 or read_slice(&at, end, &raw) < 0: refused
        if read_span(raw, &fields, &attributes, &events, &links) < 0: refused
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc


cdef extern from *:
    """
    #ifndef SPANLOOM_WIRE_H
    #define SPANLOOM_WIRE_H
    #include <stdint.h>
    #include <string.h>

    /* Whether bytes are UTF-8 as RFC 3629 has it: no surrogates, nothing overlong, nothing above U+10FFFF.
       Ordinary text is mostly ASCII, which is passed over 32 bytes at a time. */
    static inline int wire_is_utf8(const uint8_t *p, size_t n) {
        const uint8_t *end = p + n;
        for (;;) {
            while (end - p >= 32) {
                uint64_t w[4];
                memcpy(w, p, 32);
                if ((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080ULL) break;
                p += 32;
            }
            while (end - p >= 8) {
                uint64_t w;
                memcpy(&w, p, 8);
                if (w & 0x8080808080808080ULL) break;
                p += 8;
            }
            while (p < end && *p < 0x80) p++;
            if (p == end) return 1;
            do {  /* letters beyond ASCII come in runs */
                uint8_t c = *p;
                size_t left = (size_t)(end - p);
                if (c < 0xC2) return 0;
                if (c < 0xE0) {
                    if (left < 2 || (p[1] & 0xC0) != 0x80) return 0;
                    p += 2;
                } else if (c < 0xF0) {
                    if (left < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) return 0;
                    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return 0;
                    p += 3;
                } else {
                    if (c > 0xF4 || left < 4) return 0;
                    if ((p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80) return 0;
                    if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return 0;
                    p += 4;
                }
            } while (p < end && *p >= 0x80);
        }
    }

    /* Bytes of the first `most` code points of UTF-8 text of `n` bytes. */
    static inline size_t wire_cut(const uint8_t *p, size_t n, size_t most) {
        size_t at = 0, points = 0;
        if (n <= most) return n;
        while (points + 8 <= most && n - at >= 8) {
            uint64_t w;
            memcpy(&w, p + at, 8);
            w = (w >> 7) & (~w >> 6) & 0x0101010101010101ULL;  /* bytes that go on */
            points += 8 - (size_t)((w * 0x0101010101010101ULL) >> 56);
            at += 8;
        }
        for (; at < n; at++)
            if ((p[at] & 0xC0) != 0x80 && ++points > most) return at;
        return n;
    }

    /* A fixed64 or a double, as it is on the wire: little endian on every machine. */
    static inline uint64_t wire_fixed64(const uint8_t *p) {
        uint64_t v = 0;
        int i;
        for (i = 7; i >= 0; i--) v = v << 8 | p[i];
        return v;
    }
    #endif
    """
    int wire_is_utf8(const uint8_t* data, size_t size) noexcept nogil
    size_t wire_cut(const uint8_t* data, size_t size, size_t most) noexcept nogil
    uint64_t wire_fixed64(const uint8_t* data) noexcept nogil


cdef enum:
    WIRE_REFUSED = -1
    MAX_DEPTH = 16

    # Of an `AnyValue`: the number of the field that holds the value.
    NO_VALUE = 0
    STRING_VALUE = 1
    BOOL_VALUE = 2
    INT_VALUE = 3
    DOUBLE_VALUE = 4
    ARRAY_VALUE = 5
    KVLIST_VALUE = 6
    BYTES_VALUE = 7


cdef struct Slice:
    const uint8_t* data
    size_t size


cdef struct Value:
    Slice raw  # the whole `AnyValue`
    int type  # NO_VALUE ... BYTES_VALUE
    Slice content  # of a string, bytes, an array, a list of pairs
    uint64_t bits  # of a boolean, an integer (two's complement), a double


cdef struct Attribute:
    Slice key
    Value value
    Slice field  # tag, length and content: as a field 9 of a span


cdef struct Attributes:
    Attribute* items
    size_t count
    size_t room


cdef struct Slices:
    Slice* items
    size_t count
    size_t room


cdef struct SpanFields:
    Slice trace_id
    Slice span_id
    Slice parent_id
    Slice trace_state
    Slice name
    Slice status_message
    uint64_t start
    uint64_t end
    int32_t kind
    int32_t status_code
    uint32_t flags
    uint32_t dropped_attributes
    uint32_t dropped_events
    uint32_t dropped_links
    bint has_status


cdef inline int read_number(const uint8_t** at, const uint8_t* end, uint64_t* number) noexcept nogil:
    """A number of variable length, no longer than it need be. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = at[0]
    cdef uint64_t found = 0
    cdef int shift = 0
    cdef uint8_t byte
    while p < end:
        byte = p[0]
        p += 1
        found |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or (shift == 63 and byte > 1):
                return WIRE_REFUSED
            number[0] = found
            at[0] = p
            return 0
        shift += 7
        if shift > 63:
            return WIRE_REFUSED
    return WIRE_REFUSED


cdef inline int read_slice(const uint8_t** at, const uint8_t* end, Slice* slice) noexcept nogil:
    """What comes after the tag of a string, bytes or a message. 0, or `WIRE_REFUSED`."""
    cdef uint64_t size
    if at[0] < end and at[0][0] < 0x80:
        size = at[0][0]
        at[0] += 1
    elif read_number(at, end, &size) < 0:
        return WIRE_REFUSED
    if size > <uint64_t>(end - at[0]):
        return WIRE_REFUSED
    slice.data = at[0]
    slice.size = <size_t>size
    at[0] += size
    return 0


cdef inline int read_text(const uint8_t** at, const uint8_t* end, Slice* text) noexcept nogil:
    """What comes after the tag of a string: UTF-8. 0, or `WIRE_REFUSED`."""
    if read_slice(at, end, text) < 0 or not wire_is_utf8(text.data, text.size):
        return WIRE_REFUSED
    return 0


cdef inline int read_fixed64(const uint8_t** at, const uint8_t* end, uint64_t* number) noexcept nogil:
    """What comes after the tag of a fixed64 or a double. 0, or `WIRE_REFUSED`."""
    if end - at[0] < 8:
        return WIRE_REFUSED
    number[0] = wire_fixed64(at[0])
    at[0] += 8
    return 0


cdef inline int read_value(Slice raw, Value* value, int depth) noexcept nogil:
    """One `AnyValue`, checked to its depths. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = raw.data
    cdef const uint8_t* end = raw.data + raw.size
    cdef uint8_t tag
    value.raw = raw
    value.type = NO_VALUE
    value.content.data = p
    value.content.size = 0
    value.bits = 0
    if p == end:
        return 0
    tag = p[0]
    p += 1
    value.type = tag >> 3
    if tag == 0x0A:
        if read_text(&p, end, &value.content) < 0:
            return WIRE_REFUSED
    elif tag == 0x10 or tag == 0x18:
        if read_number(&p, end, &value.bits) < 0:
            return WIRE_REFUSED
    elif tag == 0x21:
        if read_fixed64(&p, end, &value.bits) < 0:
            return WIRE_REFUSED
    elif tag == 0x2A:
        if read_slice(&p, end, &value.content) < 0 or check_array(value.content, depth) < 0:
            return WIRE_REFUSED
    elif tag == 0x32:
        if read_slice(&p, end, &value.content) < 0 or check_pairs(value.content, 0x0A, depth) < 0:
            return WIRE_REFUSED
    elif tag == 0x3A:
        if read_slice(&p, end, &value.content) < 0:
            return WIRE_REFUSED
    else:
        return WIRE_REFUSED
    return 0 if p == end else WIRE_REFUSED


cdef inline int read_pair(Slice pair, Slice* key, Value* value, int depth) noexcept nogil:
    """One `KeyValue`: its key, then its value; either may be missing. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = pair.data
    cdef const uint8_t* end = pair.data + pair.size
    cdef Slice raw
    key.data = raw.data = p
    key.size = raw.size = 0
    if p < end and p[0] == 0x0A:
        p += 1
        if read_text(&p, end, key) < 0:
            return WIRE_REFUSED
    if p < end and p[0] == 0x12:
        p += 1
        if read_slice(&p, end, &raw) < 0:
            return WIRE_REFUSED
    if p != end:
        return WIRE_REFUSED
    return read_value(raw, value, depth)


cdef inline int check_array(Slice array, int depth) noexcept nogil:
    """The values of an `ArrayValue`. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = array.data
    cdef const uint8_t* end = array.data + array.size
    cdef Slice raw
    cdef Value value
    if depth >= MAX_DEPTH:
        return WIRE_REFUSED
    while p < end:
        if p[0] != 0x0A:
            return WIRE_REFUSED
        p += 1
        if read_slice(&p, end, &raw) < 0 or read_value(raw, &value, depth + 1) < 0:
            return WIRE_REFUSED
    return 0


cdef inline int check_pairs(Slice pairs, uint8_t tag, int depth) noexcept nogil:
    """The pairs of a message that holds nothing but `KeyValue`s, each behind `tag`. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = pairs.data
    cdef const uint8_t* end = pairs.data + pairs.size
    cdef Slice pair, key
    cdef Value value
    if depth >= MAX_DEPTH:
        return WIRE_REFUSED
    while p < end:
        if p[0] != tag:
            return WIRE_REFUSED
        p += 1
        if read_slice(&p, end, &pair) < 0 or read_pair(pair, &key, &value, depth + 1) < 0:
            return WIRE_REFUSED
    return 0


cdef inline int add_attribute(Attributes* attributes, Slice field, Slice pair) noexcept nogil:
    """Read a `KeyValue` to the end of the list, which grows. 0, or `WIRE_REFUSED` (also without memory)."""
    cdef Attribute* items
    cdef size_t room
    if attributes.count == attributes.room:
        room = 2 * attributes.room + 64
        items = <Attribute*>realloc(attributes.items, room * sizeof(Attribute))
        if items is NULL:
            return WIRE_REFUSED
        attributes.items = items
        attributes.room = room
    items = attributes.items + attributes.count
    items.field = field
    if read_pair(pair, &items.key, &items.value, 0) < 0:
        return WIRE_REFUSED
    attributes.count += 1
    return 0


cdef inline int add_slice(Slices* slices, Slice slice) noexcept nogil:
    """0, or `WIRE_REFUSED` without memory."""
    cdef Slice* items
    cdef size_t room
    if slices.count == slices.room:
        room = 2 * slices.room + 64
        items = <Slice*>realloc(slices.items, room * sizeof(Slice))
        if items is NULL:
            return WIRE_REFUSED
        slices.items = items
        slices.room = room
    slices.items[slices.count] = slice
    slices.count += 1
    return 0


cdef inline int read_small(const uint8_t** at, const uint8_t* end, uint32_t* number) noexcept nogil:
    """A uint32 or an enumeration: what does not fit 31 bits is refused (the library cuts it). 0, or `WIRE_REFUSED`."""
    cdef uint64_t found
    if read_number(at, end, &found) < 0 or found > 0x7FFFFFFF:
        return WIRE_REFUSED
    number[0] = <uint32_t>found
    return 0


cdef inline int read_fixed32(const uint8_t** at, const uint8_t* end, uint32_t* number) noexcept nogil:
    """What comes after the tag of a fixed32. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = at[0]
    if end - p < 4:
        return WIRE_REFUSED
    number[0] = p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24
    at[0] = p + 4
    return 0


cdef inline int check_event(Slice event, Slice* name, uint64_t* time, Slices* pairs) noexcept nogil:
    """One `Span.Event`; its attributes (`KeyValue`s, checked) are added to `pairs`, unless NULL. 0, or refused."""
    cdef const uint8_t* p = event.data
    cdef const uint8_t* end = event.data + event.size
    cdef uint8_t tag
    cdef Slice pair, key
    cdef Value value
    cdef uint32_t number
    name.data = p
    name.size = 0
    time[0] = 0
    while p < end:
        tag = p[0]
        p += 1
        if tag == 0x09:
            if read_fixed64(&p, end, time) < 0:
                return WIRE_REFUSED
        elif tag == 0x12:
            if read_text(&p, end, name) < 0:
                return WIRE_REFUSED
        elif tag == 0x1A:
            if read_slice(&p, end, &pair) < 0 or read_pair(pair, &key, &value, 0) < 0:
                return WIRE_REFUSED
            if pairs is not NULL and add_slice(pairs, pair) < 0:
                return WIRE_REFUSED
        elif tag == 0x20:
            if read_small(&p, end, &number) < 0:
                return WIRE_REFUSED
        else:
            return WIRE_REFUSED
    return 0


cdef inline int check_link(Slice link) noexcept nogil:
    """One `Span.Link`. 0, or `WIRE_REFUSED`."""
    cdef const uint8_t* p = link.data
    cdef const uint8_t* end = link.data + link.size
    cdef uint8_t tag
    cdef Slice part, key
    cdef Value value
    cdef uint32_t number
    while p < end:
        tag = p[0]
        p += 1
        if tag == 0x0A or tag == 0x12:
            if read_slice(&p, end, &part) < 0:
                return WIRE_REFUSED
        elif tag == 0x1A:
            if read_text(&p, end, &part) < 0:
                return WIRE_REFUSED
        elif tag == 0x22:
            if read_slice(&p, end, &part) < 0 or read_pair(part, &key, &value, 0) < 0:
                return WIRE_REFUSED
        elif tag == 0x28:
            if read_small(&p, end, &number) < 0:
                return WIRE_REFUSED
        elif tag == 0x35:
            if read_fixed32(&p, end, &number) < 0:
                return WIRE_REFUSED
        else:
            return WIRE_REFUSED
    return 0


cdef inline int _read_status(Slice status, SpanFields* span) noexcept nogil:
    cdef const uint8_t* p = status.data
    cdef const uint8_t* end = status.data + status.size
    cdef uint8_t tag
    cdef uint32_t number
    while p < end:
        tag = p[0]
        p += 1
        if tag == 0x12:
            if read_text(&p, end, &span.status_message) < 0:
                return WIRE_REFUSED
        elif tag == 0x18:
            if read_small(&p, end, &number) < 0:
                return WIRE_REFUSED
            span.status_code = <int32_t>number
        else:
            return WIRE_REFUSED
    return 0


cdef inline int read_span(
    Slice raw, SpanFields* span, Attributes* attributes, Slices* events, Slices* links
) noexcept nogil:
    """One `Span`, checked to its depths. 0, or `WIRE_REFUSED`.

    The lists are emptied first; free their items when done with them. Events and links are checked, and
    `check_event` with the event's slice takes one apart.
    """
    cdef const uint8_t* p = raw.data
    cdef const uint8_t* end = raw.data + raw.size
    cdef const uint8_t* begin
    cdef Slice part, field, name
    cdef uint64_t time
    cdef uint32_t number
    cdef uint8_t tag
    span.trace_id.data = span.span_id.data = span.parent_id.data = span.trace_state.data = p
    span.name.data = span.status_message.data = p
    span.trace_id.size = span.span_id.size = span.parent_id.size = span.trace_state.size = 0
    span.name.size = span.status_message.size = 0
    span.start = span.end = 0
    span.kind = span.status_code = 0
    span.flags = span.dropped_attributes = span.dropped_events = span.dropped_links = 0
    span.has_status = False
    attributes.count = events.count = links.count = 0
    while p < end:
        begin = p
        tag = p[0]
        p += 1
        if tag == 0x4A:  # attributes
            if read_slice(&p, end, &part) < 0:
                return WIRE_REFUSED
            field.data = begin
            field.size = p - begin
            if add_attribute(attributes, field, part) < 0:
                return WIRE_REFUSED
        elif tag == 0x0A:
            if read_slice(&p, end, &span.trace_id) < 0:
                return WIRE_REFUSED
        elif tag == 0x12:
            if read_slice(&p, end, &span.span_id) < 0:
                return WIRE_REFUSED
        elif tag == 0x22:
            if read_slice(&p, end, &span.parent_id) < 0:
                return WIRE_REFUSED
        elif tag == 0x1A:
            if read_text(&p, end, &span.trace_state) < 0:
                return WIRE_REFUSED
        elif tag == 0x2A:
            if read_text(&p, end, &span.name) < 0:
                return WIRE_REFUSED
        elif tag == 0x30:
            if read_small(&p, end, &number) < 0:
                return WIRE_REFUSED
            span.kind = <int32_t>number
        elif tag == 0x39:
            if read_fixed64(&p, end, &span.start) < 0:
                return WIRE_REFUSED
        elif tag == 0x41:
            if read_fixed64(&p, end, &span.end) < 0:
                return WIRE_REFUSED
        elif tag == 0x50:
            if read_small(&p, end, &span.dropped_attributes) < 0:
                return WIRE_REFUSED
        elif tag == 0x5A:
            if read_slice(&p, end, &part) < 0 or check_event(part, &name, &time, NULL) < 0:
                return WIRE_REFUSED
            if add_slice(events, part) < 0:
                return WIRE_REFUSED
        elif tag == 0x60:
            if read_small(&p, end, &span.dropped_events) < 0:
                return WIRE_REFUSED
        elif tag == 0x6A:
            if read_slice(&p, end, &part) < 0 or check_link(part) < 0 or add_slice(links, part) < 0:
                return WIRE_REFUSED
        elif tag == 0x70:
            if read_small(&p, end, &span.dropped_links) < 0:
                return WIRE_REFUSED
        elif tag == 0x7A:
            if span.has_status or read_slice(&p, end, &part) < 0 or _read_status(part, span) < 0:
                return WIRE_REFUSED
            span.has_status = True
        elif tag == 0x85 and p < end and p[0] == 0x01:
            p += 1
            if read_fixed32(&p, end, &span.flags) < 0:
                return WIRE_REFUSED
        else:
            return WIRE_REFUSED
    return 0
