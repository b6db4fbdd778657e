# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Heads, pages and sets of format 4 read from their bytes, straight into the engine's typed objects.

The definition is `state_reader.py`, of which this takes only what it takes, with the same result. It gives None,
and leaves the record to the definition, where anything is unusual: a number of more than 64 bits, and whatever no worker writes. No length is believed before it is compared with what is left.

    decode_head(id, data), decode_page(data), decode_set(data)
      └─ Record             one record: where it is read, the names and dimensions read so far
"""

from cpython.array cimport array, resize_smart
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

cimport cython

from services.sessionizer._state_fields cimport (
    ENTRY, HAS_FIRST_TOKEN, HAS_MODEL, HAS_ROOT, MANY, MODEL, NEVER, PLAIN, ROOT, SETTLED, SPAN_BYTES, TEXT, TOOL,
    TRACE_BYTES, TWIN_BYTES, UNSETTLED, Kind,
)
from services.sessionizer.engine._blank cimport blank_names, blank_store, blank_totals
from services.sessionizer.engine._json_size cimport json_size
from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.turn_store cimport TurnStore
from services.sessionizer.engine.usage cimport ModelSums, Sums
from services.sessionizer.engine.who cimport Who
from services.sessionizer.engine.window cimport Window
from services.shared._native cimport Buffer, put_byte, put_bytes, put_u32, release, reserve

from services.sessionizer.engine import said
from services.shared.model.rollup import CloseReason
from services.shared.model.span import NO_DIMENSIONS, Dimensions


cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object target, object name, object value) except -1
    object PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)


cdef enum:
    HEADER_BYTES = 10
    MOST_BOUNDS = 512

cdef enum Flag:
    OPEN = 1
    WHOLE = 4
    LATE = 8
    ENDED = 16

cdef uint64_t MOST_TOKENS = 0xFF_FFFF_FFFF
cdef Py_ssize_t _said_name_bytes = said.NAME_BYTES, _said_entry_bytes = said.ENTRY_BYTES
cdef tuple _seals = (CloseReason.NONE, CloseReason.MAX_SPANS, CloseReason.MAX_DURATION)
cdef tuple _nobody = (0, b"", b"")
cdef bytes _no_span = bytes(8)
cdef object _no_dimensions = NO_DIMENSIONS


class Declined(Exception):
    """The definition is to read this record."""


def decode_head(bytes id_ not None, bytes data not None):
    """See `state.decode_head`."""
    cdef Record record = Record(data, HEADER_BYTES)
    cdef Window window = Window.__new__(Window)
    cdef int flags
    if PyBytes_GET_SIZE(data) < HEADER_BYTES:
        return None
    flags = <uint8_t> PyBytes_AS_STRING(data)[1]
    window.id = id_
    window.is_late = flags & LATE > 0
    window.is_closed = not flags & OPEN
    window.is_stored = True
    window.is_owed = False
    window.touched = {}
    try:
        record.window(window, flags)
        record.finish()
    except (Declined, UnicodeDecodeError):
        return None
    return window


def decode_page(bytes data not None):
    """See `state.decode_page`."""
    cdef Record record = Record(data, 1)
    cdef int64_t start, version
    try:
        start = record.number()
        version = record.number()
        page = record.page(start, version)
        record.finish()
    except (Declined, UnicodeDecodeError):
        return None
    return page


def decode_set(bytes data not None):
    """See `state.decode_set`."""
    cdef Record record = Record(data, 1)
    try:
        spans = record.set()
        record.finish()
    except (Declined, UnicodeDecodeError):
        return None
    return spans


@cython.final
@cython.freelist(4)
cdef class Record:
    cdef bytes data
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef list names, said, turns
    cdef tuple writer
    cdef bytes span_id  # the last one
    cdef Buffer calls, last  # of the set at hand, and the last one of them

    def __cinit__(self, bytes data, Py_ssize_t at):
        self.data = data
        self.at = <const uint8_t*> PyBytes_AS_STRING(data) + at
        self.end = <const uint8_t*> PyBytes_AS_STRING(data) + PyBytes_GET_SIZE(data)
        self.names, self.said, self.turns, self.span_id = [], [], [], _no_span
        reserve(&self.last, 128)
        reserve(&self.calls, 512)

    def __dealloc__(self):
        release(&self.calls)
        release(&self.last)

    cdef int finish(self) except -1:
        if self.at != self.end:
            raise Declined
        return 0

    # Values

    cdef inline uint64_t count(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t value = 0
        cdef uint8_t byte
        cdef int shift = 0
        while self.at < self.end and shift < 63:
            byte = self.at[0]
            self.at += 1
            value |= <uint64_t> (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        if self.at == self.end or self.at[0] > 1:
            raise Declined
        value |= <uint64_t> self.at[0] << 63
        self.at += 1
        return value

    cdef inline int64_t number(self) except? -1:
        cdef uint64_t value = self.count()
        return <int64_t> (value >> 1 ^ (0 - (value & 1)))

    cdef inline int64_t time(self, int64_t known) except? -1:
        return <int64_t> (<uint64_t> known + <uint64_t> self.number())

    cdef inline Py_ssize_t items(self) except -1:
        """The count of items that follow, each a byte at least."""
        cdef uint64_t value = self.count()
        if value > <uint64_t> (self.end - self.at):
            raise Declined
        return <Py_ssize_t> value

    cdef inline const uint8_t* raw(self, Py_ssize_t size) except NULL:
        cdef const uint8_t* start = self.at
        if size > self.end - start:
            raise Declined
        self.at += size
        return start

    cdef inline bytes octets(self, Py_ssize_t size):
        return PyBytes_FromStringAndSize(<const char*> self.raw(size), size)

    cdef inline object text(self):
        cdef Py_ssize_t size = self.items()
        return PyUnicode_DecodeUTF8(<const char*> self.raw(size), size, NULL)

    cdef inline object name(self):
        cdef uint64_t known = self.count()
        if known:
            if known > <uint64_t> PyList_GET_SIZE(self.names):
                raise Declined
            return <object> PyList_GET_ITEM(self.names, <Py_ssize_t> known - 1)
        found = self.text()
        self.names.append(found)
        return found

    # Windows

    cdef int window(self, Window window, int flags) except -1:
        cdef uint64_t sealed
        cdef int64_t end, opened
        cdef Totals totals
        window.opened_at = self.number()
        window.version = self.number()
        opened = self.time(window.version)
        window.opened = (opened, self.number())
        window.first_seen_at = self.time(window.opened_at)
        window.start = self.time(window.opened_at)
        end = window.end = self.time(window.start)
        window.ended_at, window.ended_by = None, b""
        if flags & ENDED:
            window.ended_at = self.time(end)
            window.ended_by = self.octets(self.items())
        sealed = self.count()
        if sealed > 2:
            raise Declined
        window.sealed = _seals[sealed]
        window.changed_at = self.time(end)
        window.gap = self.number()
        window.allowed_lateness = self.number()
        window.late_spans = self.number()
        window.duplicates = self.number()
        window.identities = self.number()
        window.emitted = self.version(window.version)
        window.shown = self.version(window.version)
        window.emitted_at = self.time(end)
        totals = window.totals = blank_totals()
        if flags & WHOLE:
            page = self.page(window.start, window.version)
            window.turns = blank_store({ROOT: self.latest()}, {})
            window.turns.pages[ROOT] = page
            _tell(totals, self.turns)
        else:
            self.told(totals, end)
            window.turns = self.tree(window.version)
        totals.last_error = self.written(end)
        self.who(totals, end)
        self.collection(totals.providers, PLAIN, end)
        self.collection(totals.tools, TOOL, end)
        return self.collection(totals.models, MODEL, end)

    cdef inline int64_t version(self, int64_t known) except? -1:
        return self.time(known) if self.count() else NEVER

    cdef int64_t latest(self) except? -1:
        """The greatest version of the turns that were read."""
        cdef Turn turn
        cdef int64_t found = NEVER
        cdef bint is_first = True
        for turn in self.turns:
            if is_first or turn.version > found:
                found, is_first = turn.version, False
        return found

    cdef int told(self, Totals totals, int64_t end) except -1:
        cdef int64_t known = end, index
        cdef Py_ssize_t _
        totals.turn_count = self.number()
        totals.span_count = self.number()
        totals.error_count = self.number()
        totals.error_turn_count = self.number()
        totals.tool_call_count = self.number()
        totals.usage = self.sums()
        for _ in range(self.items()):
            index = self.number()
            totals.latency[index] = self.number()
        bounds = totals.active.bounds
        for _ in range(self.items()):
            known = self.time(known)
            bounds.append(known)
        totals.first_input = self.written(end)
        totals.last_output = self.written(end)
        totals.first_input_below = self.written(end)
        totals.last_output_below = self.written(end)
        return 0

    cdef TurnStore tree(self, int64_t version):
        cdef dict leaves = {}, spilled = {}
        cdef Py_ssize_t _, __
        cdef uint64_t number
        cdef set numbers
        for _ in range(self.items()):
            number = self.count()
            leaves[number] = self.time(version)
        for _ in range(self.items()):
            trace_id = self.octets(TRACE_BYTES)
            numbers = set()
            for __ in range(self.items()):
                numbers.add(self.count())
            spilled[trace_id] = numbers
        return blank_store(leaves, spilled)

    cdef int who(self, Who who, int64_t end) except -1:
        who.environment = self.written(end)
        self.collection(who.users, PLAIN, end)
        self.collection(who.services, PLAIN, end)
        self.collection(who.agents, PLAIN, end)
        self.collection(who.conversations, PLAIN, end)
        self.collection(who.tags, PLAIN, end)
        self.collection(who.session, ENTRY, end)
        return self.collection(who.metadata, ENTRY, end)

    cdef int collection(self, Names names, Kind kind, int64_t end) except -1:
        cdef uint64_t told = self.count(), count = told >> 2, _
        cdef dict sizes, values
        cdef list read
        cdef int64_t total = 0, size
        if told == 0:
            return 0
        sizes = names._sizes = {}
        if told & 1:
            names.cut = self.name()
        if kind == PLAIN:
            for _ in range(count):
                name = self.name()
                size = sizes[name] = self.number() if told & 2 else json_size(name)
                total += size
        else:
            read = []
            values = names._values = {}
            for _ in range(count):
                name = self.name()
                read.append(name)
                sizes[name] = self.number() if told & 2 else 0
            for name in read:
                value = self.value(kind, end)
                values[name] = value
                if not told & 2:
                    sizes[name] = _size_of(kind, name, value)
                total += sizes[name]
        if <uint64_t> len(sizes) != count:
            raise Declined
        names.total = total
        return 0

    cdef object value(self, Kind kind, int64_t end):
        if kind == TOOL:
            return self.number()
        if kind == MODEL:
            return self.model_sums()
        written = self.written(end)
        if written is None:
            raise Declined
        return written

    cdef tuple written(self, int64_t end):
        cdef uint64_t kind = self.count()
        cdef Turn turn
        cdef int64_t time
        if kind == 0:
            return None
        if kind == 2:
            time = self.time(end)
            trace_id = self.octets(self.items())
            self.writer = (time, trace_id, self.octets(self.items()))
        elif kind > 2:
            if kind - 3 >= <uint64_t> PyList_GET_SIZE(self.turns):
                raise Declined
            turn = <Turn> PyList_GET_ITEM(self.turns, <Py_ssize_t> kind - 3)
            time = self.time(end)
            self.writer = (time, turn.trace_id, self.span(turn.spans))
        if self.writer is None:
            raise Declined
        return self.writer, self.name()

    cdef ModelSums model_sums(self):
        cdef ModelSums sums = ModelSums.__new__(ModelSums)
        sums.total = self.number()
        sums.prompt = self.number()
        sums.completion = self.number()
        sums.total_calls = self.number()
        sums.prompt_calls = self.number()
        sums.completion_calls = self.number()
        sums.total_cost_calls = self.number()
        sums.prompt_cost_calls = self.number()
        sums.completion_cost_calls = self.number()
        sums.prompt_cost = self.number()
        sums.completion_cost = self.number()
        sums.total_cost = self.number()
        return sums

    # Pages

    cdef dict page(self, int64_t start, int64_t version):
        cdef Py_ssize_t count = self.items(), at
        cdef dict page = {}
        cdef const uint8_t* ids
        cdef Turn turn
        if count > (self.end - self.at) // TRACE_BYTES:
            raise Declined
        ids = self.raw(count * TRACE_BYTES)
        self.last.size = 0
        for at in range(count):
            turn = self.turn(start, version)
            turn.trace_id = PyBytes_FromStringAndSize(<const char*> ids + at * TRACE_BYTES, TRACE_BYTES)
            self.turns.append(turn)
            page[turn.trace_id] = turn
        if len(page) != count:
            raise Declined
        return page

    cdef Turn turn(self, int64_t known, int64_t version):
        cdef Turn turn = Turn.__new__(Turn)
        cdef uint64_t flags = self.count()
        cdef int64_t start = self.time(known), end = self.time(start), time
        cdef Said said
        cdef SpanSet spans
        cdef Py_ssize_t _
        turn.start, turn.end = start, end
        if flags & UNSETTLED:
            time = self.time(start)
            turn.settled = (time, self.time(end))
        elif flags & SETTLED:
            turn.settled = (start, end)
        turn.span_count = self.number()
        turn.error_count = self.number()
        turn.tool_call_count = self.number()
        turn.version = self.time(version)
        turn.usage = self.sums()
        spans = turn.spans = self.set()
        if flags & HAS_ROOT:
            time = self.time(start)
            span_id = self.span(spans)
            turn.root = (time, span_id, self.name())
        if flags & TEXT:
            turn.input = self.preview(start, spans)
        if flags & TEXT << 1:
            turn.output = self.preview(end, spans)
        if flags & TEXT << 2:
            turn.input_below = self.preview(start, spans)
        if flags & TEXT << 3:
            turn.output_below = self.preview(end, spans)
        if flags & HAS_MODEL:
            time = self.time(end)
            span_id = self.span(spans)
            turn.model = (time, span_id, self.name())
        if flags & HAS_FIRST_TOKEN:
            time = self.time(start)
            span_id = self.span(spans)
            turn.first_token = (time, span_id, self.number())
        said = turn.said = Said.__new__(Said)
        said._last, said._writer, said.few = _no_dimensions, _nobody, []
        said.weight = self.number()
        if flags & MANY:
            said.many = _new_who()
            self.who(said.many, end)
            return turn
        for _ in range(self.items()):
            dimensions = self.dimensions()
            time = self.time(end)
            said.few.append((dimensions, (time, b"", self.span(spans))))
        return turn

    cdef inline tuple preview(self, int64_t known, SpanSet spans):
        cdef int64_t time = self.time(known)
        span_id = self.span(spans)
        return time, span_id, self.text()

    cdef inline bytes span(self, SpanSet spans):
        """Most texts of a turn are of one span."""
        cdef const char* id_ = <const char*> self.place(spans)
        if memcmp(PyBytes_AS_STRING(self.span_id), id_, SPAN_BYTES):
            self.span_id = PyBytes_FromStringAndSize(id_, SPAN_BYTES)
        return self.span_id

    cdef inline const uint8_t* place(self, SpanSet spans) except NULL:
        """Where the id of a span is, told by its place in its turn or in full."""
        cdef uint64_t known = self.count()
        if known == 0:
            return self.raw(SPAN_BYTES)
        if known > <uint64_t> PyByteArray_GET_SIZE(spans.ids) // SPAN_BYTES:
            raise Declined
        return <const uint8_t*> PyByteArray_AS_STRING(spans.ids) + (known - 1) * SPAN_BYTES

    cdef object dimensions(self):
        cdef uint64_t known = self.count()
        if known:
            if known > <uint64_t> PyList_GET_SIZE(self.said):
                raise Declined
            return <object> PyList_GET_ITEM(self.said, <Py_ssize_t> known - 1)
        user_id = self.name()
        environment = self.name()
        service = self.name()
        agent = self.name()
        conversation_id = self.name()
        tags = self.tags()
        session = self.pairs()
        metadata = self.pairs()
        # They are frozen, and their constructor costs as much as all the rest of a turn.
        found = Dimensions.__new__(Dimensions)
        PyObject_GenericSetAttr(found, "user_id", user_id)
        PyObject_GenericSetAttr(found, "environment", environment)
        PyObject_GenericSetAttr(found, "service", service)
        PyObject_GenericSetAttr(found, "agent", agent)
        PyObject_GenericSetAttr(found, "tags", tags)
        PyObject_GenericSetAttr(found, "session", session)
        PyObject_GenericSetAttr(found, "metadata", metadata)
        PyObject_GenericSetAttr(found, "conversation_id", conversation_id)
        self.said.append(found)
        return found

    cdef tuple tags(self):
        cdef list found = []
        cdef Py_ssize_t _
        for _ in range(self.items()):
            found.append(self.name())
        return tuple(found)

    cdef tuple pairs(self):
        cdef list found = []
        cdef Py_ssize_t _
        for _ in range(self.items()):
            name = self.name()
            found.append((name, self.name()))
        return tuple(found)

    cdef Sums sums(self):
        cdef Sums sums = Sums.__new__(Sums)
        sums.prompt = self.number()
        sums.completion = self.number()
        sums.total = self.number()
        sums.cache_read = self.number()
        sums.cache_write = self.number()
        sums.reasoning = self.number()
        sums.calls = self.number()
        sums.unpriced = self.number()
        sums.prompt_calls = self.number()
        sums.completion_calls = self.number()
        sums.total_calls = self.number()
        sums.prompt_cost = self.number()
        sums.completion_cost = self.number()
        sums.total_cost = self.number()
        return sums

    # Sets

    cdef SpanSet set(self):
        cdef SpanSet spans = SpanSet.__new__(SpanSet)
        cdef uint64_t count = self.count()
        cdef Py_ssize_t _
        cdef uint64_t first, last, between
        cdef size_t size
        cdef const uint8_t* data
        if count > <uint64_t> (self.end - self.at) // SPAN_BYTES:
            raise Declined
        data = self.raw(<Py_ssize_t> count * SPAN_BYTES)
        spans.ids = PyByteArray_FromStringAndSize(<const char*> data, <Py_ssize_t> count * SPAN_BYTES)
        self.calls.size = 0
        for _ in range(self.items()):
            self.twin(spans)
            first, last = self.count(), self.count()
            if first > self.last.size or last > self.last.size - first:
                raise Declined
            between = self.items()
            data = self.raw(<Py_ssize_t> between)
            size = first + between + last
            put_u32(&self.calls, <uint32_t> size)
            put_bytes(&self.calls, self.last.data, first)
            put_bytes(&self.calls, data, between)
            put_bytes(&self.calls, self.last.data + self.last.size - last, last)
            self.last.size = 0
            reserve(&self.last, size)
            put_bytes(&self.last, self.calls.data + self.calls.size - size, size)
        spans.calls = PyByteArray_FromStringAndSize(<const char*> self.calls.data, self.calls.size)
        self.calls.size = 0
        for _ in range(self.items()):
            self.twin(spans)
        spans.children = PyByteArray_FromStringAndSize(<const char*> self.calls.data, self.calls.size)
        return spans

    cdef int twin(self, SpanSet spans) except -1:
        """Append it to `calls`."""
        put_bytes(&self.calls, self.place(spans), SPAN_BYTES)
        self.tokens()
        return self.tokens()

    cdef inline int tokens(self) except -1:
        cdef uint64_t value = self.count()
        cdef int shift
        if value > MOST_TOKENS:
            raise Declined
        for shift in range(32, -1, -8):
            put_byte(&self.calls, <uint8_t> (value >> shift))
        return 0


cdef Who _new_who():
    cdef Who who = Who.__new__(Who)
    who.users, who.services = blank_names(_said_name_bytes), blank_names(_said_name_bytes)
    who.agents, who.conversations = blank_names(_said_name_bytes), blank_names(_said_name_bytes)
    who.tags = blank_names(_said_name_bytes)
    who.session, who.metadata = blank_names(_said_entry_bytes), blank_names(_said_entry_bytes)
    return who


cdef int _tell(Totals totals, list turns) except -1:
    """See `state_reader`."""
    cdef Turn turn
    cdef Sums all_ = totals.usage, its
    cdef int64_t start, end, index
    cdef dict latency = totals.latency
    totals.turn_count = len(turns)
    for turn in turns:
        totals.span_count += turn.span_count
        totals.error_count += turn.error_count
        totals.error_turn_count += turn.error_count > 0
        totals.tool_call_count += turn.tool_call_count
        its = turn.usage
        all_.prompt += its.prompt
        all_.completion += its.completion
        all_.total += its.total
        all_.cache_read += its.cache_read
        all_.cache_write += its.cache_write
        all_.reasoning += its.reasoning
        all_.calls += its.calls
        all_.unpriced += its.unpriced
        all_.prompt_calls += its.prompt_calls
        all_.completion_calls += its.completion_calls
        all_.total_calls += its.total_calls
        all_.prompt_cost += its.prompt_cost
        all_.completion_cost += its.completion_cost
        all_.total_cost += its.total_cost
        if turn.settled is not None:
            start, end = <tuple> turn.settled
            if end < start:
                raise Declined
            index = _bucket(<uint64_t> (end - start))
            latency[index] = latency.get(index, 0) + 1
            _add(totals.active, start, end)
    totals.first_input = totals.last_output = totals.first_input_below = totals.last_output_below = None
    for turn in turns:
        totals.first_input = _first(totals.first_input, turn.trace_id, turn.input)
        totals.last_output = _last(totals.last_output, turn.trace_id, turn.output)
        totals.first_input_below = _first(totals.first_input_below, turn.trace_id, turn.input_below)
        totals.last_output_below = _last(totals.last_output_below, turn.trace_id, turn.output_below)
    totals.forget_below()
    return 0


cdef int _add(Intervals active, int64_t start, int64_t end) except -1:
    """See `Intervals.add`: what most turns do is begin after the one before."""
    cdef array bounds = active.bounds
    cdef Py_ssize_t size = len(bounds)
    if size >= MOST_BOUNDS or (size and start <= bounds.data.as_longlongs[size - 1]):
        active.add(start, end)
        return 0
    resize_smart(bounds, size + 2)
    bounds.data.as_longlongs[size], bounds.data.as_longlongs[size + 1] = start, end
    return 0


cdef inline object _first(tuple known, bytes trace_id, tuple text):
    if text is None:
        return known
    cdef tuple found = ((text[0], trace_id, text[1]), text[2])
    return found if known is None or found < known else known


cdef inline object _last(tuple known, bytes trace_id, tuple text):
    if text is None:
        return known
    cdef tuple found = ((text[0], trace_id, text[1]), text[2])
    return found if known is None or found > known else known


cdef inline int64_t _bucket(uint64_t duration) noexcept:
    """See `engine.quantiles.bucket`."""
    cdef int shift = 0
    while duration >> shift >= 64:
        shift += 1
    return 32 * shift + <int64_t> (duration >> shift)


cdef int64_t _size_of(Kind kind, object name, object value) except -1:
    """The size that is not told."""
    if kind == ENTRY:
        return 2 * json_size(name) + json_size((<tuple> value)[1]) + 32
    if kind == TOOL:
        return json_size(name) + 24
    return 7 * json_size(name) + 192
