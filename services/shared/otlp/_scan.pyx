# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Records of `otlp_spans` to records of `session_spans` and `trace_spans`, from bytes to bytes.

The definition is Python: `decode.py`, `facts.py` with `span_reader.py`, and the outputs of the sessionizer; what this
writes and counts is equal to what they give. It leaves to them

- a whole record that is not surely a plain protobuf request (see `_wire.pxd`), is compressed or very large: `scan` is
  False then, and nothing has happened;
- a single span that has something rare (annotations, explicit ends, members of JSON, `session.previous_id`): it is
  parsed alone and read by `SpanReader`; its facts are packed by `pack_item`.

What attributes mean is remembered by their bytes (`_meanings.pyx`). A record is read in two passes: first every span
into a `Spot`, which is what its facts come from; then what the spans say together, and their items are written.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.math cimport floor
from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from services.shared.otlp._decimals cimport DECIMAL_FOUND, DECIMAL_LARGE, scaled
from services.shared.otlp._memo cimport memo_hash
from services.shared.otlp._meanings cimport (
    AS_COUNT, AS_MILLISECONDS, AS_MONEY, AS_PYTHON, AS_SECONDS, KIND_MODEL_CALL, KIND_NONE, KIND_TOOL, MOST_COUNTS,
    OF_INDEX, OF_PYTHON, OF_WHAT, OF_WHO, Candidate, Key, Meanings, Resource, Session, What, Who
)
from services.shared.otlp._tariff cimport TARIFF_UNPRICED, Number, Tariff, tariff_cost
from services.shared.otlp._wire cimport (
    BOOL_VALUE, DOUBLE_VALUE, INT_VALUE, NO_VALUE, STRING_VALUE, Attribute, Attributes, Slice, Slices, SpanFields, Value,
    add_slice, check_event, read_slice, read_span, read_text, wire_cut
)
from services.shared.records._packed cimport (
    append, put_array, put_bytes, put_int, put_none, put_raw, put_text
)
from services.shared.records._span_chunks cimport ItemChunks, SpanChunks, TraceChunks

from collections import Counter
from dataclasses import replace

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.shared.model.outcome import DropReason, Note
from services.shared.model.span import SessionEnd
from services.shared.otlp import facts, numbers, plan
from services.shared.otlp.annotations import EVALUATION_EVENT
from services.shared.otlp.model_call import WITHOUT_CACHED, WITHOUT_REASONING
from services.shared.otlp.pricing import BY_NOTHING, BY_SPAN, NO_COST, Usage
from services.shared.otlp.rules import Resolve
from services.shared.otlp.span_reader import INVALID_ID, MANY_ATTRIBUTES, MAX_NAME_LENGTH, SESSION_END, SpanReader
from services.shared.otlp.times import YEAR_2000, correct
from services.shared.otlp.turn_texts import texts_of
from services.shared.records.packed import pack
from services.shared.records.session_spans import IS_ERROR, IS_TOOL_CALL, pack_dimensions, pack_item
from services.shared.records.trace_spans import trace_partition

cdef size_t MOST_BYTES = 4 << 20  # of a record; larger ones are counted before they are parsed (`decode.py`)
cdef size_t KEPT_SPOTS = 10_000  # between records
cdef size_t ITEM_BYTES = 512  # of an item, besides its texts, at most

cdef uint64_t EARLIEST = YEAR_2000
cdef int64_t MOST_TOKENS = numbers.MAX_COUNT
cdef size_t MOST_ATTRIBUTES = MANY_ATTRIBUTES
cdef size_t MOST_NAME = MAX_NAME_LENGTH
cdef int ERROR_CODE = Status.STATUS_CODE_ERROR
cdef int ERROR_FLAG = IS_ERROR
cdef int TOOL_FLAG = IS_TOOL_CALL
cdef object LARGE = 1 << 62
cdef str FROM_TRACE = facts.FROM_TRACE
cdef bytes ENDS = SESSION_END.encode()
cdef bytes EVALUATION = EVALUATION_EVENT.encode()

cdef enum:
    TRACE_ID_SIZE = 16
    SPAN_ID_SIZE = 8
    NUMBERS = 10
    SESSION_CANDIDATES = 8
    UNSET = 1000
    NONE = -1
    NOTES = 32
    IN = 0
    OUT = 1
    SOURCES = 64

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

_NOTES = list(Note)
assert len(_NOTES) <= NOTES
cdef int64_t POWERS[19]
for _place in range(19):
    POWERS[_place] = 10**_place
cdef int N_NUL = _NOTES.index(Note.NUL_CHARACTER)
cdef int N_CUT = _NOTES.index(Note.DIMENSIONS_CUT)
cdef int N_PARENT = _NOTES.index(Note.INVALID_PARENT_ID)
cdef int N_MANY = _NOTES.index(Note.MANY_ATTRIBUTES)

cdef set MOMENTS = set(plan.FIRST_TOKEN_MOMENTS)
cdef set CACHED_APART = set(WITHOUT_CACHED)
cdef int REASONING_APART = WITHOUT_REASONING


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
    Session* of  # or its trace
    int32_t facts  # place in `facts` of a span that Python read, or NONE
    int32_t trace
    int32_t next  # of its group
    int32_t sibling  # of its turn


cdef struct Trace:
    const uint8_t* id
    Session* session  # that it is bound to
    int32_t turns
    int32_t next  # that is bound with it
    bint has_root
    bint has_child
    bint has_other


cdef struct Turn:
    Session* session
    int32_t next  # of its trace
    int32_t below
    bint shows[2]


cdef struct Group:
    Session* session
    int32_t first
    int32_t last


cdef struct Binding:
    Session* session
    uint32_t target
    int32_t next  # of its session
    int32_t first  # trace
    int32_t last


cdef class Scanner:
    """For one partition of `otlp_spans`. `session_spans` and `trace_spans`: compiled chunks by partition.

    `trace_spans` is empty where nothing is resolved. Not for two threads at once: the second is declined.
    """

    cdef Meanings meanings
    cdef object session_spans
    cdef object trace_spans
    cdef object rules
    cdef int64_t max_future
    cdef size_t preview
    cdef bint resolves
    cdef bint binds_only_missing
    cdef bint is_busy
    cdef readonly object latest_end  # of the valid spans of the record that was scanned last; None: it had none

    # Of the record that is being scanned.
    cdef uint64_t number
    cdef int64_t record_time
    cdef int64_t latest
    cdef bint has_latest
    cdef object reader  # of rare spans, made when there is one
    cdef object counts
    cdef list facts  # with the previous session ids
    cdef list packed
    cdef list ends  # `SessionEnd`, and what is behind it in its group
    cdef uint64_t notes[NOTES]
    cdef uint64_t invalid
    cdef uint64_t calls[MOST_COUNTS]  # as `Meanings.counts` has them
    cdef Attributes attributes
    cdef Slices events
    cdef Slices links
    cdef Attribute** of_who
    cdef Key** who_keys
    cdef Attribute** of_what
    cdef size_t attribute_room
    cdef Key first_key
    cdef Spot* spots
    cdef size_t spot_count
    cdef size_t spot_room
    cdef Trace* traces
    cdef Turn* turns
    cdef Group* groups
    cdef Binding* bindings
    cdef int32_t* slots  # of traces
    cdef size_t slot_room
    cdef int32_t trace_count
    cdef int32_t turn_count
    cdef int32_t group_count
    cdef int32_t binding_count
    cdef int32_t first_bound
    cdef int32_t last_bound

    # Of all records since `take_counts`.
    cdef object all_counts
    cdef uint64_t all_notes[NOTES]
    cdef uint64_t all_sources[SOURCES]
    cdef uint64_t all_records
    cdef uint64_t all_invalid
    cdef uint64_t all_without
    cdef uint64_t all_waiting
    cdef uint64_t all_calls[MOST_COUNTS]
    cdef int by_span
    cdef int by_nothing

    def __init__(self, rules, session_spans, trace_spans):
        self.meanings = Meanings(rules)
        if len(self.meanings.plans.session_names) >= SOURCES:
            raise ValueError(f"more than {SOURCES} names of session ids")
        self.by_span, self.by_nothing = self.meanings.count_of(BY_SPAN), self.meanings.count_of(BY_NOTHING)
        self.rules = rules
        self.session_spans, self.trace_spans = list(session_spans), list(trace_spans)
        self.max_future, self.preview = rules.max_future, rules.preview_length
        self.resolves = rules.resolve is not Resolve.OFF
        self.binds_only_missing = rules.resolve is Resolve.WHEN_MISSING
        self.all_counts = Counter()
        self._forget_record()

    def __dealloc__(self):
        free(self.attributes.items)
        free(self.events.items)
        free(self.links.items)
        free(self.of_who)
        free(self.who_keys)
        free(self.of_what)
        free(self.spots)
        free(self.slots)
        self._free_links()

    def scan(self, bytes value not None, int64_t record_time):
        """Put what the record says into the chunks, and count it. False: nothing has happened, and Python must do it.

        `record_time`: the record's timestamp (ns).
        """
        cdef size_t size = len(value)
        cdef const uint8_t* data = value
        if self.is_busy or not 0 < size <= MOST_BYTES or data[0] != 0x0A:
            return False
        self.is_busy = True
        try:
            if self.meanings.forget_if_full():
                self.first_key.next = NULL
            self.record_time = record_time
            self.number += 1
            if self._read_record(data, data + size) == DECLINED:
                return False
            self._finish()
        finally:
            self._forget_record()
            self.is_busy = False
        return True

    def take_counts(self):
        """What was counted since the last call, by (metric, label)."""
        counts, self.all_counts = self.all_counts, Counter()
        cdef int place
        cdef uint64_t routed = 0
        for place in range(<int>len(_NOTES)):
            if self.all_notes[place]:
                counts["spanloom_span_notes_total", _NOTES[place].value] += self.all_notes[place]
        for place in range(SOURCES):
            if self.all_sources[place]:
                routed += self.all_sources[place]
                attribute = self.meanings.sources[place - 1] if place else FROM_TRACE
                counts["spanloom_session_id_source_total", attribute] += self.all_sources[place]
        for name, label, number in (
            ("spanloom_records_total", "decoded", self.all_records),
            ("spanloom_spans_total", "routed", routed),
            ("spanloom_spans_total", "waiting", self.all_waiting),
            ("spanloom_spans_total", DropReason.NO_SESSION_ID.value, self.all_without),
            (*INVALID_ID, self.all_invalid),
        ):
            if number:
                counts[name, label] += number
        for place in range(len(self.meanings.counts)):
            if self.all_calls[place]:
                counts[self.meanings.counts[place]] += self.all_calls[place]
        memset(self.all_notes, 0, sizeof(self.all_notes))
        memset(self.all_sources, 0, sizeof(self.all_sources))
        memset(self.all_calls, 0, sizeof(self.all_calls))
        self.all_records = self.all_invalid = self.all_without = self.all_waiting = 0
        return counts

    # From bytes to spots

    cdef int _read_record(self, const uint8_t* at, const uint8_t* end) except -2:
        cdef Slice part
        while at < end:
            if at[0] != 0x0A:
                return DECLINED
            at += 1
            if read_slice(&at, end, &part) < 0 or self._read_resource_spans(part) == DECLINED:
                return DECLINED
        return READ

    cdef int _read_resource_spans(self, Slice whole) except -2:
        cdef const uint8_t* at = whole.data
        cdef const uint8_t* end = at + whole.size
        cdef uint8_t tag
        cdef bint has_resource = False
        cdef Slice part, raw
        cdef Resource* resource = NULL
        raw.data, raw.size = at, 0
        while at < end:
            tag = at[0]
            at += 1
            if tag == 0x0A:
                if has_resource or read_slice(&at, end, &raw) < 0:
                    return DECLINED
                has_resource = True
            elif tag == 0x12:
                if read_slice(&at, end, &part) < 0:
                    return DECLINED
            elif tag != 0x1A or read_text(&at, end, &part) < 0:
                return DECLINED
        if self.meanings.resource(raw, &resource) < 0:
            return DECLINED
        at = whole.data
        while at < end:
            tag = at[0]
            at += 1
            read_slice(&at, end, &part)
            if tag == 0x12 and self._read_scope_spans(resource, part) == DECLINED:
                return DECLINED
        return READ

    cdef int _read_scope_spans(self, Resource* resource, Slice whole) except -2:
        cdef const uint8_t* at = whole.data
        cdef const uint8_t* end = at + whole.size
        cdef uint8_t tag
        cdef bint has_scope = False
        cdef Slice part
        while at < end:
            tag = at[0]
            at += 1
            if tag == 0x12:
                if read_slice(&at, end, &part) < 0 or self._read_span(resource, part) == DECLINED:
                    return DECLINED
            elif tag == 0x0A:
                if has_scope or read_slice(&at, end, &part) < 0 or self.meanings.scope(part) < 0:
                    return DECLINED
                has_scope = True
            elif tag != 0x1A or read_text(&at, end, &part) < 0:
                return DECLINED
        return READ

    cdef int _read_span(self, Resource* resource, Slice raw) except -2:
        cdef SpanFields fields
        cdef Spot* spot
        if read_span(raw, &fields, &self.attributes, &self.events, &self.links) < 0:
            return DECLINED
        if not _is_id(fields.trace_id, TRACE_ID_SIZE) or not _is_id(fields.span_id, SPAN_ID_SIZE):
            self.invalid += 1
            return READ
        spot = self._new_spot()
        spot.raw, spot.resource = raw, resource
        spot.trace_id, spot.span_id = fields.trace_id.data, fields.span_id.data
        spot.parent_id = fields.parent_id.data if _is_id(fields.parent_id, SPAN_ID_SIZE) else NULL
        if resource.is_python or self._has_rare_event() or self._read_plain(spot, &fields) == RARE:
            self._read_rare(spot)
        self.spot_count += 1
        if not self.has_latest or spot.end > self.latest:
            self.latest, self.has_latest = spot.end, True
        return READ

    cdef bint _has_rare_event(self) except -1:
        cdef Slice name
        cdef uint64_t time
        cdef size_t place
        for place in range(self.events.count):
            check_event(self.events.items[place], &name, &time, NULL)
            if _is(name, ENDS) or _is(name, EVALUATION):
                return True
        return False

    cdef int _read_rare(self, Spot* spot) except -1:
        """The span by Python."""
        if self.reader is None:
            self.reader = SpanReader(self.record_time, self.rules)
        sourced, facts, previous = self.reader.read(
            <object>spot.resource.view, Span.FromString(spot.raw.data[:spot.raw.size])
        )
        self.meanings.wear()
        spot.session, spot.source = NULL, 0
        if sourced is not None:
            spot.session = self.meanings.session_of(sourced.key.project, sourced.key.session_id)
            spot.source = self.meanings.source_of(sourced.attribute) + 1
        spot.start, spot.end = facts.start, facts.end
        spot.is_tool = facts.is_tool_call
        spot.shown[IN].size, spot.shown[OUT].size = len(facts.input), len(facts.output)
        spot.is_odd = True
        spot.facts = <int32_t>len(self.facts)
        self.facts.append((facts, previous))
        return 0

    cdef int _read_plain(self, Spot* spot, SpanFields* fields) except -2:
        """The span from its bytes. RARE: it is not plain, and nothing has been counted."""
        cdef size_t who_count = 0, what_count = 0, place
        cdef int16_t ranks[NUMBERS]
        cdef const Value* candidates[SESSION_CANDIDATES]
        cdef int candidate_ranks[SESSION_CANDIDATES]
        cdef int candidate_count = 0, number, note
        cdef const Candidate* found[SESSION_CANDIDATES + 1]
        cdef int found_count = 0
        cdef Attribute* attribute
        cdef Key* key
        cdef Key* before = &self.first_key
        cdef Text* text
        cdef Number usable
        for number in range(NUMBERS):
            ranks[number] = UNSET
            spot.numbers[number].has = False
        spot.texts[IN].key = spot.texts[OUT].key = NULL
        spot.is_odd = spot.has_index = False
        spot.is_error = fields.status_code == ERROR_CODE
        if spot.is_error and not fields.status_message.size:
            return RARE
        self._room_for_attributes()
        for place in range(self.attributes.count):
            attribute = self.attributes.items + place
            key = before.next
            if key is NULL or key.size != attribute.key.size or memcmp(key.name, attribute.key.data, key.size):
                key = before.next = self.meanings.key(attribute.key)
            before = key
            if not key.is_read:
                continue
            if key.uses & OF_PYTHON:
                return RARE
            if key.uses & OF_WHO:
                self.of_who[who_count], self.who_keys[who_count] = attribute, key
                who_count += 1
            if key.uses & OF_WHAT:
                self.of_what[what_count] = attribute
                what_count += 1
            if key.uses & OF_INDEX:
                spot.has_index = True
            if key.session_rank >= 0:
                if candidate_count == SESSION_CANDIDATES:
                    return RARE
                number = candidate_count
                while number and candidate_ranks[number - 1] > key.session_rank:
                    candidates[number] = candidates[number - 1]
                    candidate_ranks[number] = candidate_ranks[number - 1]
                    number -= 1
                candidates[number], candidate_ranks[number] = &attribute.value, key.session_rank
                candidate_count += 1
            if key.number >= 0 and key.number_rank < ranks[key.number]:
                usable.has = False
                if self._read_number(key, &attribute.value, &usable) == RARE:
                    return RARE
                if usable.has:
                    spot.numbers[key.number], ranks[key.number] = usable, key.number_rank
            if key.text and attribute.value.type != NO_VALUE:
                text = &spot.texts[key.text - 1]
                if attribute.value.type != STRING_VALUE:
                    spot.is_odd = True
                elif attribute.value.content.size and (text.key is NULL or key.text_rank < text.rank):
                    text.key, text.rank = key, key.text_rank
                    text.content, text.raw = attribute.value.content, attribute.value.raw
        spot.session, spot.source = NULL, 0
        for number in range(candidate_count):
            found[found_count] = self.meanings.candidate(spot.resource, candidate_ranks[number], candidates[number])
            if found[found_count] is NULL:
                return RARE
            found_count += 1
            if found[found_count - 1].session is not NULL:
                break
        if not found_count or found[found_count - 1].session is NULL:
            found[found_count] = &spot.resource.own
            found_count += 1
        # Nothing below makes it rare.
        for place in range(found_count):
            for note in range(found[place].note_count):
                self.notes[found[place].notes[note]] += 1
        if found[found_count - 1].session is not NULL:
            spot.session, spot.source = found[found_count - 1].session, found[found_count - 1].source + 1
        spot.who = self.meanings.who(spot.resource, self.of_who, self.who_keys, who_count)
        self.notes[N_CUT] += spot.who.is_cut
        spot.what = self.meanings.what(spot.resource, self.of_what, what_count)
        spot.is_tool = spot.what.kind == KIND_TOOL
        if self.attributes.count > MOST_ATTRIBUTES:
            self.notes[N_MANY] += 1
        if spot.parent_id is NULL and fields.parent_id.size and fields.parent_id.size != SPAN_ID_SIZE:
            self.notes[N_PARENT] += 1
        self._read_times(spot, fields.start, fields.end)
        self._read_call(spot, ranks)
        if spot.numbers[FIRST_TOKEN].has:
            if ranks[FIRST_TOKEN] in MOMENTS:
                spot.numbers[FIRST_TOKEN].value -= spot.start
            spot.numbers[FIRST_TOKEN].has = spot.numbers[FIRST_TOKEN].value >= 0
        self._read_texts(spot, fields)
        return READ

    cdef int _read_times(self, Spot* spot, uint64_t start, uint64_t end) except -1:
        if EARLIEST <= start <= end and end <= <uint64_t>INT64_MAX and <int64_t>end <= self.record_time + self.max_future:
            spot.start, spot.end = <int64_t>start, <int64_t>end
            return 0
        spot.start, spot.end, notes = correct(start, end, self.record_time, self.max_future)
        for note in notes:
            self.notes[<int>_NOTES.index(note)] += 1
        return 0

    cdef int _read_texts(self, Spot* spot, SpanFields* fields) except -1:
        """Its name, error, and as a root its input and output."""
        cdef Slice whole[2]
        cdef bint has_nul = _has_nul(fields.name)
        spot.name.data, spot.name.size = fields.name.data, wire_cut(fields.name.data, fields.name.size, MOST_NAME)
        spot.error.data, spot.error.size = fields.status_message.data, 0
        if spot.is_error:
            spot.error.size = wire_cut(spot.error.data, fields.status_message.size, self.preview)
        spot.shown[IN].size = spot.shown[OUT].size = 0
        if spot.parent_id is NULL:
            self._find_texts(spot, whole)
            self._show(spot, IN, whole[IN])
            self._show(spot, OUT, whole[OUT])
            has_nul = has_nul or _has_nul(whole[IN]) or _has_nul(whole[OUT])
        self.notes[N_NUL] += has_nul
        return 0

    cdef int _find_texts(self, Spot* spot, Slice* whole) except -1:
        """The input and the output that a span names, in full; of no bytes where it names none."""
        cdef int side
        cdef Text* text
        if spot.is_odd or (spot.has_index and (spot.texts[IN].key is NULL or spot.texts[OUT].key is NULL)):
            found = texts_of(Span.FromString(spot.raw.data[:spot.raw.size]), self.meanings.plans.texts)
            whole[IN], whole[OUT] = self._encoded(found[IN]), self._encoded(found[OUT])
            return 0
        for side in range(2):
            text = &spot.texts[side]
            if text.key is NULL:
                whole[side].data, whole[side].size = spot.raw.data, 0
            elif text.key.is_plain_text:
                whole[side] = text.content
            else:
                whole[side] = self._encoded(
                    (<object>text.key.read_text)(AnyValue.FromString(text.raw.data[:text.raw.size])) or ""
                )
        return 0

    cdef int _show(self, Spot* spot, int side, Slice whole) except -1:
        spot.shown[side].data, spot.shown[side].size = whole.data, wire_cut(whole.data, whole.size, self.preview)
        return 0

    cdef Slice _encoded(self, str text):
        """Its bytes, which live as long as the record is scanned."""
        cdef Slice slice
        cdef bytes encoded = text.encode()
        self.packed.append(encoded)
        slice.data, slice.size = encoded, len(encoded)
        return slice

    # What a model call used and cost: `numbers.py`, `model_call.py`

    cdef int _read_number(self, Key* key, const Value* value, Number* found) except -2:
        cdef int64_t whole = <int64_t>value.bits
        cdef double real
        cdef int places, digits, outcome
        if value.type == NO_VALUE or (value.type == BOOL_VALUE and key.reading != AS_PYTHON):
            return READ
        if key.reading == AS_PYTHON or value.type not in (INT_VALUE, DOUBLE_VALUE):
            return self._read_number_in_python(key, value, found)
        if key.reading == AS_COUNT:
            if value.type == DOUBLE_VALUE:
                memcpy(&real, &value.bits, sizeof(real))
                if not 0 <= real <= <double>MOST_TOKENS or floor(real) != real:
                    return READ
                whole = <int64_t>real
            found.has, found.value = 0 <= whole <= MOST_TOKENS, whole
            return READ
        digits = 12 if key.reading == AS_MILLISECONDS else 9
        places = 12 if key.reading == AS_MONEY else 9 if key.reading == AS_SECONDS else 6
        if value.type == DOUBLE_VALUE:
            memcpy(&real, &value.bits, sizeof(real))
            outcome = scaled(real, places, digits, key.reading == AS_MONEY, &found.value)
            found.has = outcome == DECIMAL_FOUND
            return RARE if outcome == DECIMAL_LARGE else READ
        if whole < 0 or whole >= POWERS[digits]:
            return READ
        if whole >= POWERS[18 - places]:
            return RARE
        found.has, found.value = True, whole * POWERS[places]
        return READ

    cdef int _read_number_in_python(self, Key* key, const Value* value, Number* found) except -2:
        read = (<object>key.read_number)(AnyValue.FromString(value.raw.data[:value.raw.size]))
        if read is None:
            return READ
        if not -LARGE < read < LARGE:
            return RARE
        found.has, found.value = True, read
        return READ

    cdef int _read_call(self, Spot* spot, int16_t* ranks) except -1:
        cdef Number* numbers = spot.numbers
        cdef What* what = spot.what
        cdef Number named, stated
        cdef int64_t cached
        spot.costs = NONE
        spot.has_call = what.kind == KIND_MODEL_CALL or (
            what.kind == KIND_NONE
            and what.has_model
            and (numbers[PROMPT].has or numbers[COMPLETION].has or numbers[TOTAL].has)
        )
        if not spot.has_call:
            return 0
        if _amount(numbers[CACHE_READ]) or _amount(numbers[CACHE_WRITE]) or _amount(numbers[REASONING]):
            named = _sum(numbers[PROMPT], numbers[COMPLETION])
            cached = _amount(numbers[CACHE_READ]) + _amount(numbers[CACHE_WRITE])
            if numbers[PROMPT].has and cached and (
                numbers[PROMPT].value < cached
                or (spot.resource.is_cache_apart and what.is_claude)
                or ranks[PROMPT] in CACHED_APART
            ):
                numbers[PROMPT].value += cached
            if numbers[COMPLETION].has and ranks[COMPLETION] == REASONING_APART:
                numbers[COMPLETION].value += _amount(numbers[REASONING])
            if numbers[TOTAL].has == named.has and (not named.has or numbers[TOTAL].value == named.value):
                numbers[TOTAL] = _sum(numbers[PROMPT], numbers[COMPLETION])
        stated = numbers[TOTAL_COST]
        if not stated.has or (ranks[TOTAL_COST] and (ranks[PROMPT_COST] == 0 or ranks[COMPLETION_COST] == 0)):
            stated = numbers[TOTAL_COST] = _sum(numbers[PROMPT_COST], numbers[COMPLETION_COST])
        if stated.has:
            self.calls[self.by_span] += 1
        else:
            self._price(spot)
        if not numbers[TOTAL].has:
            numbers[TOTAL] = _sum(numbers[PROMPT], numbers[COMPLETION])
        return 0

    cdef int _price(self, Spot* spot) except -1:
        """By the price book: the span states no cost."""
        cdef Tariff* tariff = spot.what.tariff
        cdef int place, model
        if tariff is NULL:
            tariff = self.meanings.tariff(spot.what)
        place = tariff_cost(tariff, spot.numbers, spot.start, &spot.numbers[PROMPT_COST])
        if place >= 0:
            self.calls[place] += 1
            return 0
        model = self.meanings.count_unpriced(spot.what) if place == TARIFF_UNPRICED else NONE
        if model == NONE:
            return self._price_in_python(spot)
        self.calls[self.by_nothing] += 1
        self.calls[model] += 1
        return 0

    cdef int _price_in_python(self, Spot* spot) except -1:
        cdef int place
        usage = Usage(*[_as_object(spot.numbers[place]) for place in range(PROMPT, PROMPT_COST)])
        cost = self.rules.prices.cost(
            NO_COST, usage, <object>spot.what.model, <object>spot.what.provider, spot.start, self.counts
        )
        for place in range(3):
            part = cost[place]
            spot.numbers[PROMPT_COST + place].has = part is not None
            if part is not None:
                if not -LARGE < part < LARGE:
                    spot.costs = <int32_t>len(self.packed)
                    self.packed.append(b"".join(map(pack, cost)))
                    return 0
                spot.numbers[PROMPT_COST + place].value = part
        return 0

    # What the spans of a record say together

    cdef int _finish(self) except -1:
        cdef int place
        self._link_traces()
        self._show_texts_below()
        self._group()
        self._write_groups()
        self._write_bindings()
        self._write_waiting()
        self.latest_end = self.latest if self.has_latest else None
        self.all_records += 1
        self.all_invalid += self.invalid
        for place in range(NOTES):
            self.all_notes[place] += self.notes[place]
        for place in range(len(self.meanings.counts)):
            self.all_calls[place] += self.calls[place]
        if self.counts:
            self.all_counts.update(self.counts)
        if self.reader is not None:
            self.all_counts.update(self.reader.counts)
            for note, number in self.reader.notes.items():
                self.all_notes[<int>_NOTES.index(note)] += number
        return 0

    cdef int _link_traces(self) except -1:
        """Every span to its trace, every trace to the session that its first span that has one names."""
        cdef size_t place
        cdef Spot* spot
        cdef Trace* trace
        self._room_for_links()
        self.first_bound = self.last_bound = NONE
        for place in range(self.spot_count):
            spot = self.spots + place
            spot.trace = self._trace(spot.trace_id, True)
            trace = self.traces + spot.trace
            if spot.session is not NULL and trace.session is NULL:
                trace.session = spot.session
                trace.next = NONE
                if self.last_bound == NONE:
                    self.first_bound = spot.trace
                else:
                    self.traces[self.last_bound].next = spot.trace
                self.last_bound = spot.trace
        return 0

    cdef int32_t _trace(self, const uint8_t* id, bint adds) noexcept:
        """The place of a trace; NONE where it is not there and not to be added."""
        cdef size_t at = memo_hash(id, TRACE_ID_SIZE, self.meanings.seed) & (self.slot_room - 1)
        cdef Trace* trace
        while self.slots[at] != NONE:
            if not memcmp(self.traces[self.slots[at]].id, id, TRACE_ID_SIZE):
                return self.slots[at]
            at = (at + 1) & (self.slot_room - 1)
        if not adds:
            return NONE
        self.slots[at] = self.trace_count
        trace = self.traces + self.trace_count
        trace.id = id
        trace.session = NULL
        trace.turns = NONE
        trace.has_root = trace.has_child = trace.has_other = False
        self.trace_count += 1
        return self.trace_count - 1

    cdef int _show_texts_below(self) except -1:
        """Where a turn's roots in this record have no text, one of its other spans brings it (`turn_texts.py`)."""
        cdef int32_t place
        cdef Spot* spot
        cdef Turn* turn
        for place in range(<int32_t>self.spot_count):
            spot = self.spots + place
            turn = self._turn(spot)
            if spot.parent_id is NULL:
                turn.shows[IN] = turn.shows[IN] or spot.shown[IN].size
                turn.shows[OUT] = turn.shows[OUT] or spot.shown[OUT].size
            elif not spot.is_tool:
                spot.sibling = turn.below
                turn.below = place
        for place in range(self.turn_count):
            turn = self.turns + place
            if turn.below != NONE:
                if not turn.shows[IN]:
                    self._show_below(turn, IN)
                if not turn.shows[OUT]:
                    self._show_below(turn, OUT)
        return 0

    cdef Turn* _turn(self, Spot* spot) noexcept:
        cdef Trace* trace = self.traces + spot.trace
        cdef Session* session = spot.session if spot.session is not NULL else trace.session
        cdef int32_t place = trace.turns
        cdef Turn* turn
        while place != NONE:
            if self.turns[place].session == session:
                return self.turns + place
            place = self.turns[place].next
        turn = self.turns + self.turn_count
        turn.session = session
        turn.next = trace.turns
        turn.below = NONE
        turn.shows[IN] = turn.shows[OUT] = False
        trace.turns = self.turn_count
        self.turn_count += 1
        return turn

    cdef int _show_below(self, Turn* turn, int side) except -1:
        """The input of the span that began first, the output of the one that ended last, of those that have any."""
        cdef int32_t best = NONE, place = turn.below
        cdef bint by_input = side == OUT and not turn.shows[IN]  # then equal ones are in the order of their start
        cdef Spot* spot
        while place != NONE:
            spot = self.spots + place
            if spot.is_odd or spot.has_index or spot.texts[side].key is not NULL:
                if best == NONE or self._is_before(place, best, side, by_input):
                    best = place
            place = spot.sibling
        if best == NONE or self._shows(best, side):
            return 0
        places = []
        place = turn.below
        while place != NONE:
            places.append(place)
            place = self.spots[place].sibling
        places.sort()
        if side == IN or by_input:
            places.sort(key=lambda at: self._order(at, IN))
        if side == OUT:
            places.sort(key=lambda at: self._order(at, OUT), reverse=True)
        for place in places:
            if self._shows(place, side):
                break
        return 0

    cdef bint _is_before(self, int32_t one, int32_t other, int side, bint by_input) noexcept:
        cdef Spot* a = self.spots + one
        cdef Spot* b = self.spots + other
        cdef int order = memcmp(a.span_id, b.span_id, SPAN_ID_SIZE)
        if side == IN:
            if a.start != b.start:
                return a.start < b.start
            return order < 0 if order else one < other
        if a.end != b.end:
            return a.end > b.end
        if order:
            return order > 0
        return a.start < b.start if by_input and a.start != b.start else one < other

    cdef object _order(self, int32_t place, int side):
        cdef Spot* spot = self.spots + place
        return spot.start if side == IN else spot.end, spot.span_id[:SPAN_ID_SIZE]

    cdef bint _shows(self, int32_t place, int side) except -1:
        """Whether the span has such a text, which it brings then."""
        cdef Spot* spot = self.spots + place
        cdef Slice whole[2]
        self._find_texts(spot, whole)
        if not whole[side].size:
            return False
        self._show(spot, side, whole[side])
        if spot.facts != NONE:
            facts, previous = self.facts[spot.facts]
            text = spot.shown[side].data[:spot.shown[side].size].decode()
            facts = replace(facts, input=text) if side == IN else replace(facts, output=text)
            self.facts[spot.facts] = facts, previous
        return True

    cdef int _group(self) except -1:
        """Spans by session, in order of first appearance, or to those that wait."""
        cdef int32_t place, trace
        cdef Spot* spot
        for place in range(<int32_t>self.spot_count):
            spot = self.spots + place
            spot.of = spot.session
            if spot.of is NULL:
                trace = spot.trace
                if spot.facts != NONE:
                    trace = self._trace_of_facts(spot)
                if trace != NONE:
                    spot.of = self.traces[trace].session
                if spot.of is NULL:
                    if self.resolves:
                        self.all_waiting += 1
                    else:
                        self.all_without += 1
                    continue
                self.all_sources[0] += 1
            else:
                self.all_sources[spot.source] += 1
            self._append(spot.of, place)
            if spot.facts != NONE:
                self._end(spot)
        return 0

    cdef int32_t _trace_of_facts(self, Spot* spot) except -2:
        """The trace whose session a span takes over that Python read."""
        cdef bytes trace_id = self.facts[spot.facts][0].session_trace
        return self._trace(trace_id, False) if len(trace_id) == TRACE_ID_SIZE else NONE

    cdef int _end(self, Spot* spot) except -1:
        """What a span says of the end of another session."""
        cdef Session* ended
        facts, previous = self.facts[spot.facts]
        if previous is None:
            return 0
        ended = self.meanings.session_of((<object>spot.resource.view).project, previous)
        if ended != spot.of:
            self.ends.append([SessionEnd(facts.start, facts.trace_id, facts.span_id), NONE])
            self._append(ended, -1 - <int32_t>len(self.ends))
        return 0

    cdef int _append(self, Session* session, int32_t item) except -1:
        """A spot to its group, or an end: those are below NONE."""
        cdef Group* group
        self._touch(session)
        if session.group == NONE:
            session.group = self.group_count
            self.group_count += 1
            group = self.groups + session.group
            group.session = session
            group.first = item
        else:
            group = self.groups + session.group
            if group.last >= 0:
                self.spots[group.last].next = item
            else:
                self.ends[-2 - group.last][1] = item
        group.last = item
        if item >= 0:
            self.spots[item].next = NONE
        return 0

    cdef int _touch(self, Session* session) noexcept:
        if session.scan != self.number:
            session.scan = self.number
            session.group = session.binding = NONE
        return 0

    # From spots to chunks

    cdef int _write_groups(self) except -1:
        cdef int32_t place, item
        cdef Group* group
        cdef SpanChunks chunks
        cdef Slice names
        cdef bint is_open, is_full
        cdef Py_ssize_t count = len(self.session_spans)
        for place in range(self.group_count):
            group = self.groups + place
            chunks = self.session_spans[group.session.hash % <uint64_t>count]
            names = group.session.names
            is_open = False
            item = group.first
            while item != NONE:
                if not is_open:
                    chunks.begin_group(names.data, names.size, self.record_time)
                    is_open = True
                if item >= 0:
                    is_full = self._write(chunks, self.spots + item)
                    item = self.spots[item].next
                else:
                    end, after = self.ends[-2 - item]
                    is_full = self._write_packed(chunks, pack(pack_item(end, {})))
                    item = after
                if is_full:
                    chunks.end_group()
                    chunks.cut()
                    is_open = False
            if is_open:
                chunks.end_group()
        return 0

    cdef bint _write_packed(self, ItemChunks chunks, bytes item) except -1:
        chunks.begin_item(0)
        append(&chunks.groups, item, len(item))
        return chunks.end_item()

    cdef bint _write(self, ItemChunks chunks, Spot* spot) except -1:
        """One span as an item. Whether the record is full now."""
        cdef uint8_t* at
        cdef int number
        cdef bytes model, provider, tool = None
        cdef size_t most = ITEM_BYTES + spot.name.size + spot.error.size + spot.shown[IN].size + spot.shown[OUT].size
        cdef bint has_tool
        cdef Py_ssize_t place
        if spot.facts != NONE:
            facts = self.facts[spot.facts][0]
            place = chunks.place_of(pack(pack_dimensions(facts.dimensions)))
            return self._write_packed(chunks, pack(pack_item(facts, {facts.dimensions: place})))
        place = chunks.place_of(<bytes>spot.who.dimensions)
        has_tool = spot.is_tool and (spot.what.packed_tool is not NULL or spot.name.size)
        if has_tool:
            most += spot.name.size
            if spot.what.packed_tool is not NULL:
                tool = <bytes>spot.what.packed_tool
                most += len(tool)
        if spot.has_call:
            model, provider = <bytes>spot.what.packed_model, <bytes>spot.what.packed_provider
            most += len(model) + len(provider)
            if spot.costs != NONE:
                most += len(<bytes>self.packed[spot.costs])
        chunks.begin_item(most)
        at = put_array(chunks.groups.data + chunks.groups.size, 16 if has_tool else 14)
        at = put_bytes(at, spot.trace_id, TRACE_ID_SIZE)
        at = put_bytes(at, spot.span_id, SPAN_ID_SIZE)
        at = put_bytes(at, spot.parent_id, SPAN_ID_SIZE) if spot.parent_id is not NULL else put_bytes(at, spot.span_id, 0)
        at = put_int(at, spot.start)
        at = put_int(at, spot.end - spot.start)
        at = put_text(at, spot.name.data, spot.name.size)
        at = put_int(at, spot.is_error * ERROR_FLAG + spot.is_tool * TOOL_FLAG)
        at = put_int(at, place)
        if not spot.has_call:
            at = put_none(at)
        else:
            at = put_raw(put_array(at, 11), model, len(model))
            for number in range(PROMPT, PROMPT_COST if spot.costs != NONE else FIRST_TOKEN):
                at = put_int(at, spot.numbers[number].value) if spot.numbers[number].has else put_none(at)
            if spot.costs != NONE:
                at = put_raw(at, <bytes>self.packed[spot.costs], len(<bytes>self.packed[spot.costs]))
            at = put_raw(at, provider, len(provider))
        at = put_text(at, spot.shown[IN].data, spot.shown[IN].size)
        at = put_text(at, spot.shown[OUT].data, spot.shown[OUT].size)
        at = put_text(at, spot.error.data, spot.error.size)
        at = put_int(at, spot.numbers[FIRST_TOKEN].value) if spot.numbers[FIRST_TOKEN].has else put_none(at)
        at = put_array(at, 0)
        if has_tool:
            at = put_raw(at, tool, len(tool)) if tool is not None else put_text(at, spot.name.data, spot.name.size)
            at = put_array(at, 0)
        chunks.groups.size = at - chunks.groups.data
        return chunks.end_item()

    cdef int _write_bindings(self) except -1:
        """Which trace is of which session, as far as others must know it."""
        cdef int32_t trace = self.first_bound, place
        cdef uint32_t count = <uint32_t>len(self.trace_spans)
        cdef Binding* binding
        cdef TraceChunks chunks
        cdef Slice names
        cdef bint is_open
        if not self.resolves or not count:
            return 0
        if self.binds_only_missing:
            self._mark_others()
        while trace != NONE:
            if not self.binds_only_missing or not self._is_whole(self.traces + trace):
                self._bind(trace, crc32(self.traces[trace].id) % count)
            trace = self.traces[trace].next
        for place in range(self.binding_count):
            binding = self.bindings + place
            chunks = self.trace_spans[binding.target]
            names = binding.session.names
            is_open = False
            trace = binding.first
            while trace != NONE:
                if not is_open:
                    chunks.begin_binding(names.data, names.size, self.record_time)
                    is_open = True
                if chunks.add_trace(self.traces[trace].id):
                    chunks.end_binding()
                    chunks.cut()
                    is_open = False
                trace = self.traces[trace].turns
            if is_open:
                chunks.end_binding()
        return 0

    cdef int _bind(self, int32_t trace, uint32_t target) noexcept:
        """A trace to its binding; from here on `turns` is the trace behind it there."""
        cdef Session* session = self.traces[trace].session
        cdef int32_t place
        cdef Binding* binding
        self._touch(session)
        self.traces[trace].turns = NONE
        place = session.binding
        while place != NONE:
            binding = self.bindings + place
            if binding.target == target:
                self.traces[binding.last].turns = trace
                binding.last = trace
                return 0
            place = binding.next
        binding = self.bindings + self.binding_count
        binding.session, binding.target = session, target
        binding.first = binding.last = trace
        binding.next = session.binding
        session.binding = self.binding_count
        self.binding_count += 1
        return 0

    cdef int _mark_others(self) except -1:
        """What `_RecordReader._marked_throughout` goes by."""
        cdef size_t place
        cdef Spot* spot
        cdef Trace* trace
        here = set()
        for place in range(self.spot_count):
            spot = self.spots + place
            here.add((spot.trace, spot.span_id[:SPAN_ID_SIZE]))
        for place in range(self.spot_count):
            spot = self.spots + place
            trace = self.traces + spot.trace
            if spot.parent_id is NULL:
                trace.has_root = True
            else:
                trace.has_child = True
            if spot.session is NULL or (
                spot.parent_id is not NULL and (spot.trace, spot.parent_id[:SPAN_ID_SIZE]) not in here
            ):
                trace.has_other = True
        return 0

    cdef bint _is_whole(self, const Trace* trace) noexcept:
        return trace.has_root and trace.has_child and not trace.has_other

    cdef int _write_waiting(self) except -1:
        """Spans whose trace names no session here, by partition of their trace and project."""
        cdef size_t place
        cdef Spot* spot
        cdef uint32_t count = <uint32_t>len(self.trace_spans)
        cdef TraceChunks chunks
        cdef bytes project
        cdef bint is_open
        if not self.resolves or not count:
            return 0
        groups = {}
        for place in range(self.spot_count):
            spot = self.spots + place
            if spot.of is NULL:
                if spot.facts == NONE:
                    target = crc32(spot.trace_id) % count
                else:
                    target = trace_partition(self.facts[spot.facts][0].session_trace, count)
                groups.setdefault((target, <bytes>spot.resource.packed_project), []).append(place)
        for (target, project), places in groups.items():
            chunks = self.trace_spans[target]
            is_open = False
            for place in places:
                spot = self.spots + place
                if not is_open:
                    chunks.begin_waiting(project, len(project), self.record_time)
                    is_open = True
                if spot.facts != NONE and self.facts[spot.facts][1]:
                    chunks.add_previous(self.facts[spot.facts][1])
                if self._write(chunks, spot):
                    chunks.end_waiting()
                    chunks.cut()
                    is_open = False
            if is_open:
                chunks.end_waiting()
        return 0

    # Memory

    cdef Spot* _new_spot(self) except NULL:
        """The next one; it counts when `spot_count` says so."""
        cdef Spot* spot
        cdef size_t room
        if self.spot_count == self.spot_room:
            room = 2 * self.spot_room + 64
            spot = <Spot*>realloc(self.spots, room * sizeof(Spot))
            if spot is NULL:
                raise MemoryError
            self.spots, self.spot_room = spot, room
        spot = self.spots + self.spot_count
        spot.facts = NONE
        return spot

    cdef int _room_for_attributes(self) except -1:
        if self.attributes.room > self.attribute_room:
            free(self.of_who)
            free(self.who_keys)
            free(self.of_what)
            self.attribute_room = 0
            self.who_keys = <Key**>malloc(self.attributes.room * sizeof(Key*))
            self.of_who = <Attribute**>malloc(self.attributes.room * sizeof(Attribute*))
            self.of_what = <Attribute**>malloc(self.attributes.room * sizeof(Attribute*))
            if self.of_who is NULL or self.who_keys is NULL or self.of_what is NULL:
                raise MemoryError
            self.attribute_room = self.attributes.room
        return 0

    cdef int _room_for_links(self) except -1:
        """Of traces, turns, bindings there are at most as many as spans; of groups one more for each end."""
        cdef size_t room = 64
        while room < 2 * self.spot_count:
            room *= 2
        if room > self.slot_room:
            self._free_links()
            free(self.slots)
            self.slot_room = 0
            self.slots = <int32_t*>malloc(room * sizeof(int32_t))
            self.traces = <Trace*>malloc(room * sizeof(Trace))
            self.turns = <Turn*>malloc(room * sizeof(Turn))
            self.groups = <Group*>malloc(room * sizeof(Group))
            self.bindings = <Binding*>malloc(room * sizeof(Binding))
            if not (self.slots and self.traces and self.turns and self.groups and self.bindings):
                raise MemoryError
            self.slot_room = room
        memset(self.slots, 0xFF, self.slot_room * sizeof(int32_t))
        return 0

    cdef int _free_links(self) noexcept:
        free(self.traces)
        free(self.turns)
        free(self.groups)
        free(self.bindings)
        self.traces = NULL
        self.turns = NULL
        self.groups = NULL
        self.bindings = NULL
        return 0

    cdef int _forget_record(self) except -1:
        """Begin anew; of a very large record the memory goes, too."""
        self.reader = None
        self.counts = Counter()
        self.facts = []
        self.packed = []
        self.ends = []
        memset(self.notes, 0, sizeof(self.notes))
        memset(self.calls, 0, len(self.meanings.counts) * sizeof(uint64_t))
        self.invalid = 0
        self.has_latest = False
        self.spot_count = 0
        self.trace_count = self.turn_count = self.group_count = self.binding_count = 0
        if self.spot_room > KEPT_SPOTS:
            free(self.spots)
            self.spots = NULL
            self.spot_room = 0
            self._free_links()
            free(self.slots)
            self.slots = NULL
            self.slot_room = 0
        return 0


cdef bint _is_id(Slice id, size_t size) noexcept:
    """Of this size, and not all zero."""
    cdef size_t place
    if id.size != size:
        return False
    for place in range(size):
        if id.data[place]:
            return True
    return False


cdef bint _is(Slice text, bytes other) noexcept:
    return text.size == <size_t>len(other) and not memcmp(text.data, <const char*>other, text.size)


cdef bint _has_nul(Slice text) noexcept:
    return text.size and memchr(text.data, 0, text.size) is not NULL


cdef int64_t _amount(Number number) noexcept:
    return number.value if number.has else 0


cdef Number _sum(Number one, Number other) noexcept:
    cdef Number both
    both.has = one.has or other.has
    both.value = _amount(one) + _amount(other)
    return both


cdef object _as_object(Number number):
    return number.value if number.has else None


cdef uint32_t CRC[256]


cdef int _make_crc() noexcept:
    cdef uint32_t place, value
    cdef int bit
    for place in range(256):
        value = place
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        CRC[place] = value
    return 0


_make_crc()


cdef uint32_t crc32(const uint8_t* trace_id) noexcept:
    """As `trace_partition` has it."""
    cdef uint32_t value = 0xFFFFFFFF
    cdef int place
    for place in range(TRACE_ID_SIZE):
        value = (value >> 8) ^ CRC[(value ^ trace_id[place]) & 0xFF]
    return ~value
