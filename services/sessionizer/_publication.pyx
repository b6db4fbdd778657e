# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""JSON of windows and turns, straight from the engine's typed objects.

The definition is `publication.window_rollup` and `turn_rollup` with the JSON of `shared.records.rollups`, which this
equals byte for byte: the order of fields is that of the dataclasses, then numbers of usage, then costs, and a field
with its default is left out. It writes only text that has a form in UTF-8: for a lone surrogate it raises the
`UnicodeEncodeError` that the caller (`publication.edition`) leaves to the definition.

    rollup_json(key, window, since), window_json(key, window), turn_json(turn)
      └─ _names, _written, ...      one kind of field each, its label included
           └─ _string, _dollars     values
                └─ Buffer           bytes that grow (`shared/_native.pxd`, `shared/otlp/_json.pxd`)
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from cpython.array cimport array
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.names cimport Names
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.totals cimport Totals
from services.sessionizer.engine.turn cimport Turn
from services.sessionizer.engine.usage cimport ModelSums, Sums
from services.sessionizer.engine.who cimport Who
from services.sessionizer.engine.window cimport Window
from services.shared._native cimport Buffer, put_byte, put_bytes, release, reserve
from services.shared.otlp._json cimport json_digits, put_integer, put_json_text

from operator import itemgetter

from services.sessionizer.engine.said import NAME_BYTES
from services.shared.records.rollups import MAX_RECORD_BYTES, dollars


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef enum:
    PLACES = 12  # of a dollar
    STEPS = 32  # see `quantiles`
    ROOT = 1  # the number of the page of a window that has one; see `tree`
    USUAL_BYTES = 12 << 10  # of a rollup, and more: to grow means to copy

cdef enum Sum:
    TOTAL, PROMPT, COMPLETION, TOTAL_COST, PROMPT_COST, COMPLETION_COST

cdef int64_t _PICODOLLARS = 1_000_000_000_000
cdef Py_ssize_t _NAME_BYTES = NAME_BYTES
cdef size_t _MAX_RECORD_BYTES = MAX_RECORD_BYTES
cdef object _writer = itemgetter(1)


def window_json(key, Window window not None):
    """The JSON of a window's totals; `key` is the key of its session. See `rollups.window_json`."""
    cdef Buffer out = Buffer(NULL, 0, 0)
    try:
        reserve(&out, 2048)
        _window(&out, key, window)
        return PyBytes_FromStringAndSize(<const char*> out.data, out.size)
    finally:
        release(&out)


def rollup_json(key, Window window not None, int64_t since):
    """The JSON of a window with its turns that changed after version `since`. None: too large for one record.

    See `rollups.rollup_records`.
    """
    cdef Buffer out = Buffer(NULL, 0, 0)
    cdef bint is_first = True
    try:
        reserve(&out, USUAL_BYTES)
        _window(&out, key, window)
        out.size -= 1
        turns = window.turns.pages.get(ROOT) if len(window.turns.leaves) == 1 else None
        for turn in window.changed_turns(since) if turns is None else (<dict> turns).values():
            if (<Turn?> turn).version > since:
                _raw(&out, b',"turns":[' if is_first else b",")
                _turn(&out, turn)
                is_first = False
        _raw(&out, b"}" if is_first else b"]}")
        if out.size > _MAX_RECORD_BYTES:
            return None
        return PyBytes_FromStringAndSize(<const char*> out.data, out.size)
    finally:
        release(&out)


def turn_json(Turn turn not None):
    """The JSON of a turn. See `rollups.turn_json`."""
    cdef Buffer out = Buffer(NULL, 0, 0)
    try:
        reserve(&out, 2048)
        _turn(&out, turn)
        return PyBytes_FromStringAndSize(<const char*> out.data, out.size)
    finally:
        release(&out)


# Objects, field by field


cdef int _window(Buffer* out, key, Window window) except -1:
    cdef Totals totals = window.totals
    cdef list names = None, models = None
    if totals.models._values:
        names = _sorted(totals.models._values)
        models = [totals.models._values[name] for name in names]
    _raw(out, b'{"type":"window","project":')
    _string(out, key[0])
    _raw(out, b',"session_id":')
    _string(out, key[1])
    _raw(out, b',"window_id":')
    _hex(out, window.id)
    _raw(out, b',"version":')
    put_integer(out, window.version)
    _raw(out, b',"state":"closed"' if window.is_closed else b',"state":"open"')
    if window.sealed:
        _raw(out, b',"close_reason":')
        _string(out, window.sealed)
    elif window.ended_at is not None:
        _raw(out, b',"close_reason":"explicit"')
    elif window.is_closed:
        _raw(out, b',"close_reason":"idle"')
    if window.is_late:
        _raw(out, b',"is_late":true')
    _raw(out, b',"opened_at":')
    put_integer(out, window.opened_at)
    _raw(out, b',"first_seen_at":')
    put_integer(out, window.first_seen_at)
    _number(out, b',"window_start":', window.start)
    _number(out, b',"window_end":', window.end)
    _number(out, b',"gap_ns":', window.gap)
    _number(out, b',"allowed_lateness_ns":', window.allowed_lateness)
    _names(out, b',"user_ids":', totals.users)
    _written(out, b',"environment":', b',"environment_at":', totals.environment)
    _names(out, b',"service_names":', totals.services)
    _names(out, b',"agent_names":', totals.agents)
    _names(out, b',"models":', totals.models)
    _names(out, b',"tags":', totals.tags)
    _entries(out, b',"session_attributes":', totals.session)
    _times(out, b',"session_attributes_at":', totals.session)
    _entries(out, b',"metadata":', totals.metadata)
    _times(out, b',"metadata_at":', totals.metadata)
    _number(out, b',"turn_count":', totals.turn_count)
    _number(out, b',"span_count":', totals.span_count)
    _number(out, b',"tool_call_count":', totals.tool_call_count)
    _number(out, b',"error_count":', totals.error_count)
    _number(out, b',"error_turn_count":', totals.error_turn_count)
    _number(out, b',"late_span_count":', window.late_spans)
    _number(out, b',"duplicate_span_count":', window.duplicates)
    if models is not None:
        _by_model(out, b',"total_tokens_by_model":', names, models, TOTAL)
        _by_model(out, b',"prompt_tokens_by_model":', names, models, PROMPT)
        _by_model(out, b',"completion_tokens_by_model":', names, models, COMPLETION)
        _by_model(out, b',"total_cost_by_model":', names, models, TOTAL_COST)
    _number(out, b',"active_ns":', _active(totals.active))
    _latency(out, totals.latency)
    _written(
        out, b',"first_input":', b',"first_input_at":',
        totals.first_input if totals.first_input is not None else totals.first_input_below,
    )
    _written(
        out, b',"last_output":', b',"last_output_at":',
        totals.last_output if totals.last_output is not None else totals.last_output_below,
    )
    _written(out, b',"last_error":', b',"last_error_at":', totals.last_error)
    _names(out, b',"conversation_ids":', totals.conversations)
    _providers(out, totals)
    _tools(out, totals.tools)
    if models is not None:
        _by_model(out, b',"prompt_cost_by_model":', names, models, PROMPT_COST)
        _by_model(out, b',"completion_cost_by_model":', names, models, COMPLETION_COST)
    _usage(out, totals.usage)
    return put_byte(out, b"}")


cdef int _turn(Buffer* out, Turn turn) except -1:
    cdef tuple text = turn.root
    _raw(out, b'{"trace_id":')
    _hex(out, turn.trace_id)
    _raw(out, b',"version":')
    put_integer(out, turn.version)
    if text is not None:
        if text[1]:
            _raw(out, b',"root_span_id":')
            _hex(out, text[1])
        _field(out, b',"root_name":', text[2])
    _number(out, b',"started_at":', turn.start)
    _number(out, b',"ended_at":', turn.end)
    if turn.error_count > 0:
        _raw(out, b',"has_error":true')
    _number(out, b',"error_count":', turn.error_count)
    if turn.model is not None:
        _field(out, b',"model":', turn.model[2])
    _number(out, b',"span_count":', turn.span_count)
    _number(out, b',"tool_call_count":', turn.tool_call_count)
    if turn.first_token is not None:
        _raw(out, b',"time_to_first_token_ns":')
        put_integer(out, turn.first_token[2])
    text = turn.input if turn.input is not None else turn.input_below
    if text is not None:
        _field(out, b',"input":', text[2])
    text = turn.output if turn.output is not None else turn.output_below
    if text is not None:
        _field(out, b',"output":', text[2])
    _said(out, turn.said)
    _usage(out, turn.usage)
    return put_byte(out, b"}")


cdef int _said(Buffer* out, Said said) except -1:
    """Nearly every turn says one thing, and that is so small that no part of it is over a bound: see `Said.summary`."""
    if said.many is not None or said.weight > _NAME_BYTES:
        return _summary(out, said.summary())
    if len(said.few) == 1:
        return _dimensions(out, (<tuple> said.few[0])[0])
    return _several(out, said.few) if said.few else 0


cdef int _dimensions(Buffer* out, said) except -1:
    _only(out, b',"user_ids":[', said.user_id)
    _field(out, b',"environment":', said.environment)
    _only(out, b',"service_names":[', said.service)
    _only(out, b',"agent_names":[', said.agent)
    _only(out, b',"conversation_ids":[', said.conversation_id)
    tags = said.tags
    if tags:
        _list(out, b',"tags":', _distinct(tags))
    _pairs(out, b',"session_attributes":', said.session)
    return _pairs(out, b',"metadata":', said.metadata)


cdef int _several(Buffer* out, list several) except -1:
    cdef list few = [(<tuple> each)[0] for each in sorted(several, key=_writer)]
    _list(out, b',"user_ids":', _distinct([each.user_id for each in few if each.user_id]))
    environment = None
    for each in few:
        environment = each.environment or environment
    _field(out, b',"environment":', environment)
    _list(out, b',"service_names":', _distinct([each.service for each in few if each.service]))
    _list(out, b',"agent_names":', _distinct([each.agent for each in few if each.agent]))
    _list(out, b',"conversation_ids":', _distinct([each.conversation_id for each in few if each.conversation_id]))
    _list(out, b',"tags":', _distinct(_all_of([each.tags for each in few])))
    _pairs(out, b',"session_attributes":', _all_of([each.session for each in few]))
    return _pairs(out, b',"metadata":', _all_of([each.metadata for each in few]))


cdef int _summary(Buffer* out, tuple summary) except -1:
    users, environment, services, agents, conversations, tags, session, metadata = summary
    _list(out, b',"user_ids":', users)
    _field(out, b',"environment":', environment)
    _list(out, b',"service_names":', services)
    _list(out, b',"agent_names":', agents)
    _list(out, b',"conversation_ids":', conversations)
    _list(out, b',"tags":', tags)
    _pairs(out, b',"session_attributes":', tuple(session.items()))
    return _pairs(out, b',"metadata":', tuple(metadata.items()))


cdef object _all_of(list parts):
    """All parts one after the other; equal ones, as nearly all are, once."""
    cdef tuple first = parts[0]
    for part in parts:
        if part is not first and part != first:
            return tuple([each for several in parts for each in several])
    return first


cdef int _usage(Buffer* out, Sums sums) except -1:
    _number(out, b',"prompt_tokens":', sums.prompt)
    _number(out, b',"completion_tokens":', sums.completion)
    _number(out, b',"total_tokens":', sums.total)
    _number(out, b',"cache_read_tokens":', sums.cache_read)
    _number(out, b',"cache_write_tokens":', sums.cache_write)
    _number(out, b',"reasoning_tokens":', sums.reasoning)
    _number(out, b',"llm_call_count":', sums.calls)
    _number(out, b',"unpriced_call_count":', sums.unpriced)
    _cost(out, b',"prompt_cost":', sums.prompt_cost)
    _cost(out, b',"completion_cost":', sums.completion_cost)
    return _cost(out, b',"total_cost":', sums.total_cost)


# Fields that are left out when they have their default


cdef int _number(Buffer* out, bytes label, int64_t number) except -1:
    cdef size_t size = PyBytes_GET_SIZE(label)
    if number == 0:
        return 0
    reserve(out, size + 20)
    memcpy(out.data + out.size, PyBytes_AS_STRING(label), size)
    out.size += size
    if number < 0:
        return put_integer(out, number)
    out.size += json_digits(out.data + out.size, number)
    return 0


cdef int _cost(Buffer* out, bytes label, picodollars) except -1:
    if picodollars:
        _raw(out, label)
        _dollars(out, picodollars)
    return 0


cdef int _field(Buffer* out, bytes label, text) except -1:
    if text:
        _raw(out, label)
        _string(out, text)
    return 0


cdef int _only(Buffer* out, bytes label, text) except -1:
    """A list of at most one; the label opens it."""
    if text:
        _raw(out, label)
        _string(out, text)
        put_byte(out, b"]")
    return 0


cdef int _written(Buffer* out, bytes label, bytes label_at, tuple written) except -1:
    if written is not None:
        _field(out, label, written[1])
        _number(out, label_at, (<tuple> written[0])[0])
    return 0


cdef int _names(Buffer* out, bytes label, Names names) except -1:
    if not names._sizes:
        return 0
    _raw(out, label)
    if len(names._sizes) > 1:
        return _strings(out, _sorted(names._sizes))
    put_byte(out, b"[")
    for name in names._sizes:
        _string(out, name)
    return put_byte(out, b"]")


cdef int _list(Buffer* out, bytes label, texts) except -1:
    if texts:
        _raw(out, label)
        _strings(out, texts)
    return 0


cdef int _pairs(Buffer* out, bytes label, tuple pairs) except -1:
    """A map, sorted; of equal keys the last one holds."""
    cdef uint8_t between = b"{"
    cdef tuple pair
    if not pairs:
        return 0
    last = None
    for pair in pairs:
        if last is not None and not last < pair[0]:
            pairs = tuple(sorted(dict(pairs).items()))
            break
        last = pair[0]
    _raw(out, label)
    for pair in pairs:
        put_byte(out, between)
        _string(out, pair[0])
        put_byte(out, b":")
        _string(out, pair[1])
        between = b","
    return put_byte(out, b"}")


cdef int _entries(Buffer* out, bytes label, Names entries) except -1:
    cdef uint8_t between = b"{"
    if not entries._values:
        return 0
    _raw(out, label)
    for name in _sorted(entries._values):
        put_byte(out, between)
        _string(out, name)
        put_byte(out, b":")
        _string(out, entries._values[name][1])
        between = b","
    return put_byte(out, b"}")


cdef int _times(Buffer* out, bytes label, Names entries) except -1:
    cdef uint8_t between = b"{"
    if not entries._values:
        return 0
    _raw(out, label)
    for name in _sorted(entries._values):
        put_byte(out, between)
        _string(out, name)
        put_byte(out, b":")
        put_integer(out, entries._values[name][0][0])
        between = b","
    return put_byte(out, b"}")


cdef int _by_model(Buffer* out, bytes label, list names, list models, Sum of) except -1:
    """One of the sums of models, of those whose calls carry it."""
    cdef ModelSums sums
    cdef Py_ssize_t place
    cdef bint is_first = True
    cdef int64_t carriers
    for place in range(len(names)):
        sums = models[place]
        if of == TOTAL:
            carriers = sums.total_calls
        elif of == PROMPT:
            carriers = sums.prompt_calls
        elif of == COMPLETION:
            carriers = sums.completion_calls
        elif of == TOTAL_COST:
            carriers = sums.total_cost_calls
        elif of == PROMPT_COST:
            carriers = sums.prompt_cost_calls
        else:
            carriers = sums.completion_cost_calls
        if not carriers:
            continue
        if is_first:
            _raw(out, label)
        put_byte(out, b"{" if is_first else b",")
        is_first = False
        _string(out, names[place])
        put_byte(out, b":")
        if of == TOTAL:
            put_integer(out, sums.total)
        elif of == PROMPT:
            put_integer(out, sums.prompt)
        elif of == COMPLETION:
            put_integer(out, sums.completion)
        elif of == TOTAL_COST:
            _dollars(out, sums.total_cost)
        elif of == PROMPT_COST:
            _dollars(out, sums.prompt_cost)
        else:
            _dollars(out, sums.completion_cost)
    return 0 if is_first else put_byte(out, b"}")


cdef int64_t _active(Intervals intervals) except? -1:
    """See `Intervals.total`."""
    cdef array bounds = intervals.bounds
    cdef int64_t total = 0
    cdef Py_ssize_t place
    for place in range(0, len(bounds), 2):
        total += bounds.data.as_longlongs[place + 1] - bounds.data.as_longlongs[place]
    return total


cdef int _latency(Buffer* out, dict latency) except -1:
    """Quantiles and buckets of durations. See `quantiles.quantile`."""
    cdef uint8_t between = b"{"
    cdef int64_t index, count = 0, seen = 0
    cdef int64_t[3] quantiles
    cdef int place = 0
    cdef list buckets
    if not latency:
        return 0
    buckets = _sorted(latency)
    for bucket in buckets:
        count += latency[bucket]
    for bucket in buckets:
        index = bucket
        seen += latency[bucket]
        while place < 3 and seen >= _rank(count, place):
            quantiles[place] = _middle(index)
            place += 1
    _number(out, b',"turn_latency_p50_ns":', quantiles[0])
    _number(out, b',"turn_latency_p95_ns":', quantiles[1])
    _number(out, b',"turn_latency_p99_ns":', quantiles[2])
    _raw(out, b',"turn_latency_buckets":')
    for bucket in buckets:
        put_byte(out, between)
        put_byte(out, b'"')
        put_integer(out, bucket)
        _raw(out, b'":')
        put_integer(out, latency[bucket])
        between = b","
    return put_byte(out, b"}")


cdef inline int64_t _rank(int64_t count, int place) noexcept:
    """How many of them are at or below the first, second and third quantile: whole ones, rounded up."""
    return (count * (50 if place == 0 else 95 if place == 1 else 99) + 99) // 100


cdef inline int64_t _middle(int64_t index) noexcept:
    """See `quantiles.middle`."""
    cdef int64_t shift
    if index < 2 * STEPS:
        return index
    shift = index // STEPS - 1
    return ((index - STEPS * shift) << shift) + ((<int64_t> 1 << shift) >> 1)


cdef int _providers(Buffer* out, Totals totals) except -1:
    """See `Totals.models_by_provider`: names are a provider, a zero byte and a model."""
    cdef const uint8_t* data
    cdef const uint8_t* end
    cdef const uint8_t* zero
    cdef const uint8_t* provider = NULL
    cdef size_t length = 0
    cdef Py_ssize_t size
    cdef bint is_first
    if not totals.providers._sizes:
        return 0
    _raw(out, b',"models_by_provider":{')
    for name in _sorted(totals.providers._sizes):
        data = _utf8(name, &size)
        end = data + size
        zero = <const uint8_t*> memchr(data, 0, size)
        if zero == NULL:
            zero = end
        is_first = provider == NULL or length != <size_t> (zero - data) or memcmp(provider, data, length)
        if is_first:
            if provider != NULL:
                _raw(out, b"],")
            provider, length = data, zero - data
            put_json_text(out, provider, length)
            _raw(out, b":[")
        if end - zero > 1:
            if out.data[out.size - 1] != b"[":
                put_byte(out, b",")
            put_json_text(out, zero + 1, end - zero - 1)
    return _raw(out, b"]}")


cdef int _tools(Buffer* out, Names tools) except -1:
    cdef uint8_t between = b"{"
    if not tools._values:
        return 0
    _raw(out, b',"tool_calls_by_tool":')
    for name in _sorted(tools._values):
        put_byte(out, between)
        _string(out, name)
        put_byte(out, b":")
        put_integer(out, tools._values[name])
        between = b","
    return put_byte(out, b"}")


# Values


cdef list _distinct(texts):
    """Each of them once, sorted."""
    cdef list found = []
    cdef bint is_sorted = True
    last = None
    for text in texts:
        if last is None or last < text:
            found.append(text)
            last = text
        elif text not in found:
            found.append(text)
            is_sorted = False
    if not is_sorted:
        found.sort()
    return found


cdef inline list _sorted(dict names):
    cdef list found = list(names)
    if len(found) > 1:
        found.sort()
    return found


cdef inline int _raw(Buffer* out, bytes data) except -1:
    return put_bytes(out, <const uint8_t*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int _string(Buffer* out, text) except -1:
    cdef Py_ssize_t size
    cdef const uint8_t* data = _utf8(text, &size)
    return put_json_text(out, data, size)


cdef inline const uint8_t* _utf8(text, Py_ssize_t* size) except NULL:
    if PyUnicode_IS_COMPACT_ASCII(text):
        size[0] = PyUnicode_GET_LENGTH(text)
        return <const uint8_t*> PyUnicode_DATA(text)
    return <const uint8_t*> PyUnicode_AsUTF8AndSize(text, size)


cdef int _strings(Buffer* out, texts) except -1:
    cdef uint8_t between = b"["
    for text in texts:
        put_byte(out, between)
        _string(out, text)
        between = b","
    if between == b"[":
        put_byte(out, b"[")
    return put_byte(out, b"]")


cdef int _hex(Buffer* out, bytes id_) except -1:
    cdef const char* digits = "0123456789abcdef"
    cdef const uint8_t* data = <const uint8_t*> PyBytes_AS_STRING(id_)
    cdef Py_ssize_t place, size = PyBytes_GET_SIZE(id_)
    cdef uint8_t* at
    reserve(out, 2 * size + 2)
    at = out.data + out.size
    at[0] = at[2 * size + 1] = b'"'
    for place in range(size):
        at[2 * place + 1] = digits[data[place] >> 4]
        at[2 * place + 2] = digits[data[place] & 15]
    out.size += 2 * size + 2
    return 0


cdef int _dollars(Buffer* out, picodollars) except -1:
    """See `rollups.dollars`, which writes what has no place in 64 bits."""
    cdef int overflow = 0
    cdef int64_t cost = PyLong_AsLongLongAndOverflow(picodollars, &overflow)
    cdef uint64_t rest
    cdef uint8_t* at
    cdef int place
    if overflow or cost < 0:
        return _string(out, dollars(picodollars))
    put_byte(out, b'"')
    put_integer(out, cost // _PICODOLLARS)
    rest = cost % _PICODOLLARS
    reserve(out, PLACES + 2)
    at = out.data + out.size
    at[0] = b"."
    for place in range(PLACES, 0, -1):
        at[place] = <uint8_t> (rest % 10 + 48)  # a digit
        rest //= 10
    at[PLACES + 1] = b'"'
    out.size += PLACES + 2
    return 0
