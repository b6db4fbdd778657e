# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Records of `otlp_spans` to records of `session_spans` and `trace_spans`, from bytes to bytes.

The definition is Python: `decode.py`, `facts.py`, and the outputs of the sessionizer; what this writes and counts is
equal to what they give. A record is read in two passes: first every span into a `Spot` (`_spots.pyx`); then, here, what
the spans say together (their traces, turns and groups), and their items are written into chunks (`_span_chunks.pyx`).

`scan` is False, and nothing has happened, where Python must do it: a record that is not surely a plain protobuf
request, is compressed or very large. Of a span that Python has read the facts are packed by `pack_item`.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from services.shared.otlp._memo cimport memo_hash
from services.shared.otlp._meanings cimport MOST_COUNTS, Meanings, Session
from services.shared.otlp._spots cimport (
    DECLINED, FIRST_TOKEN, IN, NONE, NOTES, OUT, PROMPT, PROMPT_COST, SPAN_ID_SIZE, TRACE_ID_SIZE, Spot, SpotReader
)
from services.shared.otlp._wire cimport Slice
from services.shared.records._packed cimport append, put_array, put_bytes, put_int, put_none, put_raw, put_text
from services.shared.records._span_chunks cimport ItemChunks, SpanChunks, TraceChunks

from collections import Counter
from dataclasses import replace

from services.shared.model.outcome import DropReason, Note
from services.shared.model.span import SessionEnd
from services.shared.otlp import facts
from services.shared.otlp.rules import Resolve
from services.shared.otlp.span_reader import INVALID_ID
from services.shared.records.packed import pack
from services.shared.records.session_spans import IS_ERROR, IS_TOOL_CALL, pack_dimensions, pack_item
from services.shared.records.trace_spans import trace_partition

cdef size_t MOST_BYTES = 4 << 20  # of a record; larger ones are counted before they are parsed (`decode.py`)
cdef size_t KEPT_SLOTS = 1 << 15  # between records
cdef size_t ITEM_BYTES = 512  # of an item, besides its texts, at most
cdef int ERROR_FLAG = IS_ERROR
cdef int TOOL_FLAG = IS_TOOL_CALL
cdef str FROM_TRACE = facts.FROM_TRACE
cdef enum:
    SOURCES = 64

_NOTES = list(Note)


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


@cython.final  # so that its methods call each other directly
cdef class Scanner:
    """For one partition of `otlp_spans`. `session_spans` and `trace_spans`: compiled chunks by partition.

    `trace_spans` is empty where nothing is resolved. Not for two threads at once: the second is declined.
    """

    cdef SpotReader reader
    cdef Meanings meanings  # the reader's
    cdef object session_spans
    cdef object trace_spans
    cdef bint resolves
    cdef bint binds_only_missing
    cdef bint is_busy
    cdef readonly object latest_end  # of the valid spans of the record that was scanned last; None: it had none

    # Of the record that is being scanned.
    cdef uint64_t number
    cdef int64_t record_time
    cdef Spot* spots  # these three the reader's
    cdef size_t spot_count
    cdef list facts
    cdef list ends  # `SessionEnd`, and what is behind it in its group
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
    cdef uint64_t all_calls[MOST_COUNTS]
    cdef uint64_t all_records
    cdef uint64_t all_invalid
    cdef uint64_t all_without
    cdef uint64_t all_waiting

    def __init__(self, rules, session_spans, trace_spans):
        self.reader = SpotReader(rules)
        self.meanings = self.reader.meanings
        if len(self.meanings.plans.session_names) >= SOURCES:
            raise ValueError(f"more than {SOURCES} names of session ids")
        self.session_spans, self.trace_spans = list(session_spans), list(trace_spans)
        self.resolves = rules.resolve is not Resolve.OFF
        self.binds_only_missing = rules.resolve is Resolve.WHEN_MISSING
        self.all_counts = Counter()
        self._forget_record()

    def __dealloc__(self):
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
            if self.reader.read(data, size, record_time) == DECLINED:
                return False
            self.number += 1
            self.record_time = record_time
            self.spots, self.spot_count, self.facts = self.reader.spots, self.reader.spot_count, self.reader.facts
            self._link()
            self._write_groups()
            self._write_bindings()
            self._write_waiting()
            self._count()
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

    cdef int _count(self) except -1:
        """What a record that was scanned adds to the counts."""
        cdef int place
        self.latest_end = self.reader.latest if self.reader.has_latest else None
        self.all_records += 1
        self.all_invalid += self.reader.invalid
        for place in range(NOTES):
            self.all_notes[place] += self.reader.notes[place]
        for place in range(len(self.meanings.counts)):
            self.all_calls[place] += self.reader.calls[place]
        if self.reader.counts:
            self.all_counts.update(self.reader.counts)
        if self.reader.span_reader is not None:
            self.all_counts.update(self.reader.span_reader.counts)
            for note, number in self.reader.span_reader.notes.items():
                self.all_notes[<int>_NOTES.index(note)] += number
        return 0

    # What the spans of a record say together

    cdef int _link(self) except -1:
        self._link_traces()
        self._show_texts_below()
        self._group()
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
        self.reader.find_texts(spot, whole)
        if not whole[side].size:
            return False
        self.reader.show(spot, side, whole[side])
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
                most += len(<bytes>self.reader.packed[spot.costs])
        chunks.begin_item(most)
        at = put_array(chunks.groups.data + chunks.groups.size, 16 if has_tool else 14)
        at = put_bytes(at, spot.trace_id, TRACE_ID_SIZE)
        at = put_bytes(at, spot.span_id, SPAN_ID_SIZE)
        at = put_bytes(at, spot.parent_id, SPAN_ID_SIZE if spot.parent_id is not NULL else 0)
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
                at = put_raw(at, <bytes>self.reader.packed[spot.costs], len(<bytes>self.reader.packed[spot.costs]))
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
        self.reader.forget()
        self.spots, self.spot_count, self.facts = NULL, 0, None
        self.ends = []
        self.trace_count = self.turn_count = self.group_count = self.binding_count = 0
        if self.slot_room > KEPT_SLOTS:
            self._free_links()
            free(self.slots)
            self.slots = NULL
            self.slot_room = 0
        return 0


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
