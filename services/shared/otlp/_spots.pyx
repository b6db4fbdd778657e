# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Reading of records of `otlp_spans`: from bytes to a `Spot` a span, which is what its facts come from.

The definition is Python: `span_reader.py` with `model_call.py`, `numbers.py`, `times.py` and `turn_texts.py`. What the
spans of a record say together, and what is written of them, is in `_scan.pyx`. Two things are declined:

- A whole record that is not surely a plain protobuf request (see `_wire.pxd`): `read` is DECLINED then.
- A single span that has something rare (annotations, explicit ends, members of JSON, `session.previous_id`): it is
  parsed alone and read by `SpanReader`; its spot says where its facts are.

What attributes mean is remembered by their bytes (`_meanings.pyx`), and what calls of a model cost (`_tariff.pxd`).
"""

from libc.math cimport floor
from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from services.shared.otlp._decimals cimport DECIMAL_FOUND, DECIMAL_LARGE, scaled
from services.shared.otlp._meanings cimport (
    AS_COUNT, AS_MILLISECONDS, AS_MONEY, AS_PYTHON, AS_SECONDS, KIND_MODEL_CALL, KIND_NONE, KIND_TOOL, OF_INDEX,
    OF_PYTHON, OF_WHAT, OF_WHO, Candidate, Key, Meanings, Resource, What
)
from services.shared.otlp._tariff cimport TARIFF_UNPRICED, Number, Tariff, tariff_cost
from services.shared.otlp._wire cimport (
    BOOL_VALUE, DOUBLE_VALUE, INT_VALUE, NO_VALUE, STRING_VALUE, Attribute, Slice, SpanFields, Value, check_event,
    read_slice, read_span, read_text, wire_cut
)

from collections import Counter

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.shared.model.outcome import Note
from services.shared.otlp import numbers, plan
from services.shared.otlp.annotations import EVALUATION_EVENT
from services.shared.otlp.model_call import WITHOUT_CACHED, WITHOUT_REASONING
from services.shared.otlp.pricing import BY_NOTHING, BY_SPAN, NO_COST, Usage
from services.shared.otlp.span_reader import MANY_ATTRIBUTES, MAX_NAME_LENGTH, SESSION_END, SpanReader
from services.shared.otlp.times import YEAR_2000, correct
from services.shared.otlp.turn_texts import texts_of
from services.shared.records.packed import pack

cdef size_t KEPT_SPOTS = 10_000  # between records

cdef uint64_t EARLIEST = YEAR_2000
cdef int64_t MOST_TOKENS = numbers.MAX_COUNT
cdef size_t MOST_ATTRIBUTES = MANY_ATTRIBUTES
cdef size_t MOST_NAME = MAX_NAME_LENGTH
cdef int ERROR_CODE = Status.STATUS_CODE_ERROR
cdef object LARGE = 1 << 62
cdef bytes ENDS = SESSION_END.encode()
cdef bytes EVALUATION = EVALUATION_EVENT.encode()

cdef enum:
    SESSION_CANDIDATES = 8
    UNSET = 1000

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


cdef class SpotReader:
    """Of one `Scanner`; its attributes are in `_spots.pxd`."""

    def __init__(self, rules):
        self.meanings = Meanings(rules)
        self.rules, self.max_future, self.preview = rules, rules.max_future, rules.preview_length
        self.by_span, self.by_nothing = self.meanings.count_of(BY_SPAN), self.meanings.count_of(BY_NOTHING)
        self.forget()

    def __dealloc__(self):
        free(self.attributes.items)
        free(self.events.items)
        free(self.links.items)
        free(self.of_who)
        free(self.who_keys)
        free(self.of_what)
        free(self.spots)

    cdef int read(self, const uint8_t* data, size_t size, int64_t record_time) except -2:
        """All spans of a record, behind a `forget`. READ or DECLINED."""
        if self.meanings.forget_if_full():
            self.first_key.next = NULL
        self.record_time = record_time
        return self._read_record(data, data + size)

    cdef int forget(self) except -1:
        """Begin anew; of a very large record the memory goes, too."""
        self.span_reader = None
        self.counts = Counter()
        self.facts = []
        self.packed = []
        memset(self.notes, 0, sizeof(self.notes))
        memset(self.calls, 0, len(self.meanings.counts) * sizeof(uint64_t))
        self.invalid = 0
        self.has_latest = False
        self.spot_count = 0
        if self.spot_room > KEPT_SPOTS:
            free(self.spots)
            self.spots = NULL
            self.spot_room = 0
        return 0

    # Records, resources, spans

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
        if self.span_reader is None:
            self.span_reader = SpanReader(self.record_time, self.rules)
        sourced, facts, previous = self.span_reader.read(
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
        cdef int64_t latest = self.record_time + self.max_future
        if EARLIEST <= start <= end and end <= <uint64_t>INT64_MAX and <int64_t>end <= latest:
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
            self.find_texts(spot, whole)
            self.show(spot, IN, whole[IN])
            self.show(spot, OUT, whole[OUT])
            has_nul = has_nul or _has_nul(whole[IN]) or _has_nul(whole[OUT])
        self.notes[N_NUL] += has_nul
        return 0

    cdef int find_texts(self, Spot* spot, Slice* whole) except -1:
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

    cdef int show(self, Spot* spot, int side, Slice whole) except -1:
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
