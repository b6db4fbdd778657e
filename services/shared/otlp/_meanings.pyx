# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What attributes and resources mean, remembered by their bytes: the scanner asks Python once and not for each span.

The definitions are `plan.py` (names), `resource_view.py` (resources, sessions, dimensions), `model_call.py` (kinds) and
`pricing.py` (tariffs).
Whatever is not known yet is made into messages and read by these; the answer is kept under the bytes that it follows
from. Everything is forgotten when it has grown too large, between two records.

- A name: what an attribute of this name is for (`Key`).
- A resource: its `ResourceView`, and the session that it names.
- A candidate: the session that one attribute names.
- Who: the dimensions of a span, by all its attributes that tell of them, and its resource.
- What: kind, model, provider and tool of a span, likewise.
- A tariff: what calls of a model cost (`_tariff.pxd`).
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport INT64_MIN, int32_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

from services.shared.otlp._blake2b cimport blake2b_8
from services.shared.otlp._memo cimport Memo, memo_add, memo_clear, memo_find, memo_hash
from services.shared.otlp._tariff cimport (
    TARIFF_DAY, TARIFF_PERIODS, TARIFF_TIERS, TARIFF_UNIT, Tariff, TariffPeriod, TariffRate, TariffTier, tariff_rate
)
from services.shared.otlp._wire cimport STRING_VALUE, Attribute, Slice, Value
from services.shared.records._packed cimport HEAD_BYTES, Buffer, append, put_text, reserve

from collections import Counter

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.outcome import Note
from services.shared.model.session_key import MAX_ID_LENGTH
from services.shared.otlp import dimensions, messages, numbers, plan
from services.shared.otlp.model_call import is_claude, span_kind
from services.shared.otlp.plan import plans_for, read_attributes
from services.shared.otlp.resource_view import ResourceView
from services.shared.otlp.span_kind import MODEL_CALLS, Kind
from services.shared.records.packed import array_of, pack
from services.shared.records.session_spans import pack_dimensions

cdef size_t MOST_BYTES = 8 << 20  # remembered
cdef size_t ANSWER_BYTES = 200  # of an answer, about, besides the bytes that it follows from
cdef size_t PYTHON_BYTES = 1_000  # of what Python remembers of it
cdef size_t MOST_PLAIN = dimensions.MAX_KEY_LENGTH
assert MOST_PLAIN == MAX_ID_LENGTH
cdef uint32_t MOST_NAMES = 16_384
cdef object LONGEST = 1 << 62  # of a time, and of tokens
cdef object HIGHEST_RATE = 10**21  # a thousand dollars for a million tokens
cdef object HIGHEST_CALL = 10**18  # a million dollars
cdef enum:
    DIGITS = 24
    QUOTE = 0x22

cdef dict NOTE_PLACES = {note: place for place, note in enumerate(Note)}
NUMBERS = (
    plan.PROMPT,
    plan.COMPLETION,
    plan.TOTAL,
    plan.CACHE_READ,
    plan.CACHE_WRITE,
    plan.REASONING,
    plan.PROMPT_COST,
    plan.COMPLETION_COST,
    plan.TOTAL_COST,
    plan.FIRST_TOKEN,
)
cdef dict NUMBER_PLACES = {slot: place for place, slot in enumerate(NUMBERS)}
cdef object WHO = frozenset({
    plan.USER, plan.ENVIRONMENT, plan.AGENT, plan.TAGS, plan.CONVERSATION, plan.SESSION_ATTRIBUTE, plan.METADATA
})
cdef object WHAT = frozenset({plan.KIND, plan.MODEL, plan.PROVIDER, plan.TOOL})
cdef object ONLY_IN_PYTHON = (plan.PREVIOUS, plan.ANNOTATION, *NUMBERS)
"""Slots that no resource fills today; where one does, its spans are read in Python."""

READINGS = {
    numbers.read_count: AS_COUNT,
    numbers.read_money: AS_MONEY,
    numbers.read_seconds: AS_SECONDS,
    numbers.read_milliseconds: AS_MILLISECONDS,
}


cdef class Meanings:
    """For one set of rules. Names and answers live until `forget_if_full`, which is called between records."""

    def __init__(self, rules):
        self.rules = rules
        self.plans = plans_for(rules)
        self.sources = []
        self.source_places = {}
        self.counts = []
        self.count_places = {}
        self.kept = []
        self.session_paths = list(self.plans.session_paths)
        self.seed = <uint64_t>(hash("a seed that differs from process to process") & 0xFFFFFFFFFFFFFFFF)

    def __dealloc__(self):
        self._forget()
        free(self.scratch.data)
        free(self.names.data)

    cdef bint forget_if_full(self) except -1:
        """Whether it was: then every `Key` and every answer is gone."""
        if self.spent > MOST_BYTES or self.key_count > MOST_NAMES:
            self._forget()
            self.kept = []
            return True
        return False

    cdef int _forget(self) noexcept:
        memo_clear(&self.keys)
        memo_clear(&self.resources)
        memo_clear(&self.scopes)
        memo_clear(&self.candidates)
        memo_clear(&self.whos)
        memo_clear(&self.whats)
        memo_clear(&self.tariffs)
        memo_clear(&self.sessions)
        self.spent = 0
        self.key_count = 0
        return 0

    cdef int wear(self) except -1:
        """Python has read a span: what views of resources remember has grown."""
        self.spent += PYTHON_BYTES
        return 0

    # Names

    cdef Key* key(self, Slice name) except NULL:
        """What an attribute of this name (UTF-8) is for."""
        cdef uint64_t hash = memo_hash(name.data, name.size, self.seed)
        cdef Key* key = <Key*>memo_find(&self.keys, hash, name.data, name.size)
        cdef str text
        if key is not NULL:
            return key
        key = <Key*>self._add(&self.keys, hash, name.data, name.size, sizeof(Key))
        key.name = <const uint8_t*>key + sizeof(Key)
        key.size = name.size
        key.next = NULL
        key.id = self.key_count
        key.uses = 0
        key.number = key.session_rank = -1
        key.text = 0
        self.key_count += 1
        text = name.data[:name.size].decode()
        for slot, rank, detail in _places(self.plans.children[text]):
            self._use(key, slot, rank, detail)
        for slot, rank, detail in _places(self.plans.texts[text]):
            if slot != plan.INPUT and slot != plan.OUTPUT:
                continue
            if key.text:
                key.uses |= OF_PYTHON
            key.text = 1 if slot == plan.INPUT else 2
            key.text_rank = rank
            key.is_plain_text = detail is messages.read_text
            key.read_text = <PyObject*>detail  # of the plan, which lives as long as its rules
            self.kept.append(detail)
        if messages.is_indexed(text):
            key.uses |= OF_INDEX
        key.is_read = key.uses or key.text or key.number >= 0 or key.session_rank >= 0
        return key

    cdef int _use(self, Key* key, object slot, object rank, object detail) except -1:
        if slot in WHO:
            if key.uses & OF_WHO:
                key.uses &= ~(OF_USER | OF_CONVERSATION)
            elif detail is dimensions.read_name and slot in (plan.USER, plan.CONVERSATION):
                key.uses |= OF_USER if slot == plan.USER else OF_CONVERSATION
                key.who_rank = rank
            key.uses |= OF_WHO
        elif slot in WHAT:
            key.uses |= OF_WHAT
        elif slot in NUMBER_PLACES and key.number < 0:
            key.number = NUMBER_PLACES[slot]
            key.number_rank = rank
            key.reading = READINGS.get(detail, AS_PYTHON)
            key.read_number = <PyObject*>detail
            self.kept.append(detail)
        elif slot == plan.SESSION and key.session_rank < 0:
            key.session_rank = detail
        else:
            key.uses |= OF_PYTHON
        return 0

    # Resources, scopes, sessions

    cdef int scope(self, Slice raw) except -2:
        """Whether the bytes are an `InstrumentationScope`: 0, or -1."""
        cdef uint64_t hash = memo_hash(raw.data, raw.size, self.seed)
        if memo_find(&self.scopes, hash, raw.data, raw.size) is NULL:
            try:
                InstrumentationScope.FromString(_bytes(raw))
            except DecodeError:
                return -1
            self._add(&self.scopes, hash, raw.data, raw.size, 1)
        return 0

    cdef int resource(self, Slice raw, Resource** found) except -2:
        """0; -1 where the bytes are no `Resource`."""
        cdef uint64_t hash = memo_hash(raw.data, raw.size, self.seed)
        cdef Resource* resource = <Resource*>memo_find(&self.resources, hash, raw.data, raw.size)
        if resource is NULL:
            try:
                view = ResourceView(ResourceMessage.FromString(_bytes(raw)), self.rules, self.plans)
            except DecodeError:
                return -1
            own, notes = view.own
            resource = <Resource*>self._add(&self.resources, hash, raw.data, raw.size, sizeof(Resource))
            resource.view = self._keep(view)
            resource.project = self._keep(view.project)
            resource.packed_project = self._keep(pack(view.project))
            self.wear()
            self.ids += 1
            resource.id = self.ids
            resource.is_python = any(view.values[slot] is not None for slot in ONLY_IN_PYTHON)
            resource.is_cache_apart = bool(view.values[plan.CACHE_APART])
            if not self._fill(&resource.own, own, notes):
                resource.is_python = True
        found[0] = resource
        return 0

    cdef Session* session_of(self, str project, str session_id) except NULL:
        """The one `Session` of a project and a session id."""
        cdef Slice id
        cdef bytes encoded = session_id.encode()
        cdef Py_ssize_t size
        cdef const char* text = PyUnicode_AsUTF8AndSize(project, &size)
        id.data, id.size = encoded, len(encoded)
        return self._session(<const uint8_t*>text, size, id)

    cdef Session* session(self, Resource* resource, Slice session_id) except NULL:
        """The one of its project and this session id (UTF-8)."""
        cdef Py_ssize_t size
        cdef const char* text = PyUnicode_AsUTF8AndSize(<object>resource.project, &size)
        return self._session(<const uint8_t*>text, size, session_id)

    cdef Session* _session(self, const uint8_t* project, size_t size, Slice id) except NULL:
        cdef uint8_t* at
        cdef uint64_t hash
        cdef Session* session
        reserve(&self.names, size + id.size + 2 * HEAD_BYTES)
        at = put_text(put_text(self.names.data, project, size), id.data, id.size)
        self.names.size = at - self.names.data
        hash = memo_hash(self.names.data, self.names.size, self.seed)
        session = <Session*>memo_find(&self.sessions, hash, self.names.data, self.names.size)
        if session is NULL:
            session = <Session*>self._add(
                &self.sessions, hash, self.names.data, self.names.size, sizeof(Session)
            )
            session.names.data, session.names.size = <const uint8_t*>session + sizeof(Session), self.names.size
            session.scan = 0
            # As `SessionKey.encode` writes it.
            reserve(&self.names, 2 * DIGITS + id.size)
            self.names.size = snprintf(<char*>self.names.data, DIGITS, b"%zu:", size)
            append(&self.names, project, size)
            append(&self.names, id.data, id.size)
            session.hash = blake2b_8(self.names.data, self.names.size)
        return session

    cdef int source_of(self, str attribute) except -1:
        """The place of an attribute's name in `sources`."""
        place = self.source_places.get(attribute)
        if place is None:
            place = self.source_places[attribute] = len(self.sources)
            self.sources.append(attribute)
        return place

    cdef Candidate* candidate(self, Resource* resource, int rank, const Value* value) except? NULL:
        """What one attribute with a session id says; NULL without an exception: only Python can tell."""
        cdef uint32_t head[2]
        cdef uint64_t hash
        cdef Candidate* found
        cdef Session* session
        head[0], head[1] = resource.id, rank
        self.scratch.size = 0
        self._scratch(<const uint8_t*>head, sizeof(head))
        self._scratch(value.raw.data, value.raw.size)
        hash = memo_hash(self.scratch.data, self.scratch.size, self.seed)
        found = <Candidate*>memo_find(&self.candidates, hash, self.scratch.data, self.scratch.size)
        if found is not NULL:
            return found
        if is_plain(value) and memchr(value.content.data, 0, value.content.size) is NULL and not self.session_paths[rank]:
            session = self.session(resource, value.content)
            found = <Candidate*>self._add(
                &self.candidates, hash, self.scratch.data, self.scratch.size, sizeof(Candidate)
            )
            found.session = session
            found.source = self.source_of(self.plans.session_names[rank])
            found.note_count = 0
            return found
        sourced, notes = (<object>resource.view).session_of(rank, AnyValue.FromString(_bytes(value.raw)))
        self.wear()
        if sum(notes.values()) > MOST_NOTES:
            return NULL
        found = <Candidate*>self._add(&self.candidates, hash, self.scratch.data, self.scratch.size, sizeof(Candidate))
        self._fill(found, sourced, notes)
        return found

    cdef bint _fill(self, Candidate* candidate, object sourced, object notes) except -1:
        """False: there are more notes than it has room for."""
        candidate.session = NULL
        candidate.source = candidate.note_count = 0
        if sourced is not None:
            candidate.session = self.session_of(sourced.key.project, sourced.key.session_id)
            candidate.source = self.source_of(sourced.attribute)
        for note in notes.elements():
            if candidate.note_count == MOST_NOTES:
                return False
            candidate.notes[candidate.note_count] = NOTE_PLACES[note]
            candidate.note_count += 1
        return True

    # Who and what

    cdef Who* who(self, Resource* resource, Attribute** attributes, Key** keys, size_t count) except NULL:
        """The dimensions of a span with these attributes, which are all that tell of them, in its order."""
        cdef uint64_t hash = self._fields(resource, attributes, count)
        cdef Who* who = <Who*>memo_find(&self.whos, hash, self.scratch.data, self.scratch.size)
        cdef bint is_cut
        if who is not NULL:
            return who
        composed = self._composed(resource, attributes, keys, count, &is_cut)
        if composed is None:
            return self._who(resource, attributes, count)
        self._fields(resource, attributes, count)
        who = <Who*>self._add(&self.whos, hash, self.scratch.data, self.scratch.size, sizeof(Who))
        who.dimensions = self._keep(composed)
        who.is_cut = is_cut
        self.spent += len(<bytes>composed)
        return who

    cdef bytes _composed(self, Resource* resource, Attribute** attributes, Key** keys, size_t count, bint* is_cut):
        """Packed dimensions out of those without user and conversation. None: Python must find them.

        Users are many and each has a few spans: what else is said of who is mostly known already.
        """
        cdef Attribute** others = <Attribute**>malloc((count + 1) * sizeof(Attribute*))
        cdef size_t place, other_count = 0
        cdef int user_rank = plan.UNSET, conversation_rank = plan.UNSET
        cdef Slice user, conversation
        cdef Who* who
        cdef uint8_t* at
        if others is NULL:
            raise MemoryError
        try:
            for place in range(count):
                if not keys[place].uses & (OF_USER | OF_CONVERSATION):
                    others[other_count] = attributes[place]
                    other_count += 1
                elif not is_plain(&attributes[place].value):
                    return None
                elif keys[place].uses & OF_USER:
                    if keys[place].who_rank < user_rank:
                        user, user_rank = attributes[place].value.content, keys[place].who_rank
                elif keys[place].who_rank < conversation_rank:
                    conversation, conversation_rank = attributes[place].value.content, keys[place].who_rank
            if other_count == count:
                return None
            who = self._who(resource, others, other_count)
        finally:
            free(others)
        is_cut[0] = who.is_cut
        self.names.size = 0
        append(&self.names, <const uint8_t*><bytes>who.dimensions, 1)  # the head of the array
        reserve(&self.names, 2 * (MOST_PLAIN + HEAD_BYTES))
        if user_rank == plan.UNSET:
            append(&self.names, <const uint8_t*><bytes>who.user, len(<bytes>who.user))
        else:
            at = put_text(self.names.data + self.names.size, user.data, user.size)
            self.names.size = at - self.names.data
        append(&self.names, <const uint8_t*><bytes>who.between, len(<bytes>who.between))
        reserve(&self.names, MOST_PLAIN + HEAD_BYTES)
        if conversation_rank == plan.UNSET:
            append(&self.names, <const uint8_t*><bytes>who.conversation, len(<bytes>who.conversation))
        else:
            at = put_text(self.names.data + self.names.size, conversation.data, conversation.size)
            self.names.size = at - self.names.data
        return PyBytes_FromStringAndSize(<const char*>self.names.data, self.names.size)

    cdef Who* _who(self, Resource* resource, Attribute** attributes, size_t count) except NULL:
        """By Python, where it is not known."""
        cdef uint64_t hash = self._fields(resource, attributes, count)
        cdef Who* who = <Who*>memo_find(&self.whos, hash, self.scratch.data, self.scratch.size)
        if who is NULL:
            values, ranks, collected = self._read(resource, attributes, count)
            notes = Counter()
            found = (<object>resource.view).read(collected, values, ranks, notes)[1]
            user, *between, conversation = [pack(field) for field in pack_dimensions(found)]
            self._fields(resource, attributes, count)
            who = <Who*>self._add(&self.whos, hash, self.scratch.data, self.scratch.size, sizeof(Who))
            who.dimensions = self._keep(array_of([user, *between, conversation]))
            who.user, who.conversation = self._keep(user), self._keep(conversation)
            who.between = self._keep(b"".join(between))
            who.is_cut = notes[Note.DIMENSIONS_CUT] > 0
            self.wear()
        return who

    cdef What* what(self, Resource* resource, Attribute** attributes, size_t count) except NULL:
        """Kind, model, provider and tool, likewise."""
        cdef uint64_t hash = self._fields(resource, attributes, count)
        cdef What* what = <What*>memo_find(&self.whats, hash, self.scratch.data, self.scratch.size)
        if what is NULL:
            values, ranks, _ = self._read(resource, attributes, count)
            kind = span_kind(values, ranks)
            model, tool = values[plan.MODEL], values[plan.TOOL]
            provider = values[plan.PROVIDER] or ""
            what = <What*>self._add(&self.whats, hash, self.scratch.data, self.scratch.size, sizeof(What))
            what.kind = (
                KIND_NONE if kind is None
                else KIND_MODEL_CALL if kind in MODEL_CALLS
                else KIND_TOOL if kind is Kind.TOOL
                else KIND_OTHER
            )
            what.has_model = model is not None
            what.is_claude = is_claude(values)
            what.model = self._keep(model or "")
            what.provider = self._keep(provider)
            what.packed_model = self._keep(pack(model or ""))
            what.packed_provider = self._keep(pack(provider))
            what.packed_tool = self._keep(pack(tool)) if tool else NULL
            what.tariff = NULL
            self.wear()
        return what

    # Prices

    cdef Tariff* tariff(self, What* what) except NULL:
        """What calls of its model cost."""
        cdef bytes key
        cdef uint64_t hash
        if what.tariff is NULL:
            key = <bytes>what.packed_provider + <bytes>what.packed_model
            hash = memo_hash(key, len(key), self.seed)
            what.tariff = <Tariff*>memo_find(&self.tariffs, hash, key, len(key))
            if what.tariff is NULL:
                what.tariff = self._tariff(what, key, hash)
        return what.tariff

    cdef Tariff* _tariff(self, What* what, bytes key, uint64_t hash) except NULL:
        cdef Tariff* tariff
        cdef size_t size
        periods = [
            (counted_as, period)
            for counted_as, schedule in self.rules.prices.schedules(<object>what.provider, <object>what.model)
            for period in reversed(schedule.periods)
        ]
        is_python = len(periods) > TARIFF_PERIODS or not all(_fits(period) for _, period in periods)
        if is_python:
            periods = []
        size = sizeof(Tariff) + len(periods) * sizeof(TariffPeriod)
        tariff = <Tariff*>self._add(&self.tariffs, hash, key, len(key), size)
        self.spent += size
        tariff.is_python, tariff.counted_as, tariff.periods = is_python, -1, 0
        for counted_as, period in periods:
            _fill_period(&tariff.period[tariff.periods], period)
            tariff.period[tariff.periods].counted_as = self.count_of(counted_as)
            tariff.is_python = tariff.is_python or tariff.period[tariff.periods].counted_as < 0
            tariff.periods += 1
        return tariff

    cdef int count_unpriced(self, What* what) except -2:
        """The place of what a call without a known price is counted as, besides; -1 where there is none left."""
        if what.tariff.counted_as < 0:
            what.tariff.counted_as = self.count_of(self.rules.prices.unpriced(<object>what.model))
        return what.tariff.counted_as

    cdef int count_of(self, object counted) except -2:
        """The place of a count in `counts`; -1 where all are taken."""
        place = self.count_places.get(counted)
        if place is None:
            if len(self.counts) == MOST_COUNTS:
                return -1
            place = self.count_places[counted] = len(self.counts)
            self.counts.append(counted)
        return place

    cdef object _read(self, Resource* resource, Attribute** attributes, size_t count):
        """Slots, ranks and what is collected of these attributes, as of a span that has no others."""
        cdef size_t place
        raw = b"".join([_bytes(attributes[place].field) for place in range(count)])
        values = (<object>resource.view).values[:]
        ranks = [plan.UNSET] * plan.SLOTS
        collected = read_attributes(Span.FromString(raw).attributes, self.plans.children, values, ranks)
        return values, ranks, collected

    cdef uint64_t _fields(self, Resource* resource, Attribute** attributes, size_t count) except? 0:
        """The resource and the attributes (their lengths are in them) as one key in `scratch`, and its hash."""
        cdef size_t place
        self.scratch.size = 0
        self._scratch(<const uint8_t*>&resource.id, sizeof(uint32_t))
        for place in range(count):
            self._scratch(attributes[place].field.data, attributes[place].field.size)
        return memo_hash(self.scratch.data, self.scratch.size, self.seed)

    # Memory

    cdef int _scratch(self, const uint8_t* data, size_t size) except -1:
        reserve(&self.scratch, size)
        memcpy(self.scratch.data + self.scratch.size, data, size)
        self.scratch.size += size
        return 0

    cdef PyObject* _keep(self, object value) except NULL:
        self.kept.append(value)
        return <PyObject*>value

    cdef void* _add(self, Memo* memo, uint64_t hash, const uint8_t* key, size_t size, size_t answer) except NULL:
        """Room for an answer, which has its key behind it."""
        cdef uint8_t* data = <uint8_t*>malloc(answer + size)
        if data is NULL:
            raise MemoryError
        if size:
            memcpy(data + answer, key, size)
        if memo_add(memo, hash, data + answer, size, data) < 0:
            free(data)
            raise MemoryError
        self.spent += size + ANSWER_BYTES
        return data


cdef bytes _bytes(Slice slice):
    return PyBytes_FromStringAndSize(<const char*>slice.data, slice.size)


cdef bint _fits(object period) except -1:
    """Whether a tariff has room for it."""
    if period.starts_at is not None and not -LONGEST < period.starts_at < LONGEST:
        return False
    if period.prices is None:
        return True
    if len(period.prices.tiers) > TARIFF_TIERS or not 0 <= period.prices.call <= HIGHEST_CALL:
        return False
    for tier in period.prices.tiers:
        for rate in (tier.prompt, tier.completion, tier.cache_read, tier.cache_write, tier.reasoning):
            if rate is not None and not 0 <= rate <= HIGHEST_RATE:
                return False
        if not 0 <= tier.above < LONGEST:
            return False
    return True


cdef int _fill_period(TariffPeriod* filled, object period) except -1:
    """One that fits."""
    cdef TariffTier* tier
    filled.starts_at = INT64_MIN if period.starts_at is None else period.starts_at
    filled.daily_from, filled.daily_to = (0, TARIFF_DAY) if period.daily is None else period.daily
    filled.call = filled.tiers = 0
    if period.prices is None:
        return 0
    filled.call = period.prices.call
    for rates in period.prices.tiers:
        tier = &filled.tier[filled.tiers]
        tier.above = rates.above
        tier.has_prompt, tier.has_completion = rates.prompt is not None, rates.completion is not None
        tier.prompt, tier.completion = _rate(rates.prompt, 0), _rate(rates.completion, 0)
        tier.cache_read = _rate(rates.cache_read, rates.prompt)
        tier.cache_write = _rate(rates.cache_write, rates.prompt)
        tier.reasoning = _rate(rates.reasoning, rates.completion)
        filled.tiers += 1
    return 0


cdef TariffRate _rate(object rate, object other) except *:
    """`other` where the list names no such price."""
    rate = (other or 0) if rate is None else rate
    return tariff_rate(rate // TARIFF_UNIT, rate % TARIFF_UNIT)


cdef object _places(object place):
    """What one name is for: places (see `plan`)."""
    if place is None:
        return ()
    return place[2] if place[0] == plan.SEVERAL else (place,)


cdef bint is_plain(const Value* value) noexcept:
    """Text that is a name or an id as it is: ASCII with nothing to trim or unquote (see `dimensions.read_name`)."""
    cdef size_t place, size = value.content.size
    cdef const uint8_t* text = value.content.data
    if value.type != STRING_VALUE or not 0 < size <= MOST_PLAIN:
        return False
    if text[0] <= QUOTE or text[size - 1] <= QUOTE:  # every ASCII space is below
        return False
    for place in range(size):
        if text[place] >= 0x80:
            return False
    return True
