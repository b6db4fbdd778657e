# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The bound traces of one partition, compiled. The definition is `bindings.Bindings`, method by method and byte for byte.

What is read and written stays as it is in the changelog; what finds a trace in it is a table of 12 bytes a slot: the
segment, the place in it, and a part of the trace's hash. A record of `trace_spans` is read from its bytes; one that is
not as `trace_spans` writes it is left to `trace_spans.decode`, which reads or refuses it.

Order: the record's bytes, segments, then the class: recovery, content, segments, checkpoints, the table.
"""

from heapq import heappop, heappush

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcmp, memcpy

from services.shared.records._unpacked cimport Reader, Text, is_ascii, read_array, read_bytes, read_int, read_text

from services.sessionizer import resolve_state as state
from services.sessionizer.bindings import SEGMENT_BYTES, SLACK
from services.sessionizer.engine.watermark import NO_WATERMARK
from services.shared.model.session_key import SessionKey
from services.shared.records.arrivals import arrivals, decode_arrivals
from services.shared.records.trace_spans import TRACES_HEAD, TracesRecord, decode

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint32_t hash_of(const uint8_t *trace, uint64_t one, uint64_t other) {
        uint64_t high, low;
        memcpy(&high, trace, 8);
        memcpy(&low, trace + 8, 8);
        unsigned __int128 product = (unsigned __int128)(high ^ one) * (low ^ other);
        uint64_t mixed = (uint64_t)product ^ (uint64_t)(product >> 64);
        product = (unsigned __int128)(mixed ^ other) * 0x9E3779B97F4A7C15ULL;
        return (uint32_t)(((uint64_t)product ^ (uint64_t)(product >> 64)) >> 32);
    }
    """
    uint32_t hash_of(const uint8_t* trace, uint64_t one, uint64_t other) noexcept nogil

cdef enum:
    TRACE = 16
    BINDING = 28  # trace, since, place of its name
    HEAD = 6
    NAME_LENGTH = 2
    TOMBSTONE = 40  # about, for the backlog
    LARGEST_NAME = 65535
    LEAST_BITS = 6
    LARGEST_BITS = 31

cdef bytes _TRACES_HEAD = TRACES_HEAD
cdef bytes _EMPTY_SEGMENT = state.encode_segment((), b"")
cdef bytes _NONE_WAIT = b"\x90\x90"


# The record's bytes


cdef struct Group:
    Text project
    Text session
    Text traces
    int64_t time


cdef bint _read_group(Reader* reader, Group* group) noexcept nogil:
    """One binding group: project, session id, time, traces. False: left to the definition."""
    cdef size_t size
    return (
        read_array(reader, &size) and size == 4
        and read_text(reader, &group.project) and read_text(reader, &group.session)
        and group.project.size + group.session.size < LARGEST_NAME - 8
        and read_int(reader, &group.time)
        and read_bytes(reader, &group.traces) and group.traces.size % TRACE == 0
    )


cdef bint _are_readable(Reader reader):
    """Whether all groups can be read here. The reader stands before them."""
    cdef size_t count, number
    cdef Group group
    if not read_array(&reader, &count):
        return False
    for number in range(count):
        if not _read_group(&reader, &group) or not _is_text(&group.project) or not _is_text(&group.session):
            return False
    return True


cdef bint _is_text(Text* text):
    if is_ascii(text):
        return True
    try:
        _text(text)
    except UnicodeDecodeError:
        return False
    return True


cdef str _text(Text* text):
    return PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)


cdef bytes _name(Group* group):
    """`SessionKey.encode`."""
    cdef char head[24]
    cdef int size = snprintf(head, sizeof(head), "%zu:", group.project.size)
    cdef bytes name = PyBytes_FromStringAndSize(NULL, size + group.project.size + group.session.size)
    cdef char* at = PyBytes_AS_STRING(name)
    memcpy(at, head, size)
    memcpy(at + size, group.project.data, group.project.size)
    memcpy(at + size + group.project.size, group.session.data, group.session.size)
    return name


# Segments, and what finds a trace in them


cdef struct Slot:
    uint32_t segment  # its number; 0: the slot is free
    uint32_t place
    uint32_t hash


cdef inline int64_t _since_at(const uint8_t* binding) noexcept nogil:
    return <int64_t>_little_endian(binding + TRACE, 8)


cdef inline uint64_t _little_endian(const uint8_t* at, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int place
    for place in range(size):
        value |= <uint64_t>at[place] << (8 * place)
    return value


cdef inline void _put_little_endian(uint8_t* at, uint64_t value, int size) noexcept nogil:
    cdef int place
    for place in range(size):
        at[place] = <uint8_t>(value >> (8 * place))


cdef class _Segment:
    """`number` is its place among the table's segments, and tells it from all others."""

    cdef bytes key, data
    cdef uint32_t number, count, in_force, passed

    cdef const uint8_t* binding(self, uint32_t place) noexcept:
        return <const uint8_t*>PyBytes_AS_STRING(self.data) + HEAD + <size_t>place * BINDING


cdef struct Order:
    int64_t since
    uint32_t place


cdef int _compare(const void* one, const void* other) noexcept nogil:
    cdef const Order* first = <const Order*>one
    cdef const Order* second = <const Order*>other
    if first.since != second.since:
        return -1 if first.since < second.since else 1
    return -1 if first.place < second.place else 1


cdef class Bindings:
    """See `bindings.Bindings`."""

    cdef object _kept, _number, _unwritten
    cdef dict _segments, _changes
    cdef list _queue, _of_number, _free_numbers
    cdef int64_t _kept_in_segments, _slack
    cdef size_t _segment_bytes
    # The table
    cdef Slot* _slots
    cdef int _bits
    cdef size_t _used
    cdef uint64_t _one, _other
    cdef const uint8_t** _bindings_of  # by number
    cdef size_t _room_of
    # The open segment; its bindings have a number as those of the others have
    cdef uint8_t* _open
    cdef uint8_t* _names
    cdef size_t _open_room, _names_room, _names_size, _name_at
    cdef uint32_t _open_count, _open_number
    cdef int64_t _least

    def __cinit__(self, kept, *, size_t segment_bytes=SEGMENT_BYTES, int64_t slack=SLACK):
        self._kept, self._segment_bytes, self._slack = kept, segment_bytes, slack
        self._number = self._unwritten = 0
        self._segments, self._changes = {}, {}
        self._queue, self._of_number, self._free_numbers = [], [None], []
        self._one = <uint64_t>(hash("the one half of a trace id") & 0xFFFFFFFFFFFFFFFF)
        self._other = <uint64_t>(hash("the other half") & 0xFFFFFFFFFFFFFFFF)
        self._bits = LEAST_BITS
        self._slots = <Slot*>calloc(<size_t>1 << self._bits, sizeof(Slot))
        if self._slots is NULL:
            raise MemoryError
        self._open_number = self._new_number(None)

    def __dealloc__(self):
        free(self._slots)
        free(self._bindings_of)
        free(self._open)
        free(self._names)

    def __len__(self):
        return self._used

    @property
    def size(self):
        return self._unwritten + <size_t>self._open_count * BINDING + self._names_size

    # Recovery

    def load(self, bytes key not None, bytes data not None):
        bindings, names = state.decode_segment(key, data)
        cdef _Segment segment = _Segment()
        segment.key, segment.data = key, state.encode_segment(bindings, names)
        segment.count = len(bindings)
        self._segments[key] = segment

    def unload(self, bytes key not None):
        self._segments.pop(key, None)

    def loaded(self, watermark):
        cdef int64_t limit = self._limit(watermark)
        cdef _Segment segment, before
        cdef uint32_t place, hash_
        cdef const uint8_t* binding
        cdef Slot* slot
        for segment in self._segments.values():
            segment.number = self._new_number(segment)
            self._bindings_of[segment.number] = segment.binding(0)
            for place in range(segment.count):
                binding = segment.binding(place)
                if _since_at(binding) < limit:
                    segment.passed += 1
                    continue
                hash_ = hash_of(binding, self._one, self._other)
                slot = self._find(binding, hash_)
                if slot is not NULL:
                    before = self._of_number[slot.segment]
                    before.in_force -= 1
                    slot.segment, slot.place = segment.number, place
                else:
                    self._insert(segment.number, place, hash_)
                segment.in_force += 1
            self._kept_in_segments += segment.count - segment.passed
            number = state.segment_number(segment.key)
            if number is not None:
                self._number = max(self._number, number + 1)
        for segment in list(self._segments.values()):
            if segment.in_force:
                self._file(segment)
            else:
                self._drop(segment)

    def snapshot(self):
        cdef _Segment segment
        return [(segment.key, segment.data) for segment in self._segments.values()]

    # Content

    def take(self, bytes record not None, watermark, waits):
        cdef const uint8_t* begin = <const uint8_t*>PyBytes_AS_STRING(record)
        cdef Reader reader
        cdef list found = []
        reader.at, reader.end = begin + PyBytes_GET_SIZE(_TRACES_HEAD), begin + PyBytes_GET_SIZE(record)
        if not record.startswith(_TRACES_HEAD) or not _are_readable(reader):
            content = decode(record)
            assert isinstance(content, TracesRecord)
            for group in content.bindings:
                name = group.key.encode()
                for trace_id in group.traces:
                    self._take_one(trace_id, max(watermark, group.record_time), name, group.key, waits, found)
            return found, arrivals(content.waiting)
        self._take_all(&reader, watermark, waits if waits else None, found)
        rest = record[reader.at - begin:]
        return found, [] if rest == _NONE_WAIT else decode_arrivals(rest)

    cdef int _take_all(self, Reader* reader, int64_t watermark, object waits, list found) except -1:
        cdef Group group
        cdef size_t groups = 0, number, at
        cdef uint32_t hash_
        cdef int64_t time
        cdef const uint8_t* trace
        cdef bytes name, trace_id
        read_array(reader, &groups)
        for number in range(groups):
            _read_group(reader, &group)
            time = max(watermark, group.time)
            name = None
            for at in range(0, group.traces.size, TRACE):
                trace = group.traces.data + at
                if waits is not None:
                    trace_id = PyBytes_FromStringAndSize(<const char*>trace, TRACE)
                    if trace_id in waits:
                        found.append((trace_id, SessionKey(_text(&group.project), _text(&group.session)), time))
                        continue
                hash_ = hash_of(trace, self._one, self._other)
                if self._find(trace, hash_) is NULL:
                    if name is None:
                        name = _name(&group)
                    self._add(trace, hash_, time, <const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        return 0

    cdef int _take_one(self, bytes trace_id, time, bytes name, key, waits, list found) except -1:
        if trace_id in waits:
            found.append((trace_id, key, time))
        elif self._find_id(trace_id) is NULL:
            self._bind(trace_id, name, time)
        return 0

    def session(self, bytes trace_id not None):
        cdef Slot* slot = self._find_id(trace_id)
        return None if slot is NULL else SessionKey.decode(self._name_of(slot))

    def bind(self, bytes trace_id not None, key, time):
        assert self._find_id(trace_id) is NULL
        self._bind(trace_id, key.encode(), time)

    cdef int _bind(self, bytes trace_id, bytes name, int64_t time) except -1:
        cdef const uint8_t* trace = <const uint8_t*>PyBytes_AS_STRING(trace_id)
        if PyBytes_GET_SIZE(trace_id) != TRACE:
            raise ValueError("a trace id of another length")
        return self._add(
            trace, hash_of(trace, self._one, self._other), time,
            <const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
        )

    def use(self, bytes trace_id not None, int64_t time):
        cdef Slot* slot = self._find_id(trace_id)
        cdef const uint8_t* trace = <const uint8_t*>PyBytes_AS_STRING(trace_id)
        cdef _Segment segment
        cdef bytes name
        if slot is NULL:
            raise KeyError(trace_id)
        if time <= _since_at(self._bindings_of[slot.segment] + <size_t>slot.place * BINDING):
            return
        if slot.segment == self._open_number:
            _put_little_endian(self._open + <size_t>slot.place * BINDING + TRACE, <uint64_t>time, 8)
            return
        segment, name = self._of_number[slot.segment], self._name_of(slot)
        self._move(slot, trace, time, name)
        segment.in_force -= 1
        if not segment.in_force:
            self._drop(segment)

    def expire(self, watermark, uint32_t most):
        cdef int64_t limit = self._limit(watermark)
        if self._open_count and self._least < limit:
            self._seal()
        while most and self._queue and self._queue[0][0] < limit:
            segment = self._segments.get(heappop(self._queue)[1])
            if segment is not None:
                most -= self._pass(segment, limit, most)
        return most

    cdef uint32_t _pass(self, _Segment segment, int64_t limit, uint32_t most) except? 0xFFFFFFFF:
        """How many were looked at."""
        cdef uint32_t begin = segment.passed
        cdef uint32_t end = segment.count if segment.count - begin < most else begin + most
        cdef const uint8_t* binding
        cdef Slot* slot
        while segment.passed < end:
            binding = segment.binding(segment.passed)
            if _since_at(binding) >= limit:
                break
            slot = self._find(binding, hash_of(binding, self._one, self._other))
            if slot is not NULL and slot.segment == segment.number and slot.place == segment.passed:
                self._remove(slot)
                segment.in_force -= 1
            segment.passed += 1
            self._kept_in_segments -= 1
        if segment.in_force:
            self._file(segment)
        else:
            self._drop(segment)
        return segment.passed - begin

    cdef int64_t _limit(self, watermark) except? -1:
        if watermark == NO_WATERMARK:
            return INT64_MIN
        limit = watermark - self._kept
        return limit if limit > INT64_MIN else INT64_MIN

    cdef bytes _name_of(self, Slot* slot):
        cdef const uint8_t* names = self._names
        cdef const uint8_t* binding = self._bindings_of[slot.segment] + <size_t>slot.place * BINDING
        cdef _Segment segment
        if slot.segment != self._open_number:
            segment = self._of_number[slot.segment]
            names = segment.binding(segment.count)
        names += _little_endian(binding + TRACE + 8, 4)
        return PyBytes_FromStringAndSize(<const char*>names + NAME_LENGTH, _little_endian(names, NAME_LENGTH))

    # Segments

    cdef int _add(
        self, const uint8_t* trace, uint32_t hash_, int64_t since, const uint8_t* name, size_t size
    ) except -1:
        """Of a trace that the table does not have."""
        self._append(trace, since, name, size)
        return self._insert(self._open_number, self._open_count - 1, hash_)

    cdef int _move(self, Slot* slot, const uint8_t* trace, int64_t since, bytes name) except -1:
        """Of a trace that is in an older segment. The slot moves nowhere."""
        self._append(trace, since, <const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        slot.segment, slot.place = self._open_number, self._open_count - 1
        return 0

    cdef int _append(self, const uint8_t* trace, int64_t since, const uint8_t* name, size_t size) except -1:
        cdef uint8_t* binding
        if size > LARGEST_NAME:
            raise ValueError(f"a session's name of {size} bytes")
        if <size_t>self._open_count * BINDING + self._names_size >= self._segment_bytes:
            self._seal()
        if not self._names_size or not self._is_last(name, size):
            if self._names_room < self._names_size + NAME_LENGTH + size:
                self._names_room = 2 * self._names_room + NAME_LENGTH + size
                self._names = <uint8_t*>_grown(self._names, self._names_room)
            self._name_at = self._names_size
            _put_little_endian(self._names + self._name_at, size, NAME_LENGTH)
            memcpy(self._names + self._name_at + NAME_LENGTH, name, size)
            self._names_size += NAME_LENGTH + size
        if self._open_room < (<size_t>self._open_count + 1) * BINDING:
            self._open_room = 2 * self._open_room + 64 * BINDING
            self._open = <uint8_t*>_grown(self._open, self._open_room)
            self._bindings_of[self._open_number] = self._open
        binding = self._open + <size_t>self._open_count * BINDING
        memcpy(binding, trace, TRACE)
        _put_little_endian(binding + TRACE, <uint64_t>since, 8)
        _put_little_endian(binding + TRACE + 8, self._name_at, 4)
        if not self._open_count or since < self._least:
            self._least = since
        self._open_count += 1
        return 0

    cdef inline bint _is_last(self, const uint8_t* name, size_t size) noexcept:
        cdef const uint8_t* last = self._names + self._name_at
        return _little_endian(last, NAME_LENGTH) == size and memcmp(last + NAME_LENGTH, name, size) == 0

    cdef int _seal(self) except -1:
        cdef _Segment segment = _Segment()
        cdef size_t size = <size_t>self._open_count * BINDING
        cdef uint8_t* data
        segment.key, segment.count = state.segment_key(self._number), self._open_count
        segment.in_force = segment.count
        segment.data = PyBytes_FromStringAndSize(NULL, HEAD + size + self._names_size)
        data = <uint8_t*>PyBytes_AS_STRING(segment.data)
        memcpy(data, PyBytes_AS_STRING(_EMPTY_SEGMENT), HEAD)
        _put_little_endian(data + HEAD - 4, segment.count, 4)
        memcpy(data + HEAD + size, self._names, self._names_size)
        if self._is_sorted():
            # The segment takes the number over, so the table stays as it is.
            memcpy(data + HEAD, self._open, size)
            segment.number, self._open_number = self._open_number, self._new_number(None)
            self._bindings_of[self._open_number] = self._open
            self._of_number[segment.number] = segment
            self._bindings_of[segment.number] = data + HEAD
        else:
            segment.number = self._new_number(segment)
            self._bindings_of[segment.number] = data + HEAD
            self._sort(segment.number, data + HEAD)
        self._open_count, self._names_size = 0, 0
        self._segments[segment.key] = segment
        self._changes[segment.key] = segment.data
        self._unwritten += len(segment.data)
        self._kept_in_segments += segment.count
        self._number += 1
        self._file(segment)
        return 0

    cdef bint _is_sorted(self) noexcept:
        cdef const uint8_t* binding = self._open
        cdef uint32_t place
        for place in range(1, self._open_count):
            binding += BINDING
            if _since_at(binding) < _since_at(binding - BINDING):
                return False
        return True

    cdef int _sort(self, uint32_t number, uint8_t* to) except -1:
        """Write the open bindings by last use, as those of the segment with this number."""
        cdef Order* order = <Order*>_grown(NULL, self._open_count * sizeof(Order))
        cdef uint32_t place
        cdef const uint8_t* binding
        cdef Slot* slot
        for place in range(self._open_count):
            order[place].since, order[place].place = _since_at(self._open + <size_t>place * BINDING), place
        qsort(order, self._open_count, sizeof(Order), _compare)
        for place in range(self._open_count):
            memcpy(to + <size_t>place * BINDING, self._open + <size_t>order[place].place * BINDING, BINDING)
        for place in range(self._open_count):
            binding = to + <size_t>place * BINDING
            slot = self._find(binding, hash_of(binding, self._one, self._other))
            slot.segment, slot.place = number, place
        free(order)
        return 0

    cdef int _file(self, _Segment segment) except -1:
        heappush(self._queue, (_since_at(segment.binding(segment.passed)), segment.key))
        return 0

    cdef int _drop(self, _Segment segment) except -1:
        self._kept_in_segments -= segment.count - segment.passed
        del self._segments[segment.key]
        self._of_number[segment.number] = None
        self._bindings_of[segment.number] = NULL
        self._free_numbers.append(segment.number)
        if self._changes.pop(segment.key, None) is None:
            self._changes[segment.key] = None
            self._unwritten += TOMBSTONE
        return 0

    cdef uint32_t _new_number(self, segment) except 0:
        cdef uint32_t number
        if self._free_numbers:
            number = self._free_numbers.pop()
            self._of_number[number] = segment
            return number
        number = len(self._of_number)
        self._of_number.append(segment)
        if self._room_of <= number:
            self._room_of = 2 * self._room_of + 64
            self._bindings_of = <const uint8_t**>_grown(self._bindings_of, self._room_of * sizeof(uint8_t*))
        return number

    # Checkpoints

    def store(self):
        self._tidy()
        if self._open_count:
            self._seal()
        changes, self._changes, self._unwritten = self._changes, {}, 0
        return list(changes.items())

    cdef int _tidy(self) except -1:
        cdef int64_t room = self._open_count + self._slack
        cdef _Segment segment
        cdef uint32_t place
        cdef const uint8_t* binding
        cdef Slot* slot
        while room > 0 and self._kept_in_segments > 2 * <int64_t>self._used + self._slack:
            segment = next(iter(self._segments.values()))
            room -= segment.count
            for place in range(segment.passed, segment.count):
                binding = segment.binding(place)
                slot = self._find(binding, hash_of(binding, self._one, self._other))
                if slot is not NULL and slot.segment == segment.number and slot.place == place:
                    self._move(slot, binding, _since_at(binding), self._name_of(slot))
            self._drop(segment)
        return 0

    # The table: open addressing, where a slot is looked for from its hash's place on

    cdef inline Slot* _find(self, const uint8_t* trace, uint32_t hash_) noexcept:
        """NULL: the trace is not bound."""
        cdef size_t last = (<size_t>1 << self._bits) - 1
        cdef size_t at = hash_ >> (32 - self._bits)
        cdef Slot* slot = &self._slots[at]
        while slot.segment:
            if slot.hash == hash_:
                if memcmp(self._bindings_of[slot.segment] + <size_t>slot.place * BINDING, trace, TRACE) == 0:
                    return slot
            at = (at + 1) & last
            slot = &self._slots[at]
        return NULL

    cdef Slot* _find_id(self, bytes trace_id):
        cdef const uint8_t* trace = <const uint8_t*>PyBytes_AS_STRING(trace_id)
        if PyBytes_GET_SIZE(trace_id) != TRACE:
            return NULL
        return self._find(trace, hash_of(trace, self._one, self._other))

    cdef int _insert(self, uint32_t number, uint32_t place, uint32_t hash_) except -1:
        if self._used * 10 >= (<size_t>7 << self._bits) and self._bits < LARGEST_BITS:
            self._grow()
        self._put(number, place, hash_)
        self._used += 1
        return 0

    cdef inline void _put(self, uint32_t number, uint32_t place, uint32_t hash_) noexcept:
        cdef size_t last = (<size_t>1 << self._bits) - 1
        cdef size_t at = hash_ >> (32 - self._bits)
        while self._slots[at].segment:
            at = (at + 1) & last
        self._slots[at].segment, self._slots[at].place, self._slots[at].hash = number, place, hash_

    cdef int _grow(self) except -1:
        """Twice as large. From first to last slot: both tables are passed through once, in their order."""
        cdef Slot* before = self._slots
        cdef size_t slots = <size_t>1 << self._bits
        cdef size_t at
        cdef Slot* after = <Slot*>calloc(2 * slots, sizeof(Slot))
        if after is NULL:
            raise MemoryError
        self._slots = after
        self._bits += 1
        for at in range(slots):
            if before[at].segment:
                self._put(before[at].segment, before[at].place, before[at].hash)
        free(before)
        return 0

    cdef void _remove(self, Slot* slot) noexcept:
        """Those behind it move up, as far as they were looked for from there or before."""
        cdef size_t last = (<size_t>1 << self._bits) - 1
        cdef size_t free_at = slot - self._slots
        cdef size_t at = free_at
        cdef size_t home
        while True:
            at = (at + 1) & last
            if not self._slots[at].segment:
                break
            home = self._slots[at].hash >> (32 - self._bits)
            if (at - home) & last >= (at - free_at) & last:
                self._slots[free_at] = self._slots[at]
                free_at = at
        self._slots[free_at].segment = 0
        self._used -= 1


cdef void* _grown(void* data, size_t size) except NULL:
    cdef void* grown = realloc(data, size)
    if grown is NULL:
        raise MemoryError
    return grown

