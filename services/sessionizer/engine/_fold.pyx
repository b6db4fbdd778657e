# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Spans into windows straight from the bytes of a record, without an object for each of them.

The definition is `Session.take` of each item, then `Window.settle` of what it changed; these are
the very same objects, and what comes out is the same to the byte. Done here is what nearly all spans are: a plain
span for a session with one plain window, or with none. Everything else, a span that begins a
second window, a copy's window that is sealed, an end, goes to `Session.take` as an object.

What spans say of who and where is taken in by runs: of consecutive spans of one turn that say the same, once.
"""

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.session cimport Effects, Now, Session
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.turn_store cimport TurnStore
from services.sessionizer.engine.usage cimport ModelSums, Sums
from services.sessionizer.engine.window cimport Window
from services.shared.records._session_spans cimport (
    HAS_CACHE_READ, HAS_CACHE_WRITE, HAS_COMPLETION, HAS_COMPLETION_COST, HAS_FIRST_TOKEN, HAS_PROMPT, HAS_PROMPT_COST,
    HAS_REASONING, HAS_TOTAL, HAS_TOTAL_COST, IS_ERROR, IS_TOOL_CALL, SPAN_ID_BYTES, TRACE_ID_BYTES, Group, Item,
    PackedSpans, Told,
)
from services.shared.records._unpacked cimport Text

from hashlib import blake2b

from services.sessionizer.engine.intervals import MAX_INTERVALS
from services.sessionizer.engine.said import MAX_FEW as _MAX_FEW, weight_of
from services.sessionizer.engine.tree import ROOT as _ROOT
from services.sessionizer.engine.spans import twin_name
from services.sessionizer.engine.who import MAX_NAME as _MAX_NAME, MAX_TEXT, add_name, write
from services.shared.model.rollup import CloseReason
from services.shared.model.span import NO_DIMENSIONS, PREVIEW_LENGTH as _PREVIEW_LENGTH
from services.shared.records.model_calls import unpack_call

cdef object NONE = CloseReason.NONE
cdef object ROOT = _ROOT
cdef Py_ssize_t MAX_FEW = _MAX_FEW
cdef Py_ssize_t MAX_NAME = _MAX_NAME
cdef Py_ssize_t PREVIEW_LENGTH = _PREVIEW_LENGTH
cdef Py_ssize_t MOST_BOUNDS = 2 * MAX_INTERVALS

cdef enum:
    PROMPT, COMPLETION, TOTAL, CACHE_READ, CACHE_WRITE, REASONING, PROMPT_COST, COMPLETION_COST, TOTAL_COST  # amounts
    COUNT_BYTES = 5
    TWIN_BYTES = SPAN_ID_BYTES + 2 * COUNT_BYTES
    LENGTH_BYTES = 4
    HEAD_BYTES = TWIN_BYTES + LENGTH_BYTES
    LEADING_BITS = 6
    STEPS = 32
    CACHED_NAMES = 512  # a power of two


def fold(PackedSpans record not None, session_of, Now now not None, Effects effects not None):
    """Apply every item of a record. Returns the sessions it was for, by name; their windows are to be settled."""
    cdef Folder folder = Folder.__new__(Folder)
    cdef dict touched = {}
    cdef size_t each
    cdef bytes name
    folder.record, folder.now, folder.effects = record, now, effects
    folder.allowed_lateness = now.policy.allowed_lateness
    folder.max_spans, folder.max_duration = now.policy.max_spans, now.policy.max_duration
    for each in range(record.group_count):
        name = <bytes>record.names[each]
        folder.session = touched[name] = session_of(name)
        now.record_time = record.groups[each].record_time
        folder.take(&record.groups[each])
    return touched


cdef class Folder:
    """A record that is being applied: the session at hand, and the window and turn of the last span."""

    cdef PackedSpans record
    cdef Now now
    cdef Effects effects
    cdef long long allowed_lateness, max_spans, max_duration
    cdef Session session
    cdef long long gap
    cdef Window window
    cdef Turn turn  # of the window
    # What the last spans said, not yet taken in, and the last of them.
    cdef Told told
    cdef long long told_end
    cdef const uint8_t* told_by
    cdef const uint8_t* told_in

    cdef int take(self, Group* group) except -1:
        cdef size_t each
        cdef Item* item
        self.gap = self.now.policy.gap_for(self.session.key.project)
        self.window = self.turn = None
        for each in range(group.begin, group.end):
            self.now.position += 1
            item = &self.record.items[each]
            if not (item.is_plain and self.take_plain(item)):
                self.end_run()
                self.window = self.turn = None
                self.session.take(self.record.item(each), self.now, self.effects)
        self.end_run()
        return 0

    cdef bint take_plain(self, Item* item) except -1:
        """False, and nothing done, where the span is not one of those described above."""
        cdef Window window = self.window
        cdef Turn turn = self.turn
        cdef bytes trace_id
        if window is None or not is_plain(window):
            self.end_run()
            self.turn = turn = None
            if not self.session.windows:
                window = self.open(item)
            elif len(self.session.windows) > 1:
                return False
            else:
                window = <Window>self.session.windows[0]
                if not is_plain(window):
                    return False
            self.window = window
        if turn is None or memcmp(PyBytes_AS_STRING(turn.trace_id), item.trace_id, TRACE_ID_BYTES):
            self.end_run()
            trace_id = PyBytes_FromStringAndSize(<const char*>item.trace_id, TRACE_ID_BYTES)
            turn = find_turn(window, trace_id)
            if turn is None:
                if item.start - window.end > self.gap or window.start - item.end > self.gap:
                    return False
                turn = Turn(trace_id, item.start, item.end)
                window.totals.turn_count += 1
            self.turn = turn
        if turn.span_count and window.identities > 0 and is_known(window, turn, item.span_id):
            window.duplicates += 1
            window.is_stored = False
            self.effects.duplicates += 1
            return True
        self.add(window, turn, item)
        self.effects.added += 1
        if self.now.watermark > item.end + self.gap:
            window.late_spans += 1
            self.effects.late += 1
        if window.totals.span_count >= self.max_spans or window.end - window.start >= self.max_duration:
            window.seal_if_full(self.now.policy)
            self.session._sealed.clear()
        window.version, window.changed_at = self.now.version, self.now.watermark
        window.gap, window.allowed_lateness = self.gap, self.allowed_lateness
        window.is_stored = False
        if window.identities > self.now.max_identities:
            self.session._bound_identities(self.now, self.effects)
            self.turn = None
        return True

    cdef Window open(self, Item* item):
        """`Session._open`, of a session without windows."""
        cdef Now now = self.now
        cdef tuple opened = (now.version, now.position)
        digest = blake2b(b"%b\0%b%b%d/%d" % (
            self.session.name, item.trace_id[:TRACE_ID_BYTES], item.span_id[:SPAN_ID_BYTES], now.version, now.position
        ), digest_size=8).digest()
        cdef bint is_late = now.watermark > item.end + self.gap + self.allowed_lateness
        cdef Window window = Window(digest, opened, item.start, now.record_time, is_late=is_late)
        self.session.windows.append(window)
        self.effects.opened += 1
        return window

    cdef int add(self, Window window, Turn turn, Item* item) except -1:
        """`Window.add`, but for what it says of who and where: that is noted for the end of the run."""
        cdef Totals totals = window.totals
        cdef str text_in, text_out
        cdef SpanSet spans
        if turn.version != self.now.version:
            turn.version = self.now.version
            change_turn(window.turns, turn)
            window.touched[turn.trace_id] = turn
        if item.start < turn.start:
            turn.start = item.start
        if item.end > turn.end:
            turn.end = item.end
        if item.start < window.start:
            window.start = item.start
        if item.end > window.end:
            window.end = item.end
        turn.span_count += 1
        totals.span_count += 1
        if item.flags & IS_ERROR:
            totals.error_turn_count += turn.error_count == 0
            turn.error_count += 1
            totals.error_count += 1
            if item.error.size and (totals.last_error is None or order(totals.last_error, item, item.end) > 0):
                totals.last_error = (writer_of(item, item.end), text_of(&item.error))
        if item.flags & IS_TOOL_CALL:
            turn.tool_call_count += 1
            totals.tool_call_count += 1
            if item.tool.size:
                totals._add_tool(name_of(&item.tool))
        text_in = text_of(&item.input) if item.input.size else None
        text_out = text_of(&item.output) if item.output.size else None
        if item.parent_id is NULL:
            if turn.root is None or order_in_turn(turn.root, item, item.start) < 0:
                turn.root = (item.start, item.span_id[:SPAN_ID_BYTES], name_of(&item.name))
            if text_in is not None:
                if turn.input is None or order_in_turn(turn.input, item, item.start) < 0:
                    turn.input = (item.start, item.span_id[:SPAN_ID_BYTES], text_in)
                if totals.first_input is None or order(totals.first_input, item, item.start) < 0:
                    totals.first_input = (writer_of(item, item.start), text_in)
            if text_out is not None:
                if turn.output is None or order_in_turn(turn.output, item, item.end) > 0:
                    turn.output = (item.end, item.span_id[:SPAN_ID_BYTES], text_out)
                if totals.last_output is None or order(totals.last_output, item, item.end) > 0:
                    totals.last_output = (writer_of(item, item.end), text_out)
        else:
            if text_in is not None:
                if turn.input_below is None or order_in_turn(turn.input_below, item, item.start) < 0:
                    turn.input_below = (item.start, item.span_id[:SPAN_ID_BYTES], text_in)
                if totals.first_input_below is None or order(totals.first_input_below, item, item.start) < 0:
                    totals.first_input_below = (writer_of(item, item.start), text_in)
            if text_out is not None:
                if turn.output_below is None or order_in_turn(turn.output_below, item, item.end) > 0:
                    turn.output_below = (item.end, item.span_id[:SPAN_ID_BYTES], text_out)
                if totals.last_output_below is None or order(totals.last_output_below, item, item.end) > 0:
                    totals.last_output_below = (writer_of(item, item.end), text_out)
        spans = turn.spans if not window.turns.spilled else spans_of(window, turn, item.span_id[:SPAN_ID_BYTES])
        append(spans.ids, item.span_id, SPAN_ID_BYTES)
        window.identities += 1
        if item.call.data is not NULL:
            self.add_call(window, turn, item)
        self.hear(item)
        return 0

    cdef int add_call(self, Window window, Turn turn, Item* item) except -1:
        """`Turn._add_call`, `Totals._add_names` and `Window._add_call`."""
        cdef Totals totals = window.totals
        cdef ModelSums sums = None
        cdef str model = None, name
        cdef uint8_t[TWIN_BYTES] twin
        cdef SpanSet spans
        cdef object repeated
        if item.model.size:
            model = name_of(&item.model)
            if turn.model is None or order_in_turn(turn.model, item, item.end) > 0:
                turn.model = (item.end, item.span_id[:SPAN_ID_BYTES], model)
            sums = sums_of(totals, model)
        if item.has & HAS_FIRST_TOKEN:
            first_token = (item.start, item.span_id[:SPAN_ID_BYTES], item.first_token)
            if turn.first_token is None or first_token < turn.first_token:
                turn.first_token = first_token
        if item.provider.size:
            name = f"{name_of(&item.provider)}\0{model or ''}"
            add_name(totals.providers, name, len(name))
        if item.has & (HAS_PROMPT | HAS_COMPLETION) != HAS_PROMPT | HAS_COMPLETION:
            count(turn.usage, totals.usage, sums, item)
            return 0
        put_twin(twin, item.span_id, item)
        spans = spans_of_twin(window, turn, twin)
        if not holds(spans.children, twin, TWIN_BYTES):
            append_call(spans.calls, twin, &item.call)
            count(turn.usage, totals.usage, sums, item)
        if item.parent_id is not NULL:
            put_twin(twin, item.parent_id, item)
            spans = spans_of_twin(window, turn, twin)
            if not holds(spans.children, twin, TWIN_BYTES):
                append(spans.children, twin, TWIN_BYTES)
                repeated = take_call(spans.calls, twin)
                if repeated is not None:
                    window._count(turn, repeated, -1)
        return 0

    cdef int hear(self, Item* item) except -1:
        """Note what a span said; taken in is the last of a run only."""
        cdef Told told = <Told>self.record.table[item.dimensions]
        if self.told is not told:
            self.end_run()
            self.told = told
        elif item.end < self.told_end:
            return 0
        elif item.end == self.told_end and memcmp(item.span_id, self.told_by, SPAN_ID_BYTES) < 0:
            return 0
        self.told_end, self.told_by, self.told_in = item.end, item.span_id, item.trace_id
        return 0

    cdef int end_run(self) except -1:
        """Take in what the spans since the last call said, which are all of one turn."""
        cdef Told told = self.told
        cdef Totals totals
        cdef bytes span_id
        if told is None:
            return 0
        self.told = None
        if told.is_empty:
            return 0
        span_id = self.told_by[:SPAN_ID_BYTES]
        hear_in_turn(self.turn.said, told, (self.told_end, b"", span_id))
        totals = self.window.totals
        if totals.said:
            totals.settle()
        hear_in_window(totals, told, (self.told_end, self.told_in[:TRACE_ID_BYTES], span_id))
        return 0


cdef inline bint is_plain(Window window):
    return window.sealed is NONE and window.ended_at is None


# Turns


cdef Turn find_turn(Window window, bytes trace_id):
    cdef TurnStore turns = window.turns
    cdef PyObject* page
    cdef PyObject* turn
    if ROOT in turns.leaves:
        page = PyDict_GetItem(turns.pages, ROOT)
        if page is not NULL:
            turn = PyDict_GetItem(<dict>page, trace_id)
            return None if turn is NULL else <Turn>turn
    return turns.get(trace_id)


cdef int change_turn(TurnStore turns, Turn turn) except -1:
    """`TurnStore.change`."""
    cdef PyObject* page
    if ROOT in turns.leaves:
        page = PyDict_GetItem(turns.pages, ROOT)
        if page is not NULL:
            (<dict>page)[turn.trace_id] = turn
            turns.changed_pages.add(ROOT)
            return 0
    turns.change(turn)
    return 0


cdef bint is_known(Window window, Turn turn, const uint8_t* span_id) except -1:
    if window.turns.spilled and turn.trace_id in window.turns.spilled:
        return window.turns.holds(turn, span_id[:SPAN_ID_BYTES])
    return holds(turn.spans.ids, span_id, SPAN_ID_BYTES)


cdef SpanSet spans_of(Window window, Turn turn, bytes name):
    return window.turns.spans_to_change(turn, name)


cdef SpanSet spans_of_twin(Window window, Turn turn, const uint8_t* twin):
    if not window.turns.spilled:
        return turn.spans
    return window.turns.spans_to_change(turn, twin_name(twin[:TWIN_BYTES]))


# Bytes of a `SpanSet`


cdef int append(bytearray items, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Py_ssize_t at = PyByteArray_GET_SIZE(items)
    PyByteArray_Resize(items, at + size)
    memcpy(PyByteArray_AS_STRING(items) + at, data, size)
    return 0


cdef bint holds(bytearray items, const uint8_t* item, Py_ssize_t size):
    """Whether it is one of items of this size that follow one another."""
    cdef const char* data = PyByteArray_AS_STRING(items)
    cdef Py_ssize_t at = 0, end = PyByteArray_GET_SIZE(items) - size
    cdef uint64_t first, other
    memcpy(&first, item, 8)
    while at <= end:
        memcpy(&other, data + at, 8)
        if first == other and memcmp(data + at, item, size) == 0:
            return True
        at += size
    return False


cdef inline void put_count(uint8_t* at, int64_t number) noexcept:
    cdef int place
    for place in range(COUNT_BYTES):
        at[place] = <uint8_t>(number >> (8 * (COUNT_BYTES - 1 - place)))


cdef inline void put_twin(uint8_t* at, const uint8_t* span_id, Item* item) noexcept:
    """`spans.twin_of`."""
    memcpy(at, span_id, SPAN_ID_BYTES)
    put_count(at + SPAN_ID_BYTES, item.amounts[PROMPT])
    put_count(at + SPAN_ID_BYTES + COUNT_BYTES, item.amounts[COMPLETION])


cdef int append_call(bytearray calls, const uint8_t* twin, Text* call) except -1:
    """`SpanSet.put_call`."""
    cdef Py_ssize_t at = PyByteArray_GET_SIZE(calls)
    cdef uint8_t* data
    cdef int place
    PyByteArray_Resize(calls, at + HEAD_BYTES + call.size)
    data = <uint8_t*>PyByteArray_AS_STRING(calls) + at
    memcpy(data, twin, TWIN_BYTES)
    for place in range(LENGTH_BYTES):
        data[TWIN_BYTES + place] = <uint8_t>(call.size >> (8 * place))
    memcpy(data + HEAD_BYTES, call.data, call.size)
    return 0


cdef object take_call(bytearray calls, const uint8_t* twin):
    """Take out the call of this name; None where there is none."""
    cdef const uint8_t* data = <const uint8_t*>PyByteArray_AS_STRING(calls)
    cdef Py_ssize_t at = 0, size = PyByteArray_GET_SIZE(calls), length
    cdef int place
    while at + HEAD_BYTES <= size:
        length = 0
        for place in range(LENGTH_BYTES):
            length |= <Py_ssize_t>data[at + TWIN_BYTES + place] << (8 * place)
        if memcmp(data + at, twin, TWIN_BYTES) == 0:
            call = unpack_call(bytes(calls[at + HEAD_BYTES : at + HEAD_BYTES + length]))
            del calls[at : at + HEAD_BYTES + length]
            return call
        at += HEAD_BYTES + length
    return None


# Sums


cdef ModelSums sums_of(Totals totals, str model):
    """`Totals._sums_of`."""
    cdef PyObject* found = PyDict_GetItem(totals.models.values, model)
    return totals._sums_of(model) if found is NULL else <ModelSums>found


cdef int count(Sums turn, Sums totals, ModelSums model, Item* item) except -1:
    """Add a call's usage to its turn, its window and, where that is kept, its model."""
    cdef int64_t* amounts = item.amounts
    cdef int has = item.has
    turn.calls += 1
    totals.calls += 1
    if has & HAS_PROMPT:
        turn.prompt += amounts[PROMPT]
        turn.prompt_calls += 1
        totals.prompt += amounts[PROMPT]
        totals.prompt_calls += 1
    if has & HAS_COMPLETION:
        turn.completion += amounts[COMPLETION]
        turn.completion_calls += 1
        totals.completion += amounts[COMPLETION]
        totals.completion_calls += 1
    if has & HAS_TOTAL:
        turn.total += amounts[TOTAL]
        turn.total_calls += 1
        totals.total += amounts[TOTAL]
        totals.total_calls += 1
    if has & HAS_CACHE_READ:
        turn.cache_read += amounts[CACHE_READ]
        totals.cache_read += amounts[CACHE_READ]
    if has & HAS_CACHE_WRITE:
        turn.cache_write += amounts[CACHE_WRITE]
        totals.cache_write += amounts[CACHE_WRITE]
    if has & HAS_REASONING:
        turn.reasoning += amounts[REASONING]
        totals.reasoning += amounts[REASONING]
    if has & HAS_PROMPT_COST:
        cost = amounts[PROMPT_COST]
        turn.prompt_cost += cost
        totals.prompt_cost += cost
        if model is not None:
            model.prompt_cost += cost
            model.prompt_cost_calls += 1
    if has & HAS_COMPLETION_COST:
        cost = amounts[COMPLETION_COST]
        turn.completion_cost += cost
        totals.completion_cost += cost
        if model is not None:
            model.completion_cost += cost
            model.completion_cost_calls += 1
    if has & HAS_TOTAL_COST:
        cost = amounts[TOTAL_COST]
        turn.total_cost += cost
        totals.total_cost += cost
        if model is not None:
            model.total_cost += cost
            model.total_cost_calls += 1
    else:
        turn.unpriced += 1
        totals.unpriced += 1
    if model is not None:
        if has & HAS_PROMPT:
            model.prompt += amounts[PROMPT]
            model.prompt_calls += 1
        if has & HAS_COMPLETION:
            model.completion += amounts[COMPLETION]
            model.completion_calls += 1
        if has & HAS_TOTAL:
            model.total += amounts[TOTAL]
            model.total_calls += 1
    return 0


# Texts and their writers


cdef str text_of(Text* text):
    """Of an input, an output or an error, what is kept."""
    cdef str found = PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)
    return found if len(found) <= PREVIEW_LENGTH else found[:PREVIEW_LENGTH]


cdef str name_of(Text* text):
    """Of a name, what is kept."""
    cdef str found = PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)
    return found if len(found) <= MAX_NAME else found[:MAX_NAME]


cdef inline tuple writer_of(Item* item, int64_t time):
    return (time, item.trace_id[:TRACE_ID_BYTES], item.span_id[:SPAN_ID_BYTES])


cdef inline int order_of_bytes(const uint8_t* one, Py_ssize_t size, bytes other):
    cdef Py_ssize_t length = PyBytes_GET_SIZE(other)
    cdef int found = memcmp(one, PyBytes_AS_STRING(other), size if size < length else length)
    if found:
        return 1 if found > 0 else -1
    return (size > length) - (size < length)


cdef inline int order_in_turn(tuple held, Item* item, int64_t time) except -2:
    """(time, span id) against those of a text: less than 0, 0, greater than 0."""
    cdef int64_t held_time = held[0]
    if time != held_time:
        return 1 if time > held_time else -1
    return order_of_bytes(item.span_id, SPAN_ID_BYTES, held[1])


cdef inline int order(tuple held, Item* item, int64_t time) except -2:
    """(time, trace id, span id) against the writer of a text."""
    cdef tuple writer = held[0]
    cdef int64_t held_time = writer[0]
    cdef int found
    if time != held_time:
        return 1 if time > held_time else -1
    found = order_of_bytes(item.trace_id, TRACE_ID_BYTES, writer[1])
    return found if found else order_of_bytes(item.span_id, SPAN_ID_BYTES, writer[2])


# Who and where


cdef int hear_in_turn(Said said, Told told, tuple writer) except -1:
    """`Said.hear` and `Said.settle`."""
    cdef Py_ssize_t at
    cdef tuple pair
    if said._last is not NO_DIMENSIONS and said._last is not told.dimensions:
        said.settle()
    if said.many is not None or said._last is not NO_DIMENSIONS:
        said.hear(told.dimensions, writer[0], writer[2])
        said.settle()
        return 0
    for at in range(len(said.few)):
        pair = <tuple>said.few[at]
        if says(pair[0], told):
            if writer > <tuple>pair[1]:
                said.few[at] = (told.dimensions, writer)
            return 0
    if told.weight < 0:
        told.weight = weight_of(told.dimensions)
    said.few.append((told.dimensions, writer))
    said.weight += told.weight
    if len(said.few) > MAX_FEW:
        said.collect()
    return 0


cdef bint says(object dimensions, Told told) except -1:
    """Whether they are equal."""
    if dimensions is told.dimensions:
        return True
    return (
        <str>dimensions.user_id == told.user_id
        and <str>dimensions.agent == told.agent
        and <str>dimensions.conversation_id == told.conversation_id
        and dimensions == told.dimensions
    )


cdef int hear_in_window(Totals totals, Told told, tuple writer) except -1:
    """`Who.hear`."""
    if told.user_id:
        let_in(totals.users, told.user_id)
    if told.service:
        let_in(totals.services, told.service)
    if told.agent:
        let_in(totals.agents, told.agent)
    if told.conversation_id:
        let_in(totals.conversations, told.conversation_id)
    for tag in told.tags:
        if tag not in totals.tags.sizes:
            add_name(totals.tags, tag, MAX_TEXT)
    if told.environment and (totals.environment is None or writer > <tuple>totals.environment[0]):
        totals.environment = (writer, told.environment[:MAX_NAME])
    for name, value in told.session:
        write_entry(totals.session, name, value, writer)
    for name, value in told.metadata:
        write_entry(totals.metadata, name, value, writer)
    return 0


cdef inline int let_in(Names names, str name) except -1:
    if name not in names.sizes:
        add_name(names, name, MAX_NAME)
    return 0


cdef int write_entry(Names entries, str name, str value, tuple writer) except -1:
    """`who.write`."""
    cdef PyObject* found = PyDict_GetItem(entries.values, name)
    cdef tuple held
    if found is not NULL:
        held = <tuple>found
        if held[1] is value or held[1] == value:
            if writer > <tuple>held[0]:
                entries.values[name] = (writer, value)
            return 0
    write(entries, name, value, writer)
    return 0


# After a record


def settle(Window window not None):
    """`Window.settle`."""
    cdef Totals totals = window.totals
    cdef Turn turn
    cdef tuple settled
    if totals.said:
        totals.settle()
    for turn in window.touched.values():
        if turn.said._last is not NO_DIMENSIONS:
            turn.said.settle()
        settled = turn.settled
        if settled is not None:
            if settled[0] == turn.start and settled[1] == turn.end:
                continue
            totals.count_latency(bucket(<int64_t>settled[1] - <int64_t>settled[0]), -1)
        count_latency(totals.latency, bucket(turn.end - turn.start))
        unite(totals.active, turn.start, turn.end)
        turn.settled = (turn.start, turn.end)
    window.touched.clear()


cdef int count_latency(dict latency, long index) except -1:
    cdef object key = index
    cdef PyObject* found = PyDict_GetItem(latency, key)
    latency[key] = 1 if found is NULL else <object>found + 1
    return 0


cdef extern from *:
    int __builtin_clzll(unsigned long long number) noexcept nogil


cdef inline long bucket(int64_t duration) noexcept:
    """`quantiles.bucket`."""
    cdef int shift
    if duration < 1 << LEADING_BITS:
        return duration
    shift = 64 - __builtin_clzll(duration) - LEADING_BITS
    return STEPS * shift + (duration >> shift)


cdef int unite(Intervals active, int64_t start, int64_t end) except -1:
    """`Intervals.add`."""
    cdef array.array bounds = active.bounds
    cdef Py_ssize_t size = len(bounds)
    if active._gaps is None and size < MOST_BOUNDS and (size == 0 or start > bounds.data.as_longlongs[size - 1]):
        array.resize_smart(bounds, size + 2)
        bounds.data.as_longlongs[size] = start
        bounds.data.as_longlongs[size + 1] = end
        return 0
    active.add(start, end)
    return 0
