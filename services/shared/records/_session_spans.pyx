# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Records of `session_spans` read in place: a struct a span, which points into the record's bytes.

The definition is `session_spans.decode`. What that refuses, and what this module is not sure of
(watermarks, older formats, numbers of more than 64 bits, ids of other lengths), it leaves to it by returning None.
Of a span with ends or annotations, and of an end among the spans, only the bytes are known here;
`PackedSpans.item` makes the object of any item.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyObject_GenericSetAttr
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy

from services.shared.records._unpacked cimport MAX_DEPTH, Reader, Text, is_ascii, read_array, read_bytes, read_int
from services.shared.records._unpacked cimport read_none, read_text, skip

from services.shared.model.span import Dimensions
from services.shared.records import session_spans
from services.shared.records.packed import unpack

cdef enum:
    SIZE_OF_RECORD = 4
    SIZE_OF_GROUP = 4
    SIZE_OF_SPAN = 14
    SIZE_OF_LARGER_SPAN = 16  # with a tool's name and annotations
    END_SPAN_BYTES = 11
    SIZE_OF_CALL = 11
    SIZE_OF_DIMENSIONS = 8
    MOST_TOLD_BYTES = 4 << 20  # kept from record to record
    ABOUT_OBJECTS = 1000  # bytes of an entry, besides its text

cdef int64_t FORMAT = session_spans.FORMAT
cdef int64_t FAR = 1LL << 61  # times are nearer to zero, and sums of some of them fit
cdef int64_t MOST_TOKENS = (1LL << 40) - 1

cdef const char* END_SPAN = b"session.end"  # the name of a span that ends its session

cdef dict _told = {}
cdef dict _parts = {}  # what many of them say alike is one object
cdef size_t _told_bytes = 0


def packed_spans(bytes value not None):
    """The spans of a record, or None: then `session_spans.decode` says what it is."""
    cdef PackedSpans spans = PackedSpans.__new__(PackedSpans)
    spans.value = value
    return spans if spans.read() else None


cdef class PackedSpans:
    """The groups of one record. `names`: of each the encoded key of its session; `sizes`: how many items it has."""

    def __cinit__(self):
        self.names = []
        self.sizes = []
        self.table = []

    def __dealloc__(self):
        free(self.items)
        free(self.groups)

    cdef object item(self, size_t number):
        """An item as an object of the model."""
        cdef Item* item = &self.items[number]
        cdef bytes packed = PyBytes_FromStringAndSize(<const char*>item.packed.data, item.packed.size)
        return session_spans.unpack_item(unpack(packed), [(<Told>told).dimensions for told in self.table])

    cdef bint read(self) except -1:
        cdef Reader reader
        cdef int64_t number = 0
        cdef size_t count = 0, each
        reader.at = <const uint8_t*>PyBytes_AS_STRING(self.value)
        reader.end = reader.at + PyBytes_GET_SIZE(self.value)
        if not (read_array(&reader, &count) and count == SIZE_OF_RECORD):
            return False
        if not (read_int(&reader, &number) and number == FORMAT and read_int(&reader, &number) and number == 0):
            return False
        if not read_array(&reader, &count):
            return False
        for each in range(count):
            if not self.read_dimensions(&reader):
                return False
        if not read_array(&reader, &count):
            return False
        self.groups = <Group*>malloc((count + 1) * sizeof(Group))
        if self.groups is NULL:
            raise MemoryError
        for each in range(count):
            if not self.read_group(&reader, &self.groups[each]):
                return False
        self.group_count = count
        return reader.at == reader.end

    cdef bint read_dimensions(self, Reader* reader) except -1:
        cdef const uint8_t* begin = reader.at
        cdef bytes packed
        cdef PyObject* known
        cdef Told told
        global _told_bytes
        if not skip(reader, MAX_DEPTH):
            return False
        packed = PyBytes_FromStringAndSize(<const char*>begin, reader.at - begin)
        known = PyDict_GetItem(_told, packed)
        if known is not NULL:
            self.table.append(<object>known)
            return True
        told = _read_told(packed)
        if told is None:
            return False
        _told_bytes += PyBytes_GET_SIZE(packed) * 2 + ABOUT_OBJECTS
        if _told_bytes > MOST_TOLD_BYTES:
            _told.clear()
            _parts.clear()
            _told_bytes = 0
        _told[packed] = told
        self.table.append(told)
        return True

    cdef bint read_group(self, Reader* reader, Group* group) except -1:
        cdef Text project, session_id
        cdef size_t count = 0, each
        if not (read_array(reader, &count) and count == SIZE_OF_GROUP):
            return False
        if not (_read_utf8(reader, &project) and _read_utf8(reader, &session_id)):
            return False
        if not (read_int(reader, &group.record_time) and read_array(reader, &count)):
            return False
        self.names.append(_name(&project, &session_id))
        group.begin = self.item_count
        self.reserve_items(count)
        for each in range(count):
            if not self.read_item(reader, &self.items[self.item_count]):
                return False
            self.item_count += 1
        group.end = self.item_count
        self.sizes.append(count)
        return True

    cdef int reserve_items(self, size_t more) except -1:
        cdef size_t room = self.item_count + more
        cdef Item* items
        if room > self.item_room:
            room = room + room // 2 + 16
            items = <Item*>realloc(self.items, room * sizeof(Item))
            if items is NULL:
                raise MemoryError
            self.items = items
            self.item_room = room
        return 0

    cdef bint read_item(self, Reader* reader, Item* item) except -1:
        cdef size_t count = 0
        item.packed.data = reader.at
        if not read_array(reader, &count):
            return False
        if count == SIZE_OF_SPAN or count == SIZE_OF_LARGER_SPAN:
            item.is_plain = _read_span(reader, item, count) and item.dimensions < <size_t>len(self.table)
        else:
            item.is_plain = False
        if item.is_plain:
            item.packed.size = reader.at - item.packed.data
            return True
        reader.at = item.packed.data
        if not skip(reader, MAX_DEPTH):
            return False
        item.packed.size = reader.at - item.packed.data
        return self.is_item(item)

    cdef bint is_item(self, Item* item) except -1:
        """Whether it is one that the model has, by the definition."""
        cdef bytes packed = PyBytes_FromStringAndSize(<const char*>item.packed.data, item.packed.size)
        try:
            session_spans.unpack_item(unpack(packed), [(<Told>told).dimensions for told in self.table])
        except (ValueError, TypeError, LookupError, AttributeError):
            return False
        return True


cdef bint _read_span(Reader* reader, Item* item, size_t size) noexcept:
    """Whether it is a span that needs nothing unusual."""
    cdef Text text
    cdef int64_t number = 0, length = 0
    cdef size_t count = 0
    item.has = 0
    if not (read_bytes(reader, &text) and text.size == TRACE_ID_BYTES):
        return False
    item.trace_id = text.data
    if not (read_bytes(reader, &text) and text.size == SPAN_ID_BYTES):
        return False
    item.span_id = text.data
    if not (read_bytes(reader, &text) and (text.size == SPAN_ID_BYTES or text.size == 0)):
        return False
    item.parent_id = text.data if text.size else NULL
    if not (read_int(reader, &item.start) and read_int(reader, &length)):
        return False
    if not (-FAR < item.start < FAR and 0 <= length < FAR):
        return False
    item.end = item.start + length
    if not (_read_utf8(reader, &item.name) and read_int(reader, &number) and 0 <= number <= IS_ERROR + IS_TOOL_CALL):
        return False
    item.flags = <int32_t>number
    if item.name.size == END_SPAN_BYTES and memcmp(item.name.data, END_SPAN, END_SPAN_BYTES) == 0:
        return False
    if not (read_int(reader, &number) and number >= 0):
        return False
    item.dimensions = number
    if not _read_call(reader, item):
        return False
    if not (_read_utf8(reader, &item.input) and _read_utf8(reader, &item.output) and _read_utf8(reader, &item.error)):
        return False
    if not read_none(reader):
        if not read_int(reader, &item.first_token):
            return False
        item.has |= HAS_FIRST_TOKEN
    if not (read_array(reader, &count) and count == 0):
        return False
    item.tool.size = 0
    if size == SIZE_OF_LARGER_SPAN:
        return _read_utf8(reader, &item.tool) and read_array(reader, &count) and count == 0
    return True


cdef bint _read_call(Reader* reader, Item* item) noexcept:
    cdef size_t count = 0
    cdef int place
    item.call.data = NULL
    if read_none(reader):
        return True
    item.call.data = reader.at
    if not (read_array(reader, &count) and count == SIZE_OF_CALL and _read_utf8(reader, &item.model)):
        return False
    for place in range(9):
        if read_none(reader):
            continue
        if not read_int(reader, &item.amounts[place]):
            return False
        if place < 6 and not 0 <= item.amounts[place] <= MOST_TOKENS:
            return False
        item.has |= 1 << place
    if not _read_utf8(reader, &item.provider):
        return False
    item.call.size = reader.at - item.call.data
    return True


cdef bint _read_utf8(Reader* reader, Text* text) noexcept:
    if not read_text(reader, text):
        return False
    if is_ascii(text):
        return True
    try:
        PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)
    except UnicodeDecodeError:
        return False
    return True


cdef bytes _name(Text* project, Text* session_id):
    """`SessionKey.encode`."""
    cdef char[24] digits
    cdef int size = snprintf(digits, sizeof(digits), "%zu:", project.size)
    cdef bytes name = PyBytes_FromStringAndSize(NULL, size + project.size + session_id.size)
    cdef char* at = PyBytes_AS_STRING(name)
    memcpy(at, digits, size)
    if project.size:
        memcpy(at + size, project.data, project.size)
    if session_id.size:
        memcpy(at + size + project.size, session_id.data, session_id.size)
    return name


cdef Told _read_told(bytes packed):
    """None where it is no entry of eight fields."""
    cdef Reader reader
    cdef size_t count = 0
    cdef Told told = Told.__new__(Told)
    cdef object dimensions
    reader.at = <const uint8_t*>PyBytes_AS_STRING(packed)
    reader.end = reader.at + PyBytes_GET_SIZE(packed)
    if not (read_array(&reader, &count) and count == SIZE_OF_DIMENSIONS):
        return None
    told.user_id = _text_of(&reader)
    told.environment = _text_of(&reader)
    told.service = _text_of(&reader)
    told.agent = _text_of(&reader)
    told.tags = _texts_of(&reader, 1)
    told.session = _texts_of(&reader, 2)
    told.metadata = _texts_of(&reader, 2)
    told.conversation_id = _text_of(&reader)
    for text in (told.user_id, told.environment, told.service, told.agent, told.conversation_id):
        if text is None:
            return None
    if told.tags is None or told.session is None or told.metadata is None:
        return None
    told.environment = _parts.setdefault(told.environment, told.environment)
    told.session = _parts.setdefault(told.session, told.session)
    told.metadata = _parts.setdefault(told.metadata, told.metadata)
    told.weight = -1
    dimensions = Dimensions.__new__(Dimensions)
    PyObject_GenericSetAttr(dimensions, "user_id", told.user_id)
    PyObject_GenericSetAttr(dimensions, "environment", told.environment)
    PyObject_GenericSetAttr(dimensions, "service", told.service)
    PyObject_GenericSetAttr(dimensions, "agent", told.agent)
    PyObject_GenericSetAttr(dimensions, "tags", told.tags)
    PyObject_GenericSetAttr(dimensions, "session", told.session)
    PyObject_GenericSetAttr(dimensions, "metadata", told.metadata)
    PyObject_GenericSetAttr(dimensions, "conversation_id", told.conversation_id)
    told.dimensions = dimensions
    told.is_empty = not (
        told.user_id or told.environment or told.service or told.agent or told.conversation_id
        or told.tags or told.session or told.metadata
    )
    return told


cdef str _text_of(Reader* reader):
    cdef Text text
    if not _read_utf8(reader, &text):
        return None
    return PyUnicode_DecodeUTF8(<const char*>text.data, text.size, NULL)


cdef tuple _texts_of(Reader* reader, size_t size):
    """An array of texts, or of pairs of them."""
    cdef size_t count = 0, width = 0, each
    cdef list found = []
    cdef str first, second
    if not read_array(reader, &count):
        return None
    for each in range(count):
        if size == 2 and not (read_array(reader, &width) and width == 2):
            return None
        first = second = _text_of(reader)
        if size == 2:
            second = _text_of(reader)
        if first is None or second is None:
            return None
        found.append(first if size == 1 else (first, second))
    return tuple(found)
