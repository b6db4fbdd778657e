# cython: language_level=3
"""What a record of `session_spans` holds, where it holds it: for those who apply it without making objects of it."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from services.shared.records._unpacked cimport Reader, Text

cdef enum:
    TRACE_ID_BYTES = 16
    SPAN_ID_BYTES = 8

cdef enum:  # `Item.amounts`
    PROMPT, COMPLETION, TOTAL, CACHE_READ, CACHE_WRITE, REASONING, PROMPT_COST, COMPLETION_COST, TOTAL_COST

cdef enum:  # `Item.flags`
    IS_ERROR = 1
    IS_TOOL_CALL = 2

cdef enum:  # `Item.has`, of what may be absent
    HAS_PROMPT = 1
    HAS_COMPLETION = 2
    HAS_TOTAL = 4
    HAS_CACHE_READ = 8
    HAS_CACHE_WRITE = 16
    HAS_REASONING = 32
    HAS_PROMPT_COST = 64
    HAS_COMPLETION_COST = 128
    HAS_TOTAL_COST = 256
    HAS_FIRST_TOKEN = 512


cdef struct Item:
    Text packed  # all of it
    bint is_plain  # a span without ends and annotations; of others only `packed` is set
    const uint8_t* trace_id
    const uint8_t* span_id
    const uint8_t* parent_id  # NULL at a root
    int64_t start
    int64_t end
    int32_t flags
    int32_t has
    size_t dimensions  # its place in the record's table
    Text name
    Text input
    Text output
    Text error
    Text tool
    int64_t first_token
    Text call  # packed; NULL where there is none, and nothing below is set
    Text model
    Text provider
    int64_t[9] amounts  # in the order of the bits of `has`


cdef struct Group:
    Text name  # the session's encoded key, in `names`
    int64_t record_time
    size_t begin  # of its items
    size_t end


cdef class Told:
    """Dimensions as records write them, once for all records that write the same."""

    cdef readonly object dimensions  # Dimensions
    cdef readonly bint is_empty
    cdef str user_id, environment, service, agent, conversation_id
    cdef tuple tags, session, metadata
    cdef long long weight  # what a turn reckons for it; -1: not reckoned yet


cdef class PackedSpans:
    cdef readonly bytes value
    cdef readonly list names  # of the groups' sessions: their encoded keys
    cdef readonly list sizes  # of the groups, in items
    cdef list table  # of `Told`
    cdef Item* items
    cdef Group* groups
    cdef size_t item_count, item_room, group_count

    cdef object item(self, size_t number)
    cdef bint read(self) except -1
    cdef bint read_dimensions(self, Reader* reader) except -1
    cdef bint read_group(self, Reader* reader, Group* group) except -1
    cdef int reserve_items(self, size_t more) except -1
    cdef bint read_item(self, Reader* reader, Item* item) except -1
    cdef bint is_item(self, Item* item) except -1
