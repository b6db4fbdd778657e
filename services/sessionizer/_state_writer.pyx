# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Heads, pages and sets of format 4 as bytes, straight from the engine's typed objects.

The definition is `state_writer.py`, which this equals byte for byte, method by method. It gives None, and leaves the
record to the definition, where a number has more than 64 bits or an id has another length than ids have.

    encode_head(window, deadline, whole), encode_page(page), encode_set(spans)
      └─ Record             one record: its bytes (`shared/_native.pxd`), the names and dimensions written so far
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Next
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

cimport cython

from services.sessionizer._state_fields cimport (
    ENTRY, HAS_FIRST_TOKEN, HAS_MODEL, HAS_ROOT, MANY, MODEL, NEVER, PLAIN, ROOT, SETTLED, SPAN_BYTES, TEXT, TOOL,
    TRACE_BYTES, TWIN_BYTES, UNSETTLED, Kind,
)
from services.sessionizer.engine._json_size cimport json_size
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.turn_store cimport TurnStore
from services.sessionizer.engine.usage cimport ModelSums, Sums
from services.sessionizer.engine.who cimport Who
from services.sessionizer.engine.window cimport Window
from services.shared._native cimport Buffer, put_byte, put_bytes, put_size, release, reserve

from services.shared.model.rollup import CloseReason


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef enum:
    LENGTH_BYTES = 4
    USUAL_BYTES = 8 << 10  # of a window in one record, at most: to grow means to copy

cdef object _max_spans = CloseReason.MAX_SPANS, _max_duration = CloseReason.MAX_DURATION, _not_sealed = CloseReason.NONE

cdef dict _no_sizes = {}


class Declined(Exception):
    """The definition is to write this record."""


def encode_head(Window window not None, long long deadline, bint whole):
    """See `state.encode_head`."""
    cdef Record record = Record()
    cdef uint64_t due = <uint64_t> deadline
    cdef int flags = (not window.is_closed) | (window.version != window.emitted) << 1 | whole << 2
    cdef int shift
    flags |= window.is_late << 3 | (window.ended_at is not None) << 4
    try:
        reserve(&record.out, USUAL_BYTES if whole else 2048)
        put_byte(&record.out, 4)
        put_byte(&record.out, <uint8_t> flags)
        for shift in range(56, -1, -8):
            put_byte(&record.out, <uint8_t> (due >> shift))
        record.window(window, whole)
    except Declined:
        return None
    return record.bytes()


def encode_page(dict page not None):
    """See `state.encode_page`."""
    cdef Record record = Record()
    cdef Turn turn
    cdef int64_t start = 0, version = 0
    for turn in page.values():
        start, version = turn.start, turn.version
        break
    try:
        put_byte(&record.out, 4)
        record.number(start)
        record.number(version)
        record.page(page, start, version)
    except Declined:
        return None
    return record.bytes()


def encode_set(SpanSet spans not None):
    """See `state.encode_set`."""
    cdef Record record = Record()
    try:
        put_byte(&record.out, 4)
        record.spans(spans)
    except Declined:
        return None
    return record.bytes()


@cython.final
@cython.freelist(4)
cdef class Record:
    cdef Buffer out
    cdef dict names
    cdef list said, turns
    cdef tuple writer
    cdef const char* call  # the one before, in the set that it is in
    cdef Py_ssize_t call_size

    def __cinit__(self):
        self.names, self.said, self.turns = {}, [], []

    def __dealloc__(self):
        release(&self.out)

    cdef bytes bytes(self):
        return PyBytes_FromStringAndSize(<const char*> self.out.data, self.out.size)

    # Values

    cdef inline int count(self, uint64_t value) except -1:
        return put_size(&self.out, value)

    cdef inline int number(self, int64_t value) except -1:
        return put_size(&self.out, <uint64_t> value << 1 ^ <uint64_t> (value >> 63))

    cdef inline int time(self, int64_t value, int64_t known) except -1:
        return self.number(<int64_t> (<uint64_t> value - <uint64_t> known))

    cdef inline int integer(self, object value) except -1:
        return self.number(_int64(value))

    cdef inline int text(self, object value) except -1:
        cdef Py_ssize_t size
        cdef const char* data = PyUnicode_AsUTF8AndSize(value, &size)
        put_size(&self.out, size)
        return put_bytes(&self.out, <const uint8_t*> data, size)

    cdef inline int octets(self, bytes value) except -1:
        put_size(&self.out, PyBytes_GET_SIZE(value))
        return put_bytes(&self.out, <const uint8_t*> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    cdef inline int name(self, object value) except -1:
        cdef PyObject* known = PyDict_GetItem(self.names, value)
        if known != NULL:
            return put_size(&self.out, <uint64_t> <int64_t> <object> known)
        self.names[value] = len(self.names) + 1
        put_byte(&self.out, 0)
        return self.text(value)

    # Windows

    cdef int window(self, Window window, bint whole) except -1:
        cdef Totals totals = window.totals
        cdef int64_t end = window.end
        cdef TurnStore turns = window.turns
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* value
        cdef ModelSums sums
        self.number(window.opened_at)
        self.number(window.version)
        self.time(_int64(window.opened[0]), window.version)
        self.integer(window.opened[1])
        self.time(window.first_seen_at, window.opened_at)
        self.time(window.start, window.opened_at)
        self.time(end, window.start)
        if window.ended_at is not None:
            self.time(_int64(window.ended_at), end)
            self.octets(window.ended_by)
        self.count(_seal(window.sealed))
        self.time(window.changed_at, end)
        self.number(window.gap)
        self.number(window.allowed_lateness)
        self.number(window.late_spans)
        self.number(window.duplicates)
        self.number(window.identities)
        self.version(window.emitted, window.version)
        self.version(window.shown, window.version)
        self.time(window.emitted_at, end)
        if whole:
            self.page(turns.pages[ROOT], window.start, window.version)
        else:
            self.told(totals, end)
            self.tree(turns, window.version)
        self.written(totals.last_error, end)
        self.who(totals, end)
        self.collection(totals.providers, PLAIN)
        self.collection(totals.tools, TOOL)
        while totals.tools._sizes is not None and PyDict_Next(totals.tools._sizes, &at, &key, &value):
            self.integer(totals.tools._values[<object> key])
        self.collection(totals.models, MODEL)
        at = 0
        while totals.models._sizes is not None and PyDict_Next(totals.models._sizes, &at, &key, &value):
            sums = totals.models._values[<object> key]
            self.number(sums.total)
            self.number(sums.prompt)
            self.number(sums.completion)
            self.number(sums.total_calls)
            self.number(sums.prompt_calls)
            self.number(sums.completion_calls)
            self.number(sums.total_cost_calls)
            self.number(sums.prompt_cost_calls)
            self.number(sums.completion_cost_calls)
            self.integer(sums.prompt_cost)
            self.integer(sums.completion_cost)
            self.integer(sums.total_cost)
        return 0

    cdef inline int version(self, int64_t value, int64_t known) except -1:
        if value == NEVER:
            return put_byte(&self.out, 0)
        put_byte(&self.out, 1)
        return self.time(value, known)

    cdef int told(self, Totals totals, int64_t end) except -1:
        cdef int64_t known = end, each
        self.number(totals.turn_count)
        self.number(totals.span_count)
        self.number(totals.error_count)
        self.number(totals.error_turn_count)
        self.number(totals.tool_call_count)
        self.sums(totals.usage)
        self.count(len(totals.latency))
        for index in sorted(totals.latency):
            self.integer(index)
            self.integer(totals.latency[index])
        bounds = totals.active.bounds
        self.count(len(bounds))
        for bound in bounds:
            each = bound
            self.time(each, known)
            known = each
        self.written(totals.first_input, end)
        self.written(totals.last_output, end)
        self.written(totals.first_input_below, end)
        return self.written(totals.last_output_below, end)

    cdef int tree(self, TurnStore turns, int64_t version) except -1:
        self.count(len(turns.leaves))
        for number, latest in turns.leaves.items():
            self.count(number)
            self.time(_int64(latest), version)
        self.count(len(turns.spilled))
        for trace_id, numbers in turns.spilled.items():
            self.trace(trace_id)
            self.count(len(numbers))
            for number in sorted(numbers):
                self.count(number)
        return 0

    cdef int who(self, Who who, int64_t end) except -1:
        self.written(who.environment, end)
        self.collection(who.users, PLAIN)
        self.collection(who.services, PLAIN)
        self.collection(who.agents, PLAIN)
        self.collection(who.conversations, PLAIN)
        self.collection(who.tags, PLAIN)
        self.entries(who.session, end)
        return self.entries(who.metadata, end)

    cdef int entries(self, Names entries, int64_t end) except -1:
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* value
        self.collection(entries, ENTRY)
        while entries._sizes is not None and PyDict_Next(entries._sizes, &at, &key, &value):
            self.written(entries._values[<object> key], end)
        return 0

    cdef int collection(self, Names names, Kind kind) except -1:
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* value
        cdef bint is_plain = True
        cdef dict sizes = names._sizes
        if sizes is None:
            sizes = _no_sizes
        while PyDict_Next(sizes, &at, &key, &value):
            if _size_of(names, kind, <object> key) != _int64(<object> value):
                is_plain = False
                break
        self.count(len(sizes) << 2 | (0 if is_plain else 2) | (names.cut is not None))
        if names.cut is not None:
            self.name(names.cut)
        at = 0
        while PyDict_Next(sizes, &at, &key, &value):
            self.name(<object> key)
            if not is_plain:
                self.integer(<object> value)
        return 0

    cdef int written(self, tuple written, int64_t end) except -1:
        cdef tuple writer
        cdef Py_ssize_t at
        cdef Turn turn
        if written is None:
            return put_byte(&self.out, 0)
        writer = written[0]
        if writer is self.writer or (
            self.writer is not None and PyObject_RichCompareBool(writer, self.writer, Py_EQ)
        ):
            put_byte(&self.out, 1)
            return self.name(written[1])
        self.writer = writer
        for at, turn in enumerate(self.turns):
            if turn.trace_id == <bytes> writer[1]:
                self.count(3 + at)
                self.time(_int64(writer[0]), end)
                self.span(writer[2], turn.spans)
                return self.name(written[1])
        put_byte(&self.out, 2)
        self.time(_int64(writer[0]), end)
        self.octets(writer[1])
        self.octets(writer[2])
        return self.name(written[1])

    # Pages

    cdef int page(self, dict page, int64_t start, int64_t version) except -1:
        cdef Turn turn
        self.count(len(page))
        self.turns = list(page.values())
        for trace_id in page:
            self.trace(trace_id)
        self.call_size = 0
        for turn in self.turns:
            self.turn(turn, start, version)
        return 0

    cdef int turn(self, Turn turn, int64_t known, int64_t version) except -1:
        cdef int64_t start = turn.start, end = turn.end
        cdef int flags = 0
        cdef Said said = turn.said
        cdef tuple settled = turn.settled, each, writer
        if settled is not None:
            flags |= SETTLED if _int64(settled[0]) == start and _int64(settled[1]) == end else UNSETTLED
        flags |= (turn.root is not None) * HAS_ROOT | (turn.model is not None) * HAS_MODEL
        flags |= (turn.first_token is not None) * HAS_FIRST_TOKEN | (said.many is not None) * MANY
        flags |= (turn.input is not None) * TEXT | (turn.output is not None) * (TEXT << 1)
        flags |= (turn.input_below is not None) * (TEXT << 2) | (turn.output_below is not None) * (TEXT << 3)
        self.count(flags)
        self.time(start, known)
        self.time(end, start)
        if flags & UNSETTLED:
            self.time(_int64(settled[0]), start)
            self.time(_int64(settled[1]), end)
        self.number(turn.span_count)
        self.number(turn.error_count)
        self.number(turn.tool_call_count)
        self.time(turn.version, version)
        self.sums(turn.usage)
        self.spans(turn.spans)
        if flags & HAS_ROOT:
            self.of_span(turn.root, start, turn.spans)
            self.name((<tuple> turn.root)[2])
        self.preview(turn.input, start, turn.spans)
        self.preview(turn.output, end, turn.spans)
        self.preview(turn.input_below, start, turn.spans)
        self.preview(turn.output_below, end, turn.spans)
        if flags & HAS_MODEL:
            self.of_span(turn.model, end, turn.spans)
            self.name((<tuple> turn.model)[2])
        if flags & HAS_FIRST_TOKEN:
            self.of_span(turn.first_token, start, turn.spans)
            self.integer((<tuple> turn.first_token)[2])
        self.number(said.weight)
        if flags & MANY:
            return self.who(said.many, end)
        self.count(len(said.few))
        for each in said.few:
            self.dimensions(each[0])
            writer = each[1]
            self.time(_int64(writer[0]), end)
            self.span(writer[2], turn.spans)
        return 0

    cdef inline int preview(self, tuple text, int64_t known, SpanSet spans) except -1:
        if text is None:
            return 0
        self.of_span(text, known, spans)
        return self.text(text[2])

    cdef inline int of_span(self, tuple ordered, int64_t known, SpanSet spans) except -1:
        self.time(_int64(ordered[0]), known)
        return self.span(ordered[1], spans)

    cdef inline int trace(self, bytes trace_id) except -1:
        if PyBytes_GET_SIZE(trace_id) != TRACE_BYTES:
            raise Declined
        return put_bytes(&self.out, <const uint8_t*> PyBytes_AS_STRING(trace_id), TRACE_BYTES)

    cdef inline int span(self, bytes span_id, SpanSet spans) except -1:
        if PyBytes_GET_SIZE(span_id) != SPAN_BYTES:
            raise Declined
        return self.place(PyBytes_AS_STRING(span_id), spans)

    cdef int place(self, const char* span_id, SpanSet spans) except -1:
        """Which span it is, from 1; else 0 and the id."""
        cdef const char* ids = PyByteArray_AS_STRING(spans.ids)
        cdef Py_ssize_t at
        for at in range(PyByteArray_GET_SIZE(spans.ids) // SPAN_BYTES):
            if memcmp(ids + at * SPAN_BYTES, span_id, SPAN_BYTES) == 0:
                return self.count(at + 1)
        put_byte(&self.out, 0)
        return put_bytes(&self.out, <const uint8_t*> span_id, SPAN_BYTES)

    cdef int dimensions(self, object said) except -1:
        cdef Py_ssize_t at
        cdef tuple entry
        for at, known in enumerate(self.said):
            if known is said:
                return self.count(at + 1)
        for at, known in enumerate(self.said):
            if known == said:
                return self.count(at + 1)
        self.said.append(said)
        put_byte(&self.out, 0)
        self.name(said.user_id)
        self.name(said.environment)
        self.name(said.service)
        self.name(said.agent)
        self.name(said.conversation_id)
        tags = said.tags
        self.count(len(tags))
        for tag in tags:
            self.name(tag)
        for entries in (said.session, said.metadata):
            self.count(len(entries))
            for entry in entries:
                self.name(entry[0])
                self.name(entry[1])
        return 0

    cdef int sums(self, Sums sums) except -1:
        self.number(sums.prompt)
        self.number(sums.completion)
        self.number(sums.total)
        self.number(sums.cache_read)
        self.number(sums.cache_write)
        self.number(sums.reasoning)
        self.number(sums.calls)
        self.number(sums.unpriced)
        self.number(sums.prompt_calls)
        self.number(sums.completion_calls)
        self.number(sums.total_calls)
        self.integer(sums.prompt_cost)
        self.integer(sums.completion_cost)
        return self.integer(sums.total_cost)

    # Sets

    cdef int spans(self, SpanSet spans) except -1:
        """The bytes of a call that resembles the one before it only as far as they differ."""
        cdef const char* data = PyByteArray_AS_STRING(spans.calls)
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(spans.calls), at = 0, calls = 0
        cdef Py_ssize_t length, first, last, limit
        cdef const char* call
        put_size(&self.out, PyByteArray_GET_SIZE(spans.ids) // SPAN_BYTES)
        put_bytes(
            &self.out, <const uint8_t*> PyByteArray_AS_STRING(spans.ids), PyByteArray_GET_SIZE(spans.ids)
        )
        while at < size:
            at = _end_of_call(data, size, at)
            calls += 1
        self.count(calls)
        at = 0
        while at < size:
            self.twin(data + at, spans)
            call = data + at + TWIN_BYTES + LENGTH_BYTES
            at = _end_of_call(data, size, at)
            length = data + at - call
            limit = min(self.call_size, length)
            first = last = 0
            while first < limit and self.call[first] == call[first]:
                first += 1
            while last < limit - first and self.call[self.call_size - 1 - last] == call[length - 1 - last]:
                last += 1
            self.count(first)
            self.count(last)
            self.count(length - first - last)
            put_bytes(&self.out, <const uint8_t*> call + first, length - first - last)
            self.call, self.call_size = call, length
        data, size = PyByteArray_AS_STRING(spans.children), PyByteArray_GET_SIZE(spans.children)
        self.count(size // TWIN_BYTES)
        for at in range(size // TWIN_BYTES):
            self.twin(data + at * TWIN_BYTES, spans)
        return 0

    cdef int twin(self, const char* twin, SpanSet spans) except -1:
        self.place(twin, spans)
        self.count(_tokens(<const uint8_t*> twin + SPAN_BYTES))
        return self.count(_tokens(<const uint8_t*> twin + SPAN_BYTES + 5))


cdef inline int64_t _int64(object value) except? -1:
    cdef int overflow = 0
    cdef int64_t found = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise Declined
    return found


cdef inline int _seal(object sealed) except -1:
    if sealed is _not_sealed:
        return 0
    if sealed is _max_spans:
        return 1
    if sealed is _max_duration:
        return 2
    raise Declined


cdef inline uint64_t _tokens(const uint8_t* data) noexcept:
    return <uint64_t> data[0] << 32 | <uint64_t> data[1] << 24 | <uint64_t> data[2] << 16 | data[3] << 8 | data[4]


cdef inline Py_ssize_t _end_of_call(const char* data, Py_ssize_t size, Py_ssize_t at) except -1:
    """Where the next one begins; `SpanSet.calls` describes the bytes."""
    cdef const uint8_t* length = <const uint8_t*> data + at + TWIN_BYTES
    if size - at < TWIN_BYTES + LENGTH_BYTES:
        raise Declined
    at += TWIN_BYTES + LENGTH_BYTES
    at += <Py_ssize_t> length[0] | <Py_ssize_t> length[1] << 8 | <Py_ssize_t> length[2] << 16
    at += <Py_ssize_t> length[3] << 24
    if at > size:
        raise Declined
    return at


cdef int64_t _size_of(Names names, Kind kind, object name) except -1:
    """The size that is not told where it is this one."""
    if kind == PLAIN:
        return json_size(name)
    if kind == ENTRY:
        return 2 * json_size(name) + json_size((<tuple> names._values[name])[1]) + 32
    if kind == TOOL:
        return json_size(name) + 24
    return 7 * json_size(name) + 192
