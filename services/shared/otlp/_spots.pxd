# cython: language_level=3
"""What is known of the spans of one record, for `_scan.pyx`: see `_spots.pyx`."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from services.shared.otlp._meanings cimport MOST_COUNTS, Key, Meanings, Resource, Session, What, Who
from services.shared.otlp._tariff cimport Number
from services.shared.otlp._wire cimport Attribute, Attributes, Slice, Slices, SpanFields, Value

cdef enum:
    TRACE_ID_SIZE = 16
    SPAN_ID_SIZE = 8
    NUMBERS = 10
    NONE = -1
    NOTES = 32
    IN = 0
    OUT = 1

    # Places of numbers, as `_meanings.NUMBERS` has them.
    PROMPT = 0
    COMPLETION = 1
    TOTAL = 2
    CACHE_READ = 3
    CACHE_WRITE = 4
    REASONING = 5
    PROMPT_COST = 6
    COMPLETION_COST = 7
    TOTAL_COST = 8
    FIRST_TOKEN = 9

    # What came of reading something.
    READ = 0
    DECLINED = -1  # the record
    RARE = 1  # the span


cdef struct Text:  # an input or an output that may be shown
    Key* key  # of the attribute, or NULL
    Slice content
    Slice raw
    int16_t rank


cdef struct Spot:  # what is known of one span
    Slice raw
    const uint8_t* trace_id
    const uint8_t* span_id
    const uint8_t* parent_id  # or NULL
    int64_t start
    int64_t end
    Slice name
    Slice error
    Slice shown[2]  # input and output, cut
    Text texts[2]
    bint is_odd  # its texts are found in Python
    bint has_index
    bint is_error
    bint is_tool
    bint has_call
    Number numbers[NUMBERS]  # of a call, as they are written
    int32_t costs  # place in `packed` of costs that do not fit, or NONE
    What* what
    Who* who
    Resource* resource
    Session* session  # that it names itself
    int32_t source  # where from: the place of an attribute, plus 1
    int32_t facts  # place in `facts` of a span that Python read, or NONE
    # Of the spans together (`_scan.pyx`).
    Session* of  # that it belongs to: its own, or its trace's
    int32_t trace
    int32_t next  # of its group
    int32_t sibling  # of its turn


@cython.final  # so that its methods call each other directly
cdef class SpotReader:
    # Of the record that was read last. Its bytes must live as long as its spots are used.
    cdef Spot* spots
    cdef size_t spot_count
    cdef list facts  # with the previous session ids
    cdef list packed
    cdef int64_t record_time
    cdef int64_t latest  # end of a valid span
    cdef bint has_latest
    cdef uint64_t notes[NOTES]
    cdef uint64_t calls[MOST_COUNTS]  # as `Meanings.counts` has them
    cdef uint64_t invalid
    cdef object counts  # what Python counted of prices
    cdef object span_reader  # of rare spans, made when there is one

    cdef readonly Meanings meanings
    cdef object rules
    cdef int64_t max_future
    cdef size_t preview
    cdef int by_span
    cdef int by_nothing
    cdef size_t spot_room
    cdef Attributes attributes
    cdef Slices events
    cdef Slices links
    cdef Attribute** of_who
    cdef Key** who_keys
    cdef Attribute** of_what
    cdef size_t attribute_room
    cdef Key first_key

    cdef int read(self, const uint8_t* data, size_t size, int64_t record_time) except -2
    cdef int find_texts(self, Spot* spot, Slice* whole) except -1
    cdef int show(self, Spot* spot, int side, Slice whole) except -1
    cdef int forget(self) except -1

    cdef int _read_record(self, const uint8_t* at, const uint8_t* end) except -2
    cdef int _read_resource_spans(self, Slice whole) except -2
    cdef int _read_scope_spans(self, Resource* resource, Slice whole) except -2
    cdef int _read_span(self, Resource* resource, Slice raw) except -2
    cdef bint _has_rare_event(self) except -1
    cdef int _read_rare(self, Spot* spot) except -1
    cdef int _read_plain(self, Spot* spot, SpanFields* fields) except -2
    cdef int _read_times(self, Spot* spot, uint64_t start, uint64_t end) except -1
    cdef int _read_texts(self, Spot* spot, SpanFields* fields) except -1
    cdef Slice _encoded(self, str text)
    cdef int _read_number(self, Key* key, const Value* value, Number* found) except -2
    cdef int _read_number_in_python(self, Key* key, const Value* value, Number* found) except -2
    cdef int _read_call(self, Spot* spot, int16_t* ranks) except -1
    cdef int _price(self, Spot* spot) except -1
    cdef int _price_in_python(self, Spot* spot) except -1
    cdef Spot* _new_spot(self) except NULL
    cdef int _room_for_attributes(self) except -1
