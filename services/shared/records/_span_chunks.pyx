# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Chunks that take items which are packed already. The definition is `span_chunks.py`; records are equal to the byte.

Used from C: begin a group, then of each item begin it, write its bytes behind `groups`, end it, and where it filled
the record end the group, cut, and begin the group anew if there is more of it. Used from Python: `add`, as there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove

from services.shared.records._packed cimport HEAD_BYTES, Buffer, append, put_array, put_bytes_head, put_int, put_map
from services.shared.records._packed cimport put_raw, reserve

from services.shared.model.span import SpanFacts
from services.shared.records import session_spans, trace_spans
from services.shared.records.packed import pack
from services.shared.records.session_spans import pack_dimensions, pack_item
from services.shared.records.span_chunks import TARGET_BYTES as _TARGET_BYTES
from services.shared.records.trace_spans import BindingGroup

cdef size_t TARGET_BYTES = _TARGET_BYTES
cdef bytes _SPANS_HEAD = session_spans.assemble((), ()).removesuffix(b"\x90\x90")
cdef bytes _TRACES_HEAD = trace_spans.assemble((), (), ()).removesuffix(b"\x90\x90\x90")
cdef enum:
    TRACE_ID_BYTES = 16
    ARRAY_HEAD_BYTES = 5


cdef class Total:
    """What several chunks hold together."""


cdef class ItemChunks:
    """What chunks of both topics have: a table of dimensions, groups, and records that are finished."""

    def __init__(self, Total total=None):
        self.total = Total() if total is None else total
        self.records = []
        self.places = {}

    def __dealloc__(self):
        free(self.table.data)
        free(self.groups.data)

    cdef bint is_full(self) noexcept:
        return self.written >= TARGET_BYTES

    cdef Py_ssize_t place_of(self, bytes dimensions) except -1:
        """Where the record's table has these packed dimensions, which are added to it."""
        cdef object place = self.places.get(dimensions)
        cdef Py_ssize_t size
        if place is not None:
            return place
        size = len(dimensions)
        append(&self.table, <const uint8_t*>dimensions, size)
        _count(self, size)
        place = len(self.places)
        self.places[dimensions] = place
        return place

    cdef int begin_item(self, size_t most) except -1:
        """Room for an item of at most so many bytes behind `groups`."""
        reserve(&self.groups, most)
        self.item_begin = self.groups.size
        return 0

    cdef bint end_item(self) except -1:
        """Whether the record is full now."""
        cdef size_t size = self.groups.size - self.item_begin
        self.item_count += 1
        _count(self, size)
        return self.written >= TARGET_BYTES

    cdef int put_items_head(self) except -1:
        """The head of the array of items, now that their number is known: there is a byte for it, and mostly it fits."""
        cdef uint8_t head[ARRAY_HEAD_BYTES]
        cdef size_t size = put_array(head, self.item_count) - head
        cdef size_t items = self.groups.size - self.items_begin
        if size > 1:
            reserve(&self.groups, size)
            memmove(
                self.groups.data + self.items_begin - 1 + size, self.groups.data + self.items_begin, items
            )
            self.groups.size += size - 1
        memcpy(self.groups.data + self.items_begin - 1, head, size)
        return 0

    cdef int _begin(self, uint8_t fields, const uint8_t* names, size_t size, int64_t record_time) except -1:
        """A group of items: the head of its array, `names` (packed), its time, and a byte for the head of its items."""
        cdef uint8_t* at
        reserve(&self.groups, size + HEAD_BYTES + 2)
        self.group_begin = self.groups.size
        at = self.groups.data + self.groups.size
        at[0] = fields
        memcpy(at + 1, names, size)
        at = put_int(at + 1 + size, record_time) + 1
        self.groups.size = at - self.groups.data
        size = self.groups.size - self.group_begin - 2
        _count(self, size)
        self.items_begin = self.groups.size
        self.item_count = 0
        return 0

    cdef bint _add_item(self, object item) except -1:
        """One item of the model. Whether the record is full now."""
        cdef bytes packed
        dimensions = {}
        if isinstance(item, SpanFacts):
            packed = pack(pack_dimensions(item.dimensions))
            dimensions[item.dimensions] = self.place_of(packed)
        packed = pack(pack_item(item, dimensions))
        self.begin_item(len(packed))
        append(&self.groups, <const uint8_t*>packed, len(packed))
        return self.end_item()

    cdef int _finish(self, bytes record) except -1:
        self.records.append(record)
        self.places = {}
        self.table.size = self.groups.size = 0
        self.group_count = 0
        self.written = 0
        return 0

    cdef list _take(self):
        records, self.records = self.records, []
        self.total.bytes -= self.size
        self.size = 0
        return records


cdef inline int _count(ItemChunks chunks, size_t size) noexcept:
    chunks.written += size
    chunks.size += size
    chunks.total.bytes += size
    return 0


cdef class SpanChunks(ItemChunks):
    """For a partition of `session_spans`."""

    def add(self, group):
        project, session_id = group.key
        cdef bytes names = pack(project) + pack(session_id)
        cdef bint is_open = False
        for item in group.items:
            if not is_open:
                self.begin_group(<const uint8_t*>names, len(names), group.record_time)
                is_open = True
            if self._add_item(item):
                self.end_group()
                self.cut()
                is_open = False
        if is_open:
            self.end_group()

    def take(self):
        if self.written:
            self.cut()
        return self._take()

    cdef int begin_group(self, const uint8_t* names, size_t size, int64_t record_time) except -1:
        """`names`: project and session id, packed."""
        return self._begin(0x94, names, size, record_time)

    cdef int end_group(self) except -1:
        self.put_items_head()
        self.group_count += 1
        return 0

    cdef int cut(self) except -1:
        record = _record(_SPANS_HEAD, 0, NULL, len(self.places), &self.table, self.group_count, &self.groups)
        return self._finish(record)


cdef class TraceChunks(ItemChunks):
    """For a partition of `trace_spans`."""

    def __init__(self, Total total=None):
        super().__init__(total)
        self.previous = []

    def __dealloc__(self):
        free(self.bindings.data)

    def add(self, group):
        cdef bytes names, trace_id
        cdef bint is_open = False
        if isinstance(group, BindingGroup):
            project, session_id = group.key
            names = pack(project) + pack(session_id)
            for trace_id in group.traces:
                if not is_open:
                    self.begin_binding(<const uint8_t*>names, len(names), group.record_time)
                    is_open = True
                if self.add_trace(<const uint8_t*>trace_id):
                    self.end_binding()
                    self.cut()
                    is_open = False
            if is_open:
                self.end_binding()
            return
        names = pack(group.project)
        for span in group.spans:
            if not is_open:
                self.begin_waiting(<const uint8_t*>names, len(names), group.record_time)
                is_open = True
            if span.previous_id:
                self.add_previous(span.previous_id)
            if self._add_item(span.facts):
                self.end_waiting()
                self.cut()
                is_open = False
        if is_open:
            self.end_waiting()

    def take(self):
        if self.written:
            self.cut()
        return self._take()

    cdef int begin_binding(self, const uint8_t* names, size_t size, int64_t record_time) except -1:
        """`names`: project and session id, packed. Then `add_trace`, and `end_binding`."""
        cdef uint8_t* at
        reserve(&self.bindings, size + HEAD_BYTES + 3)
        at = self.bindings.data + self.bindings.size
        at[0] = 0x94
        memcpy(at + 1, names, size)
        at = put_int(at + 1 + size, record_time) + 2
        size = at - (self.bindings.data + self.bindings.size) - 3
        _count(self, size)
        self.traces_begin = self.bindings.size = at - self.bindings.data
        self.trace_count = 0
        return 0

    cdef bint add_trace(self, const uint8_t* trace_id) except -1:
        """Whether the record is full now."""
        append(&self.bindings, trace_id, TRACE_ID_BYTES)
        self.trace_count += 1
        _count(self, TRACE_ID_BYTES)
        return self.written >= TARGET_BYTES

    cdef int end_binding(self) except -1:
        """The head of the bytes of trace ids, now that their number is known: there are two bytes for it."""
        cdef uint8_t head[ARRAY_HEAD_BYTES]
        cdef size_t traces = self.bindings.size - self.traces_begin
        cdef size_t size = put_bytes_head(head, traces) - head
        if size > 2:
            reserve(&self.bindings, size)
            memmove(
                self.bindings.data + self.traces_begin - 2 + size, self.bindings.data + self.traces_begin, traces
            )
            self.bindings.size += size - 2
        memcpy(self.bindings.data + self.traces_begin - 2, head, size)
        self.binding_count += 1
        return 0

    cdef int begin_waiting(self, const uint8_t* project, size_t size, int64_t record_time) except -1:
        """`project`: packed."""
        return self._begin(0x94, project, size, record_time)

    cdef int add_previous(self, str previous_id) except -1:
        """Of the item that comes next: the session that it ends."""
        cdef bytes packed = pack(previous_id)
        self.previous.append((self.item_count, packed))
        _count(self, len(packed))
        return 0

    cdef int end_waiting(self) except -1:
        cdef uint8_t* at
        cdef bytes packed
        cdef size_t place
        self.put_items_head()
        reserve(&self.groups, HEAD_BYTES)
        at = self.groups.data + self.groups.size
        self.groups.size = put_map(at, len(self.previous)) - self.groups.data
        for place, packed in self.previous:
            reserve(&self.groups, HEAD_BYTES)
            self.groups.size = put_int(self.groups.data + self.groups.size, place) - self.groups.data
            append(&self.groups, <const uint8_t*>packed, len(packed))
        if self.previous:
            self.previous = []
        self.group_count += 1
        return 0

    cdef int cut(self) except -1:
        self._finish(
            _record(
                _TRACES_HEAD,
                self.binding_count,
                &self.bindings,
                len(self.places),
                &self.table,
                self.group_count,
                &self.groups,
            )
        )
        self.bindings.size = 0
        self.binding_count = 0
        return 0


cdef bytes _record(
    bytes head,
    size_t binding_count,
    const Buffer* bindings,  # or NULL
    size_t place_count,
    const Buffer* table,
    size_t group_count,
    const Buffer* groups,
):
    """The arrays of a record behind its head."""
    cdef uint8_t heads[3 * ARRAY_HEAD_BYTES]
    cdef uint8_t* after_bindings = put_array(heads, binding_count) if bindings is not NULL else heads
    cdef uint8_t* after_table = put_array(after_bindings, place_count)
    cdef uint8_t* after_groups = put_array(after_table, group_count)
    cdef size_t size = len(head) + (after_groups - heads) + table.size + groups.size
    cdef bytes record
    cdef uint8_t* at
    if bindings is not NULL:
        size += bindings.size
    record = PyBytes_FromStringAndSize(NULL, size)
    at = put_raw(<uint8_t*>PyBytes_AS_STRING(record), <const uint8_t*>head, len(head))
    if bindings is not NULL:
        at = put_raw(at, heads, after_bindings - heads)
        at = put_raw(at, bindings.data, bindings.size)
    at = put_raw(at, after_bindings, after_table - after_bindings)
    at = put_raw(at, table.data, table.size)
    at = put_raw(at, after_table, after_groups - after_table)
    put_raw(at, groups.data, groups.size)
    return record
