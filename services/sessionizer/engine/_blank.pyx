# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Windows and turns with nothing in them yet, made field by field: thirty constructors cost as much as ten spans.

The definition is `__init__` of each class, field by field; what is 0 or None there is so here without being said.
"""

from cpython.array cimport array, clone
from cpython.bytearray cimport PyByteArray_FromStringAndSize

from services.sessionizer.engine.intervals cimport Intervals
from services.sessionizer.engine.said cimport Said
from services.sessionizer.engine.spans cimport SpanSet
from services.sessionizer.engine.usage cimport Sums

from services.sessionizer.engine import turn_store
from services.sessionizer.engine.said import _NOBODY
from services.sessionizer.engine.totals import ENTRY_BYTES, NAME_BYTES
from services.sessionizer.engine.tree import ROOT
from services.sessionizer.engine.watermark import NO_WATERMARK
from services.sessionizer.engine.window import NEVER
from services.shared.model.rollup import CloseReason
from services.shared.model.span import NO_DIMENSIONS

cdef Py_ssize_t _name_bytes = NAME_BYTES, _entry_bytes = ENTRY_BYTES
cdef long long _never = NEVER, _no_watermark = NO_WATERMARK
cdef object _root = ROOT, _not_sealed = CloseReason.NONE, _no_dimensions = NO_DIMENSIONS, _unstored = -1
cdef tuple _nobody = _NOBODY
cdef array _no_bounds = array("q")
cdef object _no_page = turn_store._no_page, _no_set = turn_store._no_set, _not_stored = turn_store._not_stored


cdef Window blank_window(bytes id_, tuple opened, long long opened_at, long long first_seen_at, bint is_late):
    cdef Window window = Window.__new__(Window)
    cdef TurnStore turns = blank_store({_root: _unstored}, {})
    turns.pages[_root] = {}
    window.id, window.ended_by, window.opened, window.is_late = id_, b"", opened, is_late
    window.opened_at = window.start = window.end = opened_at
    window.first_seen_at = first_seen_at
    window.sealed = _not_sealed
    window.version = opened[0]
    window.changed_at = window.emitted_at = _no_watermark
    window.emitted = window.shown = _never
    window.totals, window.turns, window.touched = blank_totals(), turns, {}
    window.is_stored = True
    return window


cdef Totals blank_totals():
    cdef Totals totals = Totals.__new__(Totals)
    totals.users, totals.services = blank_names(_name_bytes), blank_names(_name_bytes)
    totals.agents, totals.conversations = blank_names(_name_bytes), blank_names(_name_bytes)
    totals.tags, totals.providers = blank_names(_name_bytes), blank_names(_name_bytes)
    totals.tools, totals.models = blank_names(_name_bytes), blank_names(_entry_bytes)
    totals.session, totals.metadata = blank_names(_entry_bytes), blank_names(_entry_bytes)
    totals.usage = _no_sums()
    totals.active = Intervals.__new__(Intervals)
    totals.active.bounds = clone(_no_bounds, 0, False)
    totals.latency, totals.said = {}, {}
    return totals


cdef TurnStore blank_store(dict leaves, dict spilled):
    """Without pages."""
    cdef TurnStore store = TurnStore.__new__(TurnStore)
    store.leaves, store.spilled, store.pages, store.changed_pages = leaves, spilled, {}, set()
    store.load_page, store.load_set = _no_page, _no_set
    store.stored_page = store.stored_set = store.stored_filter = _not_stored
    return store


cdef Turn blank_turn(bytes trace_id, long long start, long long end):
    cdef Turn turn = Turn.__new__(Turn)
    cdef Said said = Said.__new__(Said)
    cdef SpanSet spans = SpanSet.__new__(SpanSet)
    said.few, said._last, said._writer = [], _no_dimensions, _nobody
    spans.ids = PyByteArray_FromStringAndSize(NULL, 0)
    spans.calls = PyByteArray_FromStringAndSize(NULL, 0)
    spans.children = PyByteArray_FromStringAndSize(NULL, 0)
    turn.trace_id, turn.start, turn.end, turn.version = trace_id, start, end, _never
    turn.usage, turn.said, turn.spans = _no_sums(), said, spans
    return turn


cdef Names blank_names(Py_ssize_t limit):
    cdef Names names = Names.__new__(Names)
    names.limit = limit
    return names


cdef Sums _no_sums():
    cdef Sums sums = Sums.__new__(Sums)
    sums.prompt_cost = sums.completion_cost = sums.total_cost = 0
    return sums
