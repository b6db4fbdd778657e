# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Export requests from the wire to a block of rows in ClickHouse's Native format, without an object a span.

The definition is `rows.py`: `span_rows`, and the columns of `SpanRow`. This writes the same rows, in the same order, for
what encoders write. Whatever `_wire.pxd` refuses of a span, and what only the reading of facts can tell (a session id
behind a path, a word for the kind in no text), goes to Python span by span, through `row_parts.RowParts`;
a record that is odd outside its spans is declined as a whole, with nothing of it in the block. Redaction is Python's.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.mem cimport PyMem_Free
from libc.math cimport isfinite, isnan
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from services.shared._native cimport (
    Buffer,
    Name,
    Names,
    close_names,
    find_name,
    next_block,
    open_names,
    put_byte,
    put_bytes,
    put_column_name,
    put_name,
    put_named,
    put_places,
    put_size,
    put_text,
    put_u32,
    put_u64,
    release,
    reserve,
)
from services.shared.otlp._json cimport put_base64, put_integer, put_json_text, put_number
from services.shared.otlp._wire cimport (
    ARRAY_VALUE,
    BOOL_VALUE,
    BYTES_VALUE,
    DOUBLE_VALUE,
    INT_VALUE,
    KVLIST_VALUE,
    MAX_DEPTH,
    NO_VALUE,
    STRING_VALUE,
    Attribute,
    Attributes,
    Slice,
    Slices,
    SpanFields,
    Value,
    add_slice,
    check_event,
    read_pair,
    read_slice,
    read_span,
    read_text,
    read_value,
)

from google.protobuf.message import DecodeError
from orjson import dumps

from services.shared.otlp.row_parts import ACTION_KIND, ACTION_ODD, ACTION_SESSION, ACTION_SESSION_PATH

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* type) except NULL
    enum:
        Py_DTSF_ADD_DOT_0

cdef enum:
    MAX_ATTRIBUTES = 1_000  # rows.MAX_STORED_ATTRIBUTES: of more, Python chooses
    MAX_KEYS = 64  # of a map inside a value, looked through for repetitions
    MAX_CANDIDATES = 16  # attributes of one span that may hold its session id
    MAX_WORD = 64  # bytes of a word for the kind
    MAX_REQUEST = 4 << 20  # larger ones are looked through for crowds by decode.py
    MAX_PARTS = 1024  # resources and scopes remembered

    UNKNOWN_ACTION = 0
    NO_ACTION = 1

    # The parts of columns. Of a map: offsets, keys, texts.
    PROJECT = 0
    SESSION_ID
    TRACE_ID
    SPAN_ID
    PARENT_ID
    START
    END
    NAME
    KIND
    SPAN_KIND
    SERVICE
    STATUS
    MESSAGE
    RESOURCE_OFFSETS
    RESOURCE_KEYS
    RESOURCE_TEXTS
    ATTRIBUTES
    OFFSETS
    KEYS
    TEXTS
    EVENTS
    SCOPE_NAME
    SCOPE_VERSION
    INGESTED
    PARTS

    # Dictionaries.
    PROJECTS = 0
    NAMES
    KINDS
    SPAN_KINDS
    SERVICES
    STATUSES
    RESOURCE_NAMES
    ATTRIBUTE_NAMES
    SCOPES
    VERSIONS
    WORDS  # no column: a rank and an `AnyValue`, and the kind that they mean
    DICTIONARIES

cdef int SESSION_ACTION = ACTION_SESSION, PATH_ACTION = ACTION_SESSION_PATH
cdef int KIND_ACTION = ACTION_KIND, ODD_ACTION = ACTION_ODD

_TEXT, _NAME, _TIME = b"String", b"LowCardinality(String)", b"DateTime64(9, 'UTC')"
_MAP = b"Map(LowCardinality(String), String)"

COLUMNS = (
    (b"project", _NAME),
    (b"session_id", _TEXT),
    (b"trace_id", _TEXT),
    (b"span_id", _TEXT),
    (b"parent_span_id", _TEXT),
    (b"start_time", _TIME),
    (b"end_time", _TIME),
    (b"name", _NAME),
    (b"kind", _NAME),
    (b"span_kind", _NAME),
    (b"service_name", _NAME),
    (b"status_code", _NAME),
    (b"status_message", _TEXT),
    (b"resource_attributes", _MAP),
    (b"attributes", _TEXT),
    (b"attribute_texts", _MAP),
    (b"events", _TEXT),
    (b"scope_name", _NAME),
    (b"scope_version", _NAME),
    (b"ingested_at", _TIME),
)
# The parts and the dictionary of each; -1: none.
_LAYOUT = (
    (PROJECT, PROJECTS),
    (SESSION_ID, -1),
    (TRACE_ID, -1),
    (SPAN_ID, -1),
    (PARENT_ID, -1),
    (START, -1),
    (END, -1),
    (NAME, NAMES),
    (KIND, KINDS),
    (SPAN_KIND, SPAN_KINDS),
    (SERVICE, SERVICES),
    (STATUS, STATUSES),
    (MESSAGE, -1),
    (RESOURCE_OFFSETS, RESOURCE_NAMES),
    (ATTRIBUTES, -1),
    (OFFSETS, ATTRIBUTE_NAMES),
    (EVENTS, -1),
    (SCOPE_NAME, SCOPES),
    (SCOPE_VERSION, VERSIONS),
    (INGESTED, -1),
)

cdef const char* HEX = "0123456789abcdef"
cdef tuple _KINDS_OF_OTLP = (b"UNSPECIFIED", b"INTERNAL", b"SERVER", b"CLIENT", b"PRODUCER", b"CONSUMER")
cdef tuple _STATUS_CODES = (b"UNSET", b"OK", b"ERROR")


cdef class SpanBlock:
    """Rows of spans that are added record by record and taken out as one block."""

    cdef Buffer columns[PARTS]
    cdef size_t sizes[PARTS]
    cdef Names names[DICTIONARIES]
    cdef Attributes attributes
    cdef Slices events, links, pairs, scopes, spans
    cdef uint32_t map_number
    cdef object parts, resources, scope_names
    cdef bint roots_only
    cdef uint64_t latest, record_time
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t by_python
    # Of the resource and the scope that are being read:
    cdef object view, scope
    cdef bytes project, service, session, scope_name, scope_version
    cdef list entries

    def __cinit__(self, parts, *, bint roots_only):
        cdef int each
        cdef uint64_t seed = <uint64_t> <int64_t> hash("spanloom")
        for each in range(DICTIONARIES):
            open_names(&self.names[each], seed)
        self.parts, self.roots_only = parts, roots_only
        self.resources, self.scope_names = {}, {}

    def __dealloc__(self):
        cdef int each
        for each in range(PARTS):
            release(&self.columns[each])
        for each in range(DICTIONARIES):
            close_names(&self.names[each])
        free(self.attributes.items)
        free(self.events.items)
        free(self.links.items)
        free(self.pairs.items)
        free(self.scopes.items)
        free(self.spans.items)

    @property
    def size(self):
        """Bytes of the rows so far, about."""
        cdef size_t total = 0
        cdef int each
        for each in range(PARTS):
            total += self.columns[each].size
        return total

    def add(self, bytes value, int64_t timestamp):
        """Whether the rows of this record are in the block; `False`: none is, Python is to make them."""
        cdef size_t sizes[PARTS]
        cdef Py_ssize_t count = self.count
        cdef object latest = timestamp + self.parts.max_future
        cdef bint is_in = False
        cdef int each
        if timestamp < 0 or latest >= 1 << 63 or not value or value[:1] != b"\n" or len(value) > MAX_REQUEST:
            return False
        self.record_time, self.latest = timestamp, latest
        for each in range(PARTS):
            sizes[each] = self.columns[each].size
        try:
            is_in = self._request(value)
        except DecodeError:
            pass  # the library judges all of it
        finally:
            if not is_in:
                self.count = count
                for each in range(PARTS):
                    self.columns[each].size = sizes[each]
        return is_in

    def add_row(self, row, int64_t timestamp):
        """Add a `SpanRow`."""
        self.record_time = timestamp
        self._put_row(row)

    def take(self):
        """The block, a bytearray; none of its rows is held any longer."""
        cdef Buffer out
        cdef bytes name, type
        cdef int part, dictionary, each
        cdef size_t total = 4096
        for each in range(PARTS):
            total += self.columns[each].size
        for each in range(DICTIONARIES):
            total += self.names[each].dictionary.size + 64
        data = PyByteArray_FromStringAndSize(NULL, total)
        out.data, out.size, out.room = <uint8_t*> PyByteArray_AS_STRING(data), 0, total  # it never grows
        put_size(&out, len(COLUMNS))
        put_size(&out, self.count)
        for (name, type), (part, dictionary) in zip(COLUMNS, _LAYOUT, strict=True):
            put_column_name(&out, name, type)
            if dictionary >= 0:
                put_u64(&out, 1)  # the version of dictionaries
            if type is _MAP:
                put_bytes(&out, self.columns[part].data, self.columns[part].size)
                put_places(&out, &self.columns[part + 1], &self.names[dictionary])
                put_bytes(&out, self.columns[part + 2].data, self.columns[part + 2].size)
            elif dictionary >= 0:
                put_places(&out, &self.columns[part], &self.names[dictionary])
            else:
                put_bytes(&out, self.columns[part].data, self.columns[part].size)
        PyByteArray_Resize(data, out.size)
        self._empty()
        return data

    cdef void _empty(self):
        cdef int each
        self.count = 0
        for each in range(PARTS):
            self.columns[each].size = 0
        # Words point to kinds: both go, or neither.
        if self.names[WORDS].count > MAX_PARTS or self.names[SPAN_KINDS].count > MAX_PARTS:
            for each in (WORDS, SPAN_KINDS):
                close_names(&self.names[each])
                open_names(&self.names[each], self.names[NAMES].seed)
        for each in range(DICTIONARIES):
            next_block(&self.names[each])

    # Above the spans: what is odd here is declined with its record.

    cdef bint _request(self, bytes value) except -1:
        cdef const uint8_t* at = value
        cdef const uint8_t* end = at + len(value)
        cdef Slice part
        while at < end:
            if at[0] != 0x0A:
                return False
            at += 1
            if read_slice(&at, end, &part) < 0 or not self._resource_spans(part):
                return False
        return True

    cdef bint _resource_spans(self, Slice raw) except -1:
        cdef const uint8_t* at = raw.data
        cdef const uint8_t* end = at + raw.size
        cdef Slice part, resource
        cdef bint has_resource = False
        cdef uint8_t tag
        cdef size_t each
        resource.data, resource.size = at, 0
        self.scopes.count = 0
        while at < end:
            tag = at[0]
            at += 1
            if tag == 0x0A and not has_resource:
                has_resource = True
                if read_slice(&at, end, &resource) < 0:
                    return False
            elif tag == 0x12:
                if read_slice(&at, end, &part) < 0 or add_slice(&self.scopes, part) < 0:
                    return False
            elif tag != 0x1A or read_text(&at, end, &part) < 0:
                return False
        self._enter_resource(resource.data[: resource.size])
        for each in range(self.scopes.count):
            if not self._scope_spans(self.scopes.items[each]):
                return False
        return True

    cdef bint _scope_spans(self, Slice raw) except -1:
        cdef const uint8_t* at = raw.data
        cdef const uint8_t* end = at + raw.size
        cdef Slice part, scope
        cdef bint has_scope = False
        cdef uint8_t tag
        cdef size_t each
        scope.data, scope.size = at, 0
        self.spans.count = 0
        while at < end:
            tag = at[0]
            at += 1
            if tag == 0x0A and not has_scope:
                has_scope = True
                if read_slice(&at, end, &scope) < 0:
                    return False
            elif tag == 0x12:
                if read_slice(&at, end, &part) < 0 or add_slice(&self.spans, part) < 0:
                    return False
            elif tag != 0x1A or read_text(&at, end, &part) < 0:
                return False
        self._enter_scope(scope.data[: scope.size])
        for each in range(self.spans.count):
            self._span(self.spans.items[each])
        return True

    cdef int _enter_resource(self, bytes data) except -1:
        found = self.resources.get(data)
        if found is None:
            if len(self.resources) >= MAX_PARTS:
                self.resources.clear()
            found = self.resources[data] = self.parts.resource(data)
        self.view, self.project, self.service, self.session, self.entries = found
        return 0

    cdef int _enter_scope(self, bytes data) except -1:
        found = self.scope_names.get(data)
        if found is None:
            if len(self.scope_names) >= MAX_PARTS:
                self.scope_names.clear()
            found = self.scope_names[data] = self.parts.scope(data)
        self.scope, self.scope_name, self.scope_version = found
        return 0

    # Spans.

    cdef int _span(self, Slice raw) except -1:
        """Add the row of a span, if it has one."""
        cdef SpanFields span
        cdef bint has_parent, is_plain
        cdef int each
        if read_span(raw, &span, &self.attributes, &self.events, &self.links) < 0:
            return self._span_by_python(raw)
        if not is_id(span.trace_id, 16) or not is_id(span.span_id, 8):
            return 0
        has_parent = is_id(span.parent_id, 8)
        if self.roots_only and has_parent:
            return 0
        if self.attributes.count > MAX_ATTRIBUTES:
            return self._span_by_python(raw)
        for each in range(PARTS):
            self.sizes[each] = self.columns[each].size
        if not self._put_attributes() or not self._put_events():
            for each in range(PARTS):
                self.columns[each].size = self.sizes[each]
            return self._span_by_python(raw)
        put_hex(&self.columns[TRACE_ID], span.trace_id)
        put_hex(&self.columns[SPAN_ID], span.span_id)
        if not has_parent:
            span.parent_id.size = 0
        put_hex(&self.columns[PARENT_ID], span.parent_id)
        self._put_times(span.start, span.end)
        put_named(&self.columns[NAME], &self.names[NAMES], span.name.data, span.name.size)
        self._put_known(KIND, KINDS, _KINDS_OF_OTLP[span.kind if span.kind < 6 else 0])
        self._put_known(STATUS, STATUSES, _STATUS_CODES[span.status_code if span.status_code < 3 else 0])
        put_text(&self.columns[MESSAGE], span.status_message.data, span.status_message.size)
        return self._put_shared()

    cdef int _put_times(self, uint64_t start, uint64_t end) except -1:
        """As `times.correct` does."""
        if not (start and end):
            start = start or end or self.record_time
            end = end or start
        if end < start:
            end = start
        if end > self.latest:
            end = self.record_time
            if start > end:
                start = end
        put_u64(&self.columns[START], start)
        return put_u64(&self.columns[END], end)

    cdef int _put_known(self, int column, int dictionary, bytes text) except -1:
        return put_named(&self.columns[column], &self.names[dictionary], text, len(text))

    cdef int _put_shared(self) except -1:
        """What the row has of its resource, its scope and its record: the row is whole with it."""
        cdef bytes key, text
        self._put_known(PROJECT, PROJECTS, self.project)
        self._put_known(SERVICE, SERVICES, self.service)
        self._put_known(SCOPE_NAME, SCOPES, self.scope_name)
        self._put_known(SCOPE_VERSION, VERSIONS, self.scope_version)
        for key, text in self.entries:
            self._put_known(RESOURCE_KEYS, RESOURCE_NAMES, key)
            put_text(&self.columns[RESOURCE_TEXTS], text, len(text))
        put_u64(&self.columns[RESOURCE_OFFSETS], self.columns[RESOURCE_KEYS].size // 4)
        put_u64(&self.columns[INGESTED], self.record_time)
        self.count += 1
        return 0

    cdef bint _put_attributes(self) except -1:
        """Attributes, their texts, the session id and the kind that they tell. `False`: it is for Python."""
        cdef Buffer* json = &self.columns[ATTRIBUTES]
        cdef Attribute* candidates[MAX_CANDIDATES]
        cdef int ranks[MAX_CANDIDATES]
        cdef Name* names[MAX_CANDIDATES]
        cdef Attribute* attribute
        cdef Name* name
        cdef Name* kind = NULL
        cdef Name* usable
        cdef int kind_rank = 1 << 30, found = 0, at
        cdef size_t each, begin
        self.map_number += 1
        begin = self._begin_text(json)
        put_byte(json, b"{")
        for each in range(self.attributes.count):
            attribute = &self.attributes.items[each]
            if find_name(&self.names[ATTRIBUTE_NAMES], attribute.key.data, attribute.key.size, &name):
                self._learn(name)
            if name.seen == self.map_number or name.action == ODD_ACTION:
                return False
            name.seen = self.map_number
            if name.action == KIND_ACTION:
                if name.rank < kind_rank:
                    usable = NULL
                    if not self._read_kind(name.rank, attribute.value.raw, &usable):
                        return False
                    if usable != NULL:
                        kind, kind_rank = usable, name.rank
            elif name.action != NO_ACTION:  # the session id: in the order of ranks, of equal ones the first
                if found == MAX_CANDIDATES:
                    return False
                at = found
                while at and ranks[at - 1] > name.rank:
                    ranks[at], candidates[at], names[at] = ranks[at - 1], candidates[at - 1], names[at - 1]
                    at -= 1
                ranks[at], candidates[at], names[at] = name.rank, attribute, name
                found += 1
            put_name(&self.columns[KEYS], &self.names[ATTRIBUTE_NAMES], name)
            put_bytes(json, name.json.data, name.json.size)
            if not self._put_attribute(json, &attribute.value):
                return False
            put_byte(json, b",")
        end_list(json, b"}")
        self._end_text(json, begin)
        put_u64(&self.columns[OFFSETS], self.columns[KEYS].size // 4)
        if kind != NULL:
            put_name(&self.columns[SPAN_KIND], &self.names[SPAN_KINDS], kind)
        else:
            self._put_known(SPAN_KIND, SPAN_KINDS, b"UNKNOWN")
        for at in range(found):
            if names[at].action == PATH_ACTION:
                return False
            if self._put_session(&candidates[at].value):
                return True
        put_text(&self.columns[SESSION_ID], self.session, len(self.session))
        return True

    cdef int _learn(self, Name* name) except -1:
        """A name of attributes that was not there before."""
        name.action, name.rank = self.parts.action(name.text[: name.size].decode())
        put_json_text(&name.json, name.text, name.size)
        return put_byte(&name.json, b":")

    cdef bint _put_session(self, Value* value) except -1:
        """Whether this is a usable id."""
        cdef Slice text = value.content
        cdef bytes read
        cdef size_t each
        if value.type == STRING_VALUE and 0 < text.size <= 256 and text.data[0] > b'"' < text.data[text.size - 1]:
            for each in range(text.size):
                if text.data[each] >= 0x80:
                    break
            else:  # nothing to trim or unquote: every ASCII space is below the quotation mark
                put_text(&self.columns[SESSION_ID], text.data, text.size)
                return True
        read = self.parts.session_id(value.raw.data[: value.raw.size])
        if read is None:
            return False
        put_text(&self.columns[SESSION_ID], read, len(read))
        return True

    cdef bint _read_kind(self, int rank, Slice raw, Name** kind) except -1:
        """The kind that a word means; NULL for a value that does not count. `False`: it is for Python."""
        cdef uint8_t word[MAX_WORD + 4]
        cdef Name* name
        cdef bytes text
        if raw.size > MAX_WORD:
            return False
        memcpy(word, &rank, 4)
        memcpy(word + 4, raw.data, raw.size)
        if find_name(&self.names[WORDS], word, raw.size + 4, &name):
            text = self.parts.kind(rank, raw.data[: raw.size])
            if text is not None:
                find_name(&self.names[SPAN_KINDS], text, len(text), &name.other)
        kind[0] = name.other
        return True

    cdef bint _put_attribute(self, Buffer* json, Value* value) except -1:
        """A value as JSON and as text."""
        cdef Buffer* texts = &self.columns[TEXTS]
        cdef size_t begin = json.size
        if not self._put_value(json, value, 0):
            return False
        if value.type == STRING_VALUE:
            put_text(texts, value.content.data, value.content.size)
        elif value.type == NO_VALUE:
            put_byte(texts, 0)
        elif value.type == BYTES_VALUE:  # out of its quotation marks
            put_text(texts, json.data + begin + 1, json.size - begin - 2)
        elif value.type == DOUBLE_VALUE:
            put_double_text(texts, value.bits)
        else:
            put_text(texts, json.data + begin, json.size - begin)
        return True

    cdef bint _put_value(self, Buffer* json, Value* value, int depth) except -1:
        """A value as JSON. `False`: it is for Python."""
        if value.type == STRING_VALUE:
            put_json_text(json, value.content.data, value.content.size)
        elif value.type == INT_VALUE:
            put_integer(json, <int64_t> value.bits)
        elif value.type == BOOL_VALUE:
            if value.bits:
                put_bytes(json, b"true", 4)
            else:
                put_bytes(json, b"false", 5)
        elif value.type == DOUBLE_VALUE:
            put_double(json, value.bits)
        elif value.type == ARRAY_VALUE:
            return self._put_array(json, value.content, depth)
        elif value.type == KVLIST_VALUE:
            return self._put_map(json, value.content, depth)
        elif value.type == BYTES_VALUE:
            put_byte(json, b'"')
            put_base64(json, value.content.data, value.content.size)
            put_byte(json, b'"')
        else:
            put_bytes(json, b"null", 4)
        return True

    cdef bint _put_array(self, Buffer* json, Slice array, int depth) except -1:
        cdef const uint8_t* at = array.data
        cdef const uint8_t* end = at + array.size
        cdef Slice raw
        cdef Value value
        put_byte(json, b"[")
        while at < end:
            at += 1  # the tag was looked at before
            if depth > MAX_DEPTH or read_slice(&at, end, &raw) < 0 or read_value(raw, &value, depth + 1) < 0:
                return False
            if not self._put_value(json, &value, depth + 1):
                return False
            put_byte(json, b",")
        end_list(json, b"]")
        return True

    cdef bint _put_map(self, Buffer* json, Slice pairs, int depth) except -1:
        cdef const uint8_t* at = pairs.data
        cdef const uint8_t* end = at + pairs.size
        cdef Slice keys[MAX_KEYS]
        cdef Slice pair
        cdef size_t count = 0
        put_byte(json, b"{")
        while at < end:
            at += 1
            if depth > MAX_DEPTH or read_slice(&at, end, &pair) < 0 or count == MAX_KEYS:
                return False
            if not self._put_pair(json, pair, keys, count, depth):
                return False
            count += 1
        end_list(json, b"}")
        return True

    cdef bint _put_pair(self, Buffer* json, Slice pair, Slice* keys, size_t count, int depth) except -1:
        """A member of a map whose first `count` keys are known: of equal ones the last would win."""
        cdef Value value
        cdef Slice key
        cdef size_t each
        if read_pair(pair, &key, &value, depth + 1) < 0:
            return False
        for each in range(count):
            if keys[each].size == key.size and memcmp(keys[each].data, key.data, key.size) == 0:
                return False
        keys[count] = key
        put_json_text(json, key.data, key.size)
        put_byte(json, b":")
        if not self._put_value(json, &value, depth + 1):
            return False
        put_byte(json, b",")
        return True

    cdef bint _put_events(self) except -1:
        cdef Buffer* json = &self.columns[EVENTS]
        cdef Slice keys[MAX_KEYS]
        cdef Slice name
        cdef uint64_t time
        cdef size_t each, other, begin
        begin = self._begin_text(json)
        put_byte(json, b"[")
        for each in range(self.events.count):
            self.pairs.count = 0
            if check_event(self.events.items[each], &name, &time, &self.pairs) < 0 or self.pairs.count > MAX_KEYS:
                return False
            put_bytes(json, b'{"name":', 8)
            put_json_text(json, name.data, name.size)
            put_bytes(json, b',"timestamp":', 13)
            put_number(json, time)
            put_bytes(json, b',"attributes":{', 15)
            for other in range(self.pairs.count):
                if not self._put_pair(json, self.pairs.items[other], keys, other, 0):
                    return False
            end_list(json, b"}")
            put_bytes(json, b"},", 2)
        end_list(json, b"]")
        self._end_text(json, begin)
        return True

    cdef size_t _begin_text(self, Buffer* column) except? 0:
        """Where a text of unknown length begins: room for the length is left in front of it."""
        reserve(column, 5)
        column.size += 5
        return column.size

    cdef void _end_text(self, Buffer* column, size_t begin):
        """Its length, in a varint of five bytes; ClickHouse takes one that is longer than it need be."""
        cdef size_t size = column.size - begin
        cdef int each
        for each in range(5):
            column.data[begin - 5 + each] = <uint8_t> (size & 0x7F) | (0x80 if each < 4 else 0)
            size >>= 7

    # By Python.

    cdef int _span_by_python(self, Slice raw) except -1:
        cdef object row = self.parts.row(raw.data[: raw.size], self.view, self.scope, <int64_t> self.record_time)
        self.by_python += 1
        if row is not None:
            self._put_row(row)
        return 0

    cdef int _put_row(self, object row) except -1:
        cdef bytes text
        cdef int column
        for column, value in (
            (SESSION_ID, row.session_id),
            (TRACE_ID, row.trace_id),
            (SPAN_ID, row.span_id),
            (PARENT_ID, row.parent_id),
            (MESSAGE, row.status_message),
            (ATTRIBUTES, row.attributes),
            (EVENTS, row.events),
        ):
            text = value.encode()
            put_text(&self.columns[column], text, len(text))
        self._put_known(NAME, NAMES, row.name.encode())
        self._put_known(KIND, KINDS, row.kind.encode())
        self._put_known(SPAN_KIND, SPAN_KINDS, row.span_kind.encode())
        self._put_known(STATUS, STATUSES, row.status_code.encode())
        put_u64(&self.columns[START], <uint64_t> <int64_t> row.start)
        put_u64(&self.columns[END], <uint64_t> <int64_t> row.end)
        for key, value in row.attribute_texts.items():
            self._put_key(key.encode())
            text = value.encode()
            put_text(&self.columns[TEXTS], text, len(text))
        put_u64(&self.columns[OFFSETS], self.columns[KEYS].size // 4)
        self.project, self.service = row.project.encode(), row.service.encode()
        self.scope_name, self.scope_version = row.scope_name.encode(), row.scope_version.encode()
        self.entries = [(key.encode(), value.encode()) for key, value in row.resource_attributes.items()]
        return self._put_shared()

    cdef int _put_key(self, bytes key) except -1:
        cdef Name* name
        if find_name(&self.names[ATTRIBUTE_NAMES], key, len(key), &name):
            self._learn(name)
        return put_name(&self.columns[KEYS], &self.names[ATTRIBUTE_NAMES], name)


cdef inline bint is_id(Slice raw, size_t size) noexcept:
    """Whether an id has this size and is not all zeros."""
    cdef size_t each
    if raw.size != size:
        return False
    for each in range(size):
        if raw.data[each]:
            return True
    return False


cdef inline int put_hex(Buffer* column, Slice raw) except -1:
    cdef size_t each
    put_size(column, 2 * raw.size)
    reserve(column, 2 * raw.size)
    for each in range(raw.size):
        column.data[column.size + 2 * each] = HEX[raw.data[each] >> 4]
        column.data[column.size + 2 * each + 1] = HEX[raw.data[each] & 15]
    column.size += 2 * raw.size
    return 0


cdef inline int end_list(Buffer* json, uint8_t bracket) except -1:
    """In place of the comma behind the last member; without any behind the opening bracket."""
    if json.data[json.size - 1] == b",":
        json.size -= 1
    return put_byte(json, bracket)


cdef double double_of(uint64_t bits) noexcept:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef int put_double(Buffer* json, uint64_t bits) except -1:
    """As orjson writes it: in another form than Python where there is an exponent."""
    cdef double value = double_of(bits)
    cdef bytes written
    cdef char* text
    cdef size_t size
    if not isfinite(value):
        return put_bytes(json, b"null", 4)
    text = PyOS_double_to_string(value, b"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    try:
        size = 0
        while text[size] and text[size] != b"e":
            size += 1
        if not text[size]:
            return put_bytes(json, <const uint8_t*> text, size)
    finally:
        PyMem_Free(text)
    written = dumps(value)
    return put_bytes(json, written, len(written))


cdef int put_double_text(Buffer* texts, uint64_t bits) except -1:
    """As `values.text_of` writes it."""
    cdef double value = double_of(bits)
    cdef char* text
    cdef size_t size = 0
    if isnan(value):
        return put_text(texts, b"NaN", 3)
    if not isfinite(value):
        return put_text(texts, b"Infinity", 8) if value > 0 else put_text(texts, b"-Infinity", 9)
    text = PyOS_double_to_string(value, b"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    try:
        while text[size]:
            size += 1
        return put_text(texts, <const uint8_t*> text, size)
    finally:
        PyMem_Free(text)
