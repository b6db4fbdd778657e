# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Spans into windows straight from the bytes of a record, without an object for each of them.

The definition is `catch_up.py`, with `Session.take` and `Window.settle`; these are
the very same objects, and what comes out is the same to the byte. Done here is what nearly all spans are: a plain
span for a session with one plain window, or with none. Everything else, a span that begins a
second window, a copy's window that is sealed, an end, goes to `Session.take` as an object.

What spans say of who and where is taken in later: by a turn once for consecutive spans that say the same, by a window
once for all spans of a group that do.
"""

from cpython cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from services.sessionizer.engine._blank cimport blank_turn, blank_window
from services.sessionizer.engine._json_size cimport PyUnicode_AsUTF8AndSize, json_size
from services.sessionizer.engine._span_sets cimport TWIN_BYTES, append, append_call, holds, put_twin, take_call
from services.sessionizer.engine._sums cimport count
from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.session cimport Effects, Now, Session
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.turn_store cimport TurnStore
from services.sessionizer.engine.usage cimport ModelSums
from services.sessionizer.engine.window cimport Window
from services.shared.records._session_spans cimport (
    HAS_COMPLETION, HAS_FIRST_TOKEN, HAS_PROMPT, IS_ERROR, IS_TOOL_CALL, SPAN_ID_BYTES, TRACE_ID_BYTES, Group, Item,
    PackedSpans, Told,
)
from services.shared.records._unpacked cimport Text

from hashlib import blake2b

from services.sessionizer.engine.catch_up import take
from services.sessionizer.engine.intervals import MAX_INTERVALS
from services.sessionizer.engine.said import MAX_FEW as _MAX_FEW, weight_of
from services.sessionizer.engine.spans import twin_name
from services.sessionizer.engine.tree import ROOT as _ROOT
from services.sessionizer.engine.who import MAX_NAME as _MAX_NAME, MAX_TEXT as _MAX_TEXT
from services.sessionizer.engine.who import NUMBERS_OF_ENTRY as _NUMBERS_OF_ENTRY, add_name, write
from services.shared.model.rollup import CloseReason
from services.shared.model.span import NO_DIMENSIONS, PREVIEW_LENGTH as _PREVIEW_LENGTH
from services.shared.records.model_calls import unpack_call

cdef object NONE = CloseReason.NONE
cdef object ROOT = _ROOT
cdef Py_ssize_t MAX_FEW = _MAX_FEW
cdef Py_ssize_t MAX_NAME = _MAX_NAME
cdef Py_ssize_t MAX_TEXT = _MAX_TEXT
cdef Py_ssize_t NUMBERS_OF_ENTRY = _NUMBERS_OF_ENTRY
cdef Py_ssize_t PREVIEW_LENGTH = _PREVIEW_LENGTH
cdef list _names = [None] * CACHED_NAMES
cdef list _providers = [None] * CACHED_NAMES
cdef Py_ssize_t MOST_BOUNDS = 2 * MAX_INTERVALS

cdef enum:
    LEADING_BITS = 6
    STEPS = 32
    CACHED_NAMES = 512  # a power of two
    MOST_CACHED = 64  # bytes
    MOST_HEARD = 16


def catch_up(
    Session session not None, waiting not None, list sweeps not None, Effects effects not None, desk not None, long most
):
    """`catch_up.catch_up`."""
    cdef Folder folder = Folder.__new__(Folder)
    cdef list parts = waiting.parts
    cdef Py_ssize_t done = waiting.done, swept = waiting.swept, count = PyList_GET_SIZE(parts)
    cdef long spans = 0
    cdef tuple part
    cdef Now now = None
    folder.session, folder.effects = session, effects
    while done < count:
        if spans >= most:
            waiting.done, waiting.swept = done, swept
            return False
        part = <tuple>PyList_GET_ITEM(parts, done)
        if part[0] != swept:
            pass_time(session, sweeps, swept, part[0], desk)
            swept = part[0]
        if part[1] is not now:
            now = <Now?>part[1]
            folder.begin(now)
        if isinstance(part[2], PackedSpans):
            spans += folder.take(<PackedSpans>part[2], part[3])
        else:
            take(session, part[2], part[3], now, effects)
            spans += len(part[2].items)
        done += 1
        if done == count or (<tuple>PyList_GET_ITEM(parts, done))[1] is not now:
            settle_all(session, now, effects, desk)
    pass_time(session, sweeps, swept, PyList_GET_SIZE(sweeps), desk)
    waiting.done, waiting.swept = done, PyList_GET_SIZE(sweeps)
    return True


cdef int settle_all(Session session, Now now, Effects effects, desk) except -1:
    """`catch_up._settle`; nobody is told of what is not so."""
    cdef Window window
    if effects.absorbed or effects.annotated or effects.given_up:
        desk.see(session, now)
    for window in session.windows:
        if window.version == now.version:
            settle(window)
            if window.is_closed != is_over(window, now.watermark):
                desk.close(window, now.version, now.watermark)
    return 0


cdef int pass_time(Session session, list sweeps, Py_ssize_t since, Py_ssize_t until, desk) except -1:
    """`catch_up._pass_time` of some of the sweeps."""
    cdef Window window
    cdef Py_ssize_t each
    cdef long long last, watermark
    if since == until:
        return 0
    last = (<tuple>PyList_GET_ITEM(sweeps, until - 1))[1]
    for window in session.windows[:]:
        if not window.has_expired(last) and (window.is_closed or not is_over(window, last)):
            continue
        for each in range(since, until):
            version, watermark = <tuple>PyList_GET_ITEM(sweeps, each)
            if window.has_expired(watermark):
                session.windows.remove(window)
                desk.expire(session, window, watermark)
                break
            if not window.is_closed and watermark > window.end + window.gap:
                desk.close(window, version, watermark)
    return 0


cdef bint is_over(Window window, long long watermark) noexcept:
    return not is_plain(window) or watermark > window.end + window.gap


cdef struct Heard:  # something said, and the last span that did so
    PyObject* told  # of the record's table, which holds it
    Item* by


cdef class Folder:
    """A session that takes in spans: the record at hand, and the window and turn of the last span."""

    cdef PackedSpans record
    cdef Now now
    cdef Effects effects
    cdef long long allowed_lateness, max_spans, max_duration
    cdef Session session
    cdef long long gap
    cdef Window window
    cdef Turn turn  # of the window
    cdef Heard in_turn  # what the last spans said, all of one turn, not yet taken in by it
    cdef Heard[MOST_HEARD] in_window  # not yet taken in by the window, in the order in which it was first said
    cdef int heard
    cdef Item* named  # the span whose id is `span_id`
    cdef bytes span_id

    cdef int begin(self, Now now) except -1:
        """What comes now is of another record."""
        self.now = now
        self.allowed_lateness = now.policy.allowed_lateness
        self.max_spans, self.max_duration = now.policy.max_spans, now.policy.max_duration
        self.gap = now.policy.gap_for(self.session.key.project)
        return 0

    cdef long take(self, PackedSpans record, size_t number) except -1:
        """Apply a group of the record. Returns how many items it has."""
        cdef size_t each
        cdef Item* item
        cdef Group* group = &record.groups[number]
        self.record, self.now.record_time, self.now.position = record, group.record_time, group.begin
        for each in range(group.begin, group.end):
            self.now.position += 1
            item = &self.record.items[each]
            if not (item.is_plain and self.take_plain(item)):
                self.leave()
                self.session.take(record.item(each), self.now, self.effects)
        self.leave()
        return group.end - group.begin

    cdef int leave(self) except -1:
        """What comes now may be another window's."""
        self.end_turn()
        self.end_window()
        self.window = self.turn = None
        return 0

    cdef bint take_plain(self, Item* item) except -1:
        """False, and nothing done, where the span is not one of those described above."""
        cdef Window window = self.window
        cdef Turn turn = self.turn
        cdef bytes trace_id
        if window is None or not is_plain(window):
            self.leave()
            turn = None
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
            self.end_turn()
            trace_id = PyBytes_FromStringAndSize(<const char*>item.trace_id, TRACE_ID_BYTES)
            turn = find_turn(window, trace_id)
            if turn is None:
                if item.start - window.end > self.gap or window.start - item.end > self.gap:
                    return False
                turn = blank_turn(trace_id, item.start, item.end)
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
            self.leave()
        return True

    cdef Window open(self, Item* item):
        """`Session._open`, of a session without windows."""
        cdef Now now = self.now
        cdef tuple opened = (now.version, now.position)
        digest = blake2b(b"%b\0%b%b%d/%d" % (
            self.session.name, item.trace_id[:TRACE_ID_BYTES], item.span_id[:SPAN_ID_BYTES], now.version, now.position
        ), digest_size=8).digest()
        cdef bint is_late = now.watermark > item.end + self.gap + self.allowed_lateness
        cdef Window window = blank_window(digest, opened, item.start, now.record_time, is_late)
        self.session.windows.append(window)
        self.effects.opened += 1
        return window

    cdef int add(self, Window window, Turn turn, Item* item) except -1:
        """`Window.add`, but for what it says of who and where: that is noted."""
        cdef Totals totals = window.totals
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
                totals.last_error = ((item.end, turn.trace_id, self.id_of(item)), text_of(&item.error))
        if item.flags & IS_TOOL_CALL:
            turn.tool_call_count += 1
            totals.tool_call_count += 1
            if item.tool.size:
                totals._add_tool(name_of(&item.tool))
        if item.parent_id is NULL and (turn.root is None or order_in_turn(turn.root, item, item.start) < 0):
            turn.root = (item.start, self.id_of(item), name_of(&item.name))
        if item.input.size:
            self.add_input(turn, totals, item)
        if item.output.size:
            self.add_output(turn, totals, item)
        spans = turn.spans if not window.turns.spilled else spans_of(window, turn, item.span_id[:SPAN_ID_BYTES])
        append(spans.ids, item.span_id, SPAN_ID_BYTES)
        window.identities += 1
        if item.call.data is not NULL:
            self.add_call(window, turn, item)
        self.hear(item)
        return 0

    cdef int add_input(self, Turn turn, Totals totals, Item* item) except -1:
        """`_add_root` and `_add_below` of both, for the input. Most texts are not kept, and then they are not decoded."""
        cdef bint is_root = item.parent_id is NULL
        cdef tuple in_turn = turn.input if is_root else turn.input_below
        cdef tuple in_window = totals.first_input if is_root else totals.first_input_below
        cdef bint is_first = in_turn is None or order_in_turn(in_turn, item, item.start) < 0
        cdef bint is_first_of_all = in_window is None or order(in_window, item, item.start) < 0
        if not is_root:
            is_first = is_first and turn.input is None
            is_first_of_all = is_first_of_all and totals.first_input is None
        if is_first or is_first_of_all:
            text, started = text_of(&item.input), item.start
            if is_first:
                in_turn = (started, self.id_of(item), text)
            if is_first_of_all:
                in_window = ((started, turn.trace_id, self.id_of(item)), text)
        if is_root:
            turn.input, turn.input_below = in_turn, None
            totals.first_input, totals.first_input_below = in_window, None
        else:
            turn.input_below, totals.first_input_below = in_turn, in_window
        return 0

    cdef int add_output(self, Turn turn, Totals totals, Item* item) except -1:
        """The same of the output that ended last."""
        cdef bint is_root = item.parent_id is NULL
        cdef tuple in_turn = turn.output if is_root else turn.output_below
        cdef tuple in_window = totals.last_output if is_root else totals.last_output_below
        cdef bint is_last = in_turn is None or order_in_turn(in_turn, item, item.end) > 0
        cdef bint is_last_of_all = in_window is None or order(in_window, item, item.end) > 0
        if not is_root:
            is_last = is_last and turn.output is None
            is_last_of_all = is_last_of_all and totals.last_output is None
        if is_last or is_last_of_all:
            text, ended = text_of(&item.output), item.end
            if is_last:
                in_turn = (ended, self.id_of(item), text)
            if is_last_of_all:
                in_window = ((ended, turn.trace_id, self.id_of(item)), text)
        if is_root:
            turn.output, turn.output_below = in_turn, None
            totals.last_output, totals.last_output_below = in_window, None
        else:
            turn.output_below, totals.last_output_below = in_turn, in_window
        return 0

    cdef inline bytes id_of(self, Item* item):
        """Its span id: one object, however many texts it stands by."""
        if self.named is not item:
            self.named, self.span_id = item, PyBytes_FromStringAndSize(<const char*>item.span_id, SPAN_ID_BYTES)
        return self.span_id

    cdef int add_call(self, Window window, Turn turn, Item* item) except -1:
        """`Turn._add_call`, `Totals._add_names` and `Window._add_call`."""
        cdef Totals totals = window.totals
        cdef ModelSums sums = None
        cdef str model = None, name
        cdef uint8_t[TWIN_BYTES] twin
        cdef SpanSet spans
        cdef bytes repeated
        if item.model.size:
            model = name_of(&item.model)
            if turn.model is None or order_in_turn(turn.model, item, item.end) > 0:
                turn.model = (item.end, self.id_of(item), model)
            sums = sums_of(totals, model)
        if item.has & HAS_FIRST_TOKEN:
            first_token = (item.start, self.id_of(item), item.first_token)
            if turn.first_token is None or first_token < turn.first_token:
                turn.first_token = first_token
        if item.provider.size:
            name = provider_of(name_of(&item.provider), model)
            let_in(totals.providers, name, len(name))
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
                    window._count(turn, unpack_call(repeated), -1)
        return 0

    cdef int hear(self, Item* item) except -1:
        """Note what a span said."""
        cdef PyObject* told = PyList_GET_ITEM(self.record.table, item.dimensions)
        cdef int each
        if self.in_turn.told is not told:
            self.end_turn()
            self.in_turn.told, self.in_turn.by = told, item
        elif is_later(item, self.in_turn.by):
            self.in_turn.by = item
        for each in range(self.heard):
            if self.in_window[each].told is told:
                if is_later(item, self.in_window[each].by):
                    self.in_window[each].by = item
                return 0
        if self.heard == MOST_HEARD:
            self.end_window()
        self.in_window[self.heard].told, self.in_window[self.heard].by = told, item
        self.heard += 1
        return 0

    cdef int end_turn(self) except -1:
        """Let the turn take in what its spans said."""
        cdef Told told
        cdef Item* by = self.in_turn.by
        if self.in_turn.told is NULL:
            return 0
        told = <Told>self.in_turn.told
        self.in_turn.told = NULL
        if not told.is_empty:
            hear_in_turn(self.turn.said, told, (by.end, b"", by.span_id[:SPAN_ID_BYTES]))
        return 0

    cdef int end_window(self) except -1:
        """Let the window take in what its spans said. Where they differ in names only, the last one writes the rest."""
        cdef Totals totals
        cdef Told told, first
        cdef int each, last = 0
        cdef bint is_alike = True
        if self.heard == 0:
            return 0
        totals = self.window.totals
        if totals.said:
            totals.settle()
        first = <Told>self.in_window[0].told
        for each in range(self.heard):
            told = <Told>self.in_window[each].told
            hear_names(totals, told)
            if is_later(self.in_window[each].by, self.in_window[last].by):
                last = each
            is_alike = (
                is_alike and told.environment is first.environment
                and told.session is first.session and told.metadata is first.metadata
            )
        for each in range(last if is_alike else 0, last + 1 if is_alike else self.heard):
            told = <Told>self.in_window[each].told
            if told.environment or told.session or told.metadata:
                hear_values(totals, told, writer_of(self.in_window[each].by, self.in_window[each].by.end))
        self.heard = 0
        return 0


cdef inline bint is_later(Item* item, Item* other) noexcept:
    """Whether its end is, or else its trace, or else its span: the greater is the later."""
    cdef int order
    if item.end != other.end:
        return item.end > other.end
    order = memcmp(item.trace_id, other.trace_id, TRACE_ID_BYTES)
    return (order if order else memcmp(item.span_id, other.span_id, SPAN_ID_BYTES)) > 0


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


# Sums


cdef ModelSums sums_of(Totals totals, str model):
    """`Totals._sums_of`."""
    cdef PyObject* found = NULL
    if totals.models._values is not None:
        found = PyDict_GetItem(totals.models._values, model)
    return totals._sums_of(model) if found is NULL else <ModelSums>found


# Texts and their writers


cdef str text_of(Text* text):
    """Of an input, an output or an error, what is kept."""
    cdef str found = PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)
    return found if len(found) <= PREVIEW_LENGTH else found[:PREVIEW_LENGTH]


cdef str name_of(Text* text):
    """Of a name, what is kept. There are few, so they are kept from record to record."""
    cdef uint64_t hash_ = text.size, word
    cdef Py_ssize_t size = 0
    cdef const char* known
    cdef str found
    cdef object kept
    if 8 <= text.size <= MOST_CACHED:
        memcpy(&word, text.data, 8)
        hash_ = (hash_ ^ word) * <uint64_t>0x9E3779B97F4A7C15ULL
        memcpy(&word, text.data + text.size - 8, 8)
        hash_ = (hash_ ^ word) * <uint64_t>0x9E3779B97F4A7C15ULL
    elif text.size <= MOST_CACHED:
        word = 0
        memcpy(&word, text.data, text.size)
        hash_ = (hash_ ^ word) * <uint64_t>0x9E3779B97F4A7C15ULL
    hash_ = hash_ >> 32 & (CACHED_NAMES - 1)
    kept = _names[hash_]
    if kept is not None:
        known = PyUnicode_AsUTF8AndSize(kept, &size)
        if <size_t>size == text.size and memcmp(known, text.data, size) == 0:
            return <str>kept
    found = PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)
    if len(found) > MAX_NAME:
        return found[:MAX_NAME]
    if text.size <= MOST_CACHED:
        _names[hash_] = found
    return found


cdef str provider_of(str provider, str model):
    """The name of a provider with its model, as `Totals._add_names` makes it."""
    cdef size_t place = (<size_t><PyObject*>provider >> 4 ^ <size_t><PyObject*>model >> 7) & (CACHED_NAMES - 1)
    cdef object kept = _providers[place]
    cdef str name
    if kept is not None and (<tuple>kept)[0] is provider and (<tuple>kept)[1] is model:
        return (<tuple>kept)[2]
    name = f"{provider}\0{model or ''}"
    _providers[place] = (provider, model, name)
    return name


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


cdef int hear_names(Totals totals, Told told) except -1:
    """The part of `Who.hear` that no writer matters for."""
    if told.user_id:
        let_in(totals.users, told.user_id, MAX_NAME)
    if told.service:
        let_in(totals.services, told.service, MAX_NAME)
    if told.agent:
        let_in(totals.agents, told.agent, MAX_NAME)
    if told.conversation_id:
        let_in(totals.conversations, told.conversation_id, MAX_NAME)
    for tag in told.tags:
        let_in(totals.tags, tag, MAX_TEXT)
    return 0


cdef int hear_values(Totals totals, Told told, tuple writer) except -1:
    """The rest of it."""
    if told.environment and (totals.environment is None or writer > <tuple>totals.environment[0]):
        totals.environment = (writer, told.environment[:MAX_NAME])
    for name, value in told.session:
        write_entry(totals.session, name, value, writer)
    for name, value in told.metadata:
        write_entry(totals.metadata, name, value, writer)
    return 0


cdef int let_in(Names names, str name, Py_ssize_t most) except -1:
    """`who.add_name`."""
    cdef Py_ssize_t size
    if names._sizes is not None and name in names._sizes:
        return 0
    if names.cut is None and len(name) <= most:
        size = json_size(name)
        if names.total + size <= names.limit:
            take_in(names, name, size)
            return 0
    add_name(names, name, most)
    return 0


cdef int take_in(Names names, str name, Py_ssize_t size) except -1:
    """A new name, for which there is room."""
    if names._sizes is None:
        names._sizes = {}
    names._sizes[name] = size
    names.total += size
    return 0


cdef int write_entry(Names entries, str name, str value, tuple writer) except -1:
    """`who.write`."""
    cdef PyObject* found = NULL
    cdef dict values = entries._values
    cdef tuple held
    cdef Py_ssize_t size
    if values is None:
        values = entries._values = {}
    else:
        found = PyDict_GetItem(values, name)
    if found is not NULL:
        held = <tuple>found
        if held[1] is value or held[1] == value:
            if writer > <tuple>held[0]:
                values[name] = (writer, value)
            return 0
    elif (
        entries.cut is None and len(name) <= MAX_NAME and len(value) <= MAX_TEXT
        and (entries._sizes is None or name not in entries._sizes)
    ):
        size = 2 * json_size(name) + json_size(value) + NUMBERS_OF_ENTRY
        if entries.total + size <= entries.limit:
            take_in(entries, name, size)
            values[name] = (writer, value)
            return 0
    write(entries, name, value, writer)
    return 0


# After a record


cdef int settle(Window window) except -1:
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
    return 0


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
