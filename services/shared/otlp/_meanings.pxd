# cython: language_level=3
"""What the scanner asks `_meanings.pyx`: see there."""

from cpython.object cimport PyObject
from libc.stdint cimport int16_t, int32_t, int8_t, uint8_t, uint32_t, uint64_t

from services.shared.otlp._memo cimport Memo
from services.shared.otlp._tariff cimport Tariff, TariffPeriod, TariffTier
from services.shared.otlp._wire cimport Attribute, Slice, Value
from services.shared.records._packed cimport Buffer

cdef enum:
    # What an attribute of a name is for, as flags.
    OF_WHO = 1  # a dimension
    OF_WHAT = 2  # kind, model, provider, tool
    OF_PYTHON = 4  # spans that have it are read in Python
    OF_INDEX = 8  # part of a list of messages in indexed form
    OF_USER = 16  # with OF_WHO: the user, and nothing else of who
    OF_CONVERSATION = 32  # likewise

    # How a number is read.
    AS_COUNT = 0
    AS_MONEY = 1
    AS_SECONDS = 2
    AS_MILLISECONDS = 3
    AS_PYTHON = 4

    # Of a span.
    KIND_NONE = 0
    KIND_MODEL_CALL = 1
    KIND_TOOL = 2
    KIND_OTHER = 3

    MOST_NOTES = 8
    MOST_COUNTS = 256  # that are told apart of model calls


cdef struct Key:
    const uint8_t* name
    size_t size
    Key* next  # which came behind it last time
    uint32_t id
    uint8_t uses
    bint is_read
    int8_t number  # which number it is (see `NUMBERS`), or -1
    int8_t reading
    int16_t number_rank
    int16_t session_rank  # or -1
    int16_t who_rank  # of a user, of a conversation
    int8_t text  # 1: input, 2: output, else 0
    bint is_plain_text
    int16_t text_rank
    PyObject* read_number
    PyObject* read_text


cdef struct Session:
    Slice names  # project and session id, packed
    uint64_t hash  # its partition is the rest of a division
    uint64_t scan  # of which the next two tell
    int32_t group
    int32_t binding


cdef struct Candidate:
    Session* session  # or NULL
    int32_t source  # the attribute that it came from
    int32_t note_count
    uint8_t notes[MOST_NOTES]


cdef struct Resource:
    PyObject* view
    PyObject* project
    PyObject* packed_project
    uint32_t id
    bint is_python  # its spans are read in Python
    bint is_cache_apart
    Candidate own


cdef struct Who:
    PyObject* dimensions  # packed
    PyObject* between  # of these, all but user and conversation
    PyObject* user
    PyObject* conversation
    bint is_cut


cdef struct What:
    int kind
    bint has_model
    bint is_claude
    PyObject* model
    PyObject* provider
    PyObject* packed_model
    PyObject* packed_provider
    PyObject* packed_tool  # or NULL
    Tariff* tariff  # or NULL: not asked for yet


cdef class Meanings:
    cdef readonly object rules
    cdef readonly object plans
    cdef readonly list sources
    cdef readonly list counts
    cdef dict source_places
    cdef dict count_places
    cdef uint64_t seed
    cdef list kept
    cdef size_t spent
    cdef uint32_t ids
    cdef uint32_t key_count
    cdef Memo keys
    cdef Memo resources
    cdef Memo scopes
    cdef Memo candidates
    cdef Memo whos
    cdef Memo whats
    cdef Memo tariffs
    cdef Memo sessions
    cdef list session_paths
    cdef Buffer scratch
    cdef Buffer names

    cdef int _forget(self) noexcept
    cdef int _use(self, Key* key, object slot, object rank, object detail) except -1
    cdef bint _fill(self, Candidate* candidate, object sourced, object notes) except -1
    cdef Session* _session(self, const uint8_t* project, size_t size, Slice id) except NULL
    cdef Who* _who(self, Resource* resource, Attribute** attributes, size_t count) except NULL
    cdef bytes _composed(self, Resource* resource, Attribute** attributes, Key** keys, size_t count, bint* is_cut)
    cdef object _read(self, Resource* resource, Attribute** attributes, size_t count)
    cdef uint64_t _fields(self, Resource* resource, Attribute** attributes, size_t count) except? 0
    cdef Tariff* _tariff(self, What* what, bytes key, uint64_t hash) except NULL
    cdef int _scratch(self, const uint8_t* data, size_t size) except -1
    cdef PyObject* _keep(self, object value) except NULL
    cdef void* _add(self, Memo* memo, uint64_t hash, const uint8_t* key, size_t size, size_t answer) except NULL

    cdef bint forget_if_full(self) except -1
    cdef int wear(self) except -1
    cdef Key* key(self, Slice name) except NULL
    cdef int scope(self, Slice raw) except -2
    cdef int resource(self, Slice raw, Resource** found) except -2
    cdef Session* session_of(self, str project, str session_id) except NULL
    cdef Session* session(self, Resource* resource, Slice session_id) except NULL
    cdef int source_of(self, str attribute) except -1
    cdef Candidate* candidate(self, Resource* resource, int rank, const Value* value) except? NULL
    cdef Who* who(self, Resource* resource, Attribute** attributes, Key** keys, size_t count) except NULL
    cdef What* what(self, Resource* resource, Attribute** attributes, size_t count) except NULL
    cdef Tariff* tariff(self, What* what) except NULL
    cdef int count_unpriced(self, What* what) except -2
    cdef int count_of(self, object counted) except -2
