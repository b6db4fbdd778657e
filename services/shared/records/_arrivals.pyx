# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Spans that wait for their session, from record to state to record as bytes. The definition is `arrivals.py`.

A packed span stays as it is but for one number, the place of its dimensions, which each record and each state has in a
table of its own. Declines (None, False) where a span ends a session of its own or says something of others, which may
be of another trace, and where bytes are not as `trace_spans` writes them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport realloc

from services.shared.records._packed cimport HEAD_BYTES, Buffer, append, put_array, put_int, put_text, reserve
from services.shared.records._span_chunks cimport SpanChunks
from services.shared.records._unpacked cimport MAX_DEPTH, Reader, Text, is_next, read_array, read_bytes, read_int
from services.shared.records._unpacked cimport read_text, skip

cdef enum:
    TRACE = 16
    PLAIN_FIELDS = 14
    ALL_FIELDS = 16  # with its tool and its annotations
    BEHIND_TRACE = 6  # fields before the place of its dimensions
    BEHIND_PLACE = 6  # and after it, of a plain one
    NO_ITEMS = 0x90
    NO_PREVIOUS = 0x80


cdef struct Span:
    const uint8_t* begin
    const uint8_t* trace
    const uint8_t* place_begin
    const uint8_t* place_end
    const uint8_t* end
    int64_t place  # of its dimensions in the table
    Py_ssize_t following  # of the same trace; -1: none


cdef struct Spans:  # memory that is kept for the next record: only one thread reads records
    Span* of
    size_t room
    Text* table
    size_t table_room
    size_t table_size
    Py_ssize_t* places
    size_t places_room


cdef Spans _spans
cdef Buffer _to


cdef bint _read_table(Reader* reader) except -1:
    cdef size_t count = 0, number
    if not read_array(reader, &count):
        return False
    if _spans.table_room < count:
        _spans.table = <Text*>_grown(_spans.table, count * sizeof(Text))
        _spans.places = <Py_ssize_t*>_grown(_spans.places, count * sizeof(Py_ssize_t))
        _spans.table_room = count
    for number in range(count):
        _spans.table[number].data = reader.at
        if not skip(reader, MAX_DEPTH):
            return False
        _spans.table[number].size = reader.at - _spans.table[number].data
        _spans.places[number] = -1
    _spans.table_size = count
    return True


cdef bint _read_spans(Reader* reader, size_t* count) except -1:
    """The array of spans, and the map of what they end, which must be empty."""
    cdef size_t number
    if not read_array(reader, count) or not count[0]:
        return False
    if _spans.room < count[0]:
        _spans.of = <Span*>_grown(_spans.of, count[0] * sizeof(Span))
        _spans.room = count[0]
    for number in range(count[0]):
        if not _read_span(reader, &_spans.of[number]):
            return False
    if not is_next(reader, NO_PREVIOUS):
        return False
    reader.at += 1
    return True


cdef bint _read_span(Reader* reader, Span* span) noexcept nogil:
    cdef size_t fields = 0
    cdef int field
    cdef Text trace
    span.begin = reader.at
    if not read_array(reader, &fields) or (fields != PLAIN_FIELDS and fields != ALL_FIELDS):
        return False
    if not read_bytes(reader, &trace) or trace.size != TRACE:
        return False
    span.trace = trace.data
    for field in range(BEHIND_TRACE):
        if not skip(reader, MAX_DEPTH):
            return False
    span.place_begin = reader.at
    if not read_int(reader, &span.place) or not 0 <= span.place < <int64_t>_spans.table_size:
        return False
    span.place_end = reader.at
    for field in range(BEHIND_PLACE):
        if not skip(reader, MAX_DEPTH):
            return False
    if fields == ALL_FIELDS:
        if not skip(reader, MAX_DEPTH) or not is_next(reader, NO_ITEMS):
            return False
        reader.at += 1
    span.end = reader.at
    span.following = -1
    return True


def divide(bytes packed not None):
    """See `arrivals.decode_arrivals`. None: leave it to the definition."""
    cdef Reader reader
    cdef size_t groups = 0, number, count = 0
    cdef Py_ssize_t first
    cdef int64_t time = 0
    cdef Text project, head
    cdef list found = []
    reader.at = <const uint8_t*>PyBytes_AS_STRING(packed)
    reader.end = reader.at + PyBytes_GET_SIZE(packed)
    if not _read_table(&reader) or not read_array(&reader, &groups):
        return None
    for number in range(groups):
        if not read_array(&reader, &count) or count != 4:
            return None
        head.data = reader.at
        if not read_text(&reader, &project) or not read_int(&reader, &time):
            return None
        head.size = reader.at - head.data
        if not _read_spans(&reader, &count):
            return None
        for trace_id, first in _traces(count):
            count = _write(&head, first)
            found.append((trace_id, time, count, PyBytes_FromStringAndSize(<const char*>_to.data, _to.size)))
    return found if reader.at == reader.end else None


cdef list _traces(size_t count):
    """Of the spans that were read: each trace, and its first span. The others follow it."""
    cdef dict last = {}
    cdef list found = []
    cdef size_t number
    cdef Span* span
    for number in range(count):
        trace_id = PyBytes_FromStringAndSize(<const char*>_spans.of[number].trace, TRACE)
        before = last.get(trace_id)
        if before is None:
            found.append((trace_id, number))
        else:
            span = &_spans.of[<Py_ssize_t>before]
            span.following = number
        last[trace_id] = number
    return found


cdef size_t _write(Text* head, Py_ssize_t first) except 0:
    """What `encode_waiting` gives of a span and those that follow it. `head`: project and time. How many they are."""
    cdef Py_ssize_t number = first
    cdef size_t count = 0, dimensions = 0
    cdef Span* span
    cdef uint8_t* at
    while number >= 0:
        span = &_spans.of[number]
        if _spans.places[span.place] < 0:
            _spans.places[span.place] = dimensions
            dimensions += 1
        count += 1
        number = span.following
    _to.size = 0
    reserve(&_to, 1 + HEAD_BYTES)
    at = put_array(put_array(_to.data, 2), dimensions)
    _to.size = at - _to.data
    dimensions, number = 0, first
    while number >= 0:
        span = &_spans.of[number]
        if _spans.places[span.place] == <Py_ssize_t>dimensions:
            append(&_to, _spans.table[span.place].data, _spans.table[span.place].size)
            dimensions += 1
        number = span.following
    reserve(&_to, 1)
    _to.data[_to.size] = 0x94
    _to.size += 1
    append(&_to, head.data, head.size)
    reserve(&_to, HEAD_BYTES)
    _to.size = put_array(_to.data + _to.size, count) - _to.data
    number = first
    while number >= 0:
        span = &_spans.of[number]
        _put_span(&_to, span, _spans.places[span.place])
        number = span.following
    number = first
    while number >= 0:
        span = &_spans.of[number]
        _spans.places[span.place] = -1
        number = span.following
    reserve(&_to, 1)
    _to.data[_to.size] = NO_PREVIOUS
    _to.size += 1
    return count


cdef int _put_span(Buffer* to, Span* span, Py_ssize_t place) except -1:
    append(to, span.begin, span.place_begin - span.begin)
    reserve(to, HEAD_BYTES)
    to.size = put_int(to.data + to.size, place) - to.data
    return append(to, span.place_end, span.end - span.place_end)


def pass_on(chunks, key, bytes data not None):
    """See `arrivals.pass_on`. False: leave it to the definition."""
    cdef Reader reader
    cdef size_t count = 0, number
    cdef int64_t time = 0
    cdef Text project
    if not isinstance(chunks, SpanChunks):
        return False
    reader.at = <const uint8_t*>PyBytes_AS_STRING(data)
    reader.end = reader.at + PyBytes_GET_SIZE(data)
    if not read_array(&reader, &count) or count != 2 or not _read_table(&reader):
        return False
    if not read_array(&reader, &count) or count != 4 or not read_text(&reader, &project):
        return False
    if not read_int(&reader, &time) or not _read_spans(&reader, &count) or reader.at != reader.end:
        return False
    _add(chunks, key, time, count)
    return True


cdef int _add(SpanChunks chunks, object key, int64_t time, size_t count) except -1:
    """The spans that were read, as `SpanChunks.add` does."""
    cdef size_t number
    cdef Span* span
    cdef Text* dimensions
    cdef bint is_open = False
    cdef Py_ssize_t place
    _to.size = 0
    _put_name(key[0])
    _put_name(key[1])
    for number in range(count):
        span = &_spans.of[number]
        dimensions = &_spans.table[span.place]
        if not is_open:
            chunks.begin_group(_to.data, _to.size, time)
            is_open = True
        place = chunks.place_of(PyBytes_FromStringAndSize(<const char*>dimensions.data, dimensions.size))
        chunks.begin_item(span.end - span.begin + HEAD_BYTES)
        _put_span(&chunks.groups, span, place)
        if chunks.end_item():
            chunks.end_group()
            chunks.cut()
            is_open = False
    if is_open:
        chunks.end_group()
    return 0


cdef int _put_name(str name) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* text = PyUnicode_AsUTF8AndSize(name, &size)
    reserve(&_to, HEAD_BYTES + size)
    _to.size = put_text(_to.data + _to.size, <const uint8_t*>text, size) - _to.data
    return 0


cdef void* _grown(void* data, size_t size) except NULL:
    cdef void* grown = realloc(data, size)
    if grown is NULL:
        raise MemoryError
    return grown
