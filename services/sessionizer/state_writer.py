"""States of `window` written, format 4: see `state_fields.py` for what the parts of a record are.

This is the definition; `_state_writer.pyx` does the same, faster.
"""

from collections.abc import Callable
from operator import attrgetter

from services.sessionizer.engine.names import Names
from services.sessionizer.engine.said import Said
from services.sessionizer.engine.spans import SpanSet, Twin, twin_fields
from services.sessionizer.engine.totals import Totals
from services.sessionizer.engine.tree import ROOT
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import Page, TurnStore
from services.sessionizer.engine.usage import Sums
from services.sessionizer.engine.who import Who, Writer, Written
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.state_fields import (
    COSTS,
    COUNTS,
    CUT,
    ENTRIES,
    FIRST_TOKEN,
    IN_FULL,
    MANY,
    MODEL,
    MODEL_SUMS,
    NAMES,
    NOBODY,
    OF_TURN,
    PREVIEWS,
    ROOT_SPAN,
    SAME,
    SEALS,
    SETTLED,
    SIZES,
    SPAN_BYTES,
    SUMS,
    TEXT,
    TEXTS,
    UNSETTLED,
    size_of_entry,
    size_of_model,
    size_of_name,
    size_of_tool,
)
from services.sessionizer.state_parts import PartWriter
from services.shared.model.span import Dimensions

_counts_of, _previews_of, _texts_of = attrgetter(*COUNTS), attrgetter(*PREVIEWS), attrgetter(*TEXTS)
_sums_of = attrgetter(*SUMS, *COSTS)
_model_sums_of = attrgetter(*MODEL_SUMS, *COSTS)
_said_names_of, _entries_of = attrgetter(*NAMES), attrgetter(*ENTRIES)
_texts_said = attrgetter("user_id", "environment", "service", "agent", "conversation_id")


class StateWriter(PartWriter):
    """Appends one record to `data`: a head, a page or a set."""

    __slots__ = ("_said", "_turns", "_writer")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._said: dict[Dimensions, int] = {}
        self._turns: list[Turn] = []
        self._writer: Writer | None = None

    # Windows

    def window(self, window: Window, *, is_whole: bool) -> None:
        end = window.end
        self.number(window.opened_at)
        self.number(window.version)
        self.time(window.opened[0], window.version)
        self.number(window.opened[1])
        self.time(window.first_seen_at, window.opened_at)
        self.time(window.start, window.opened_at)
        self.time(end, window.start)
        if window.ended_at is not None:
            self.time(window.ended_at, end)
            self.octets(window.ended_by)
        self.count(SEALS.index(window.sealed))
        self.time(window.changed_at, end)
        for value in (window.gap, window.allowed_lateness, window.late_spans, window.duplicates, window.identities):
            self.number(value)
        for version in (window.emitted, window.shown):
            self.count(0 if version == NEVER else 1)
            if version != NEVER:
                self.time(version, window.version)
        self.time(window.emitted_at, end)
        totals = window.totals
        if is_whole:
            self.page(window.turns.pages[ROOT], window.start, window.version)
        else:
            self._told(totals, end)
            self._tree(window.turns, window.version)
        self._written(totals.last_error, end)
        self._who(totals, end)
        self._collection(totals.providers, size_of_name)
        self._collection(totals.tools, size_of_tool)
        for name in totals.tools.sizes:
            self.number(totals.tools.values[name])
        self._collection(totals.models, size_of_model)
        for name in totals.models.sizes:
            for value in _model_sums_of(totals.models.values[name]):
                self.number(value)

    def _told(self, totals: Totals, end: int) -> None:
        """What the turns of a whole window say."""
        for value in _counts_of(totals):
            self.number(value)
        self._sums(totals.usage)
        self.count(len(totals.latency))
        for index in sorted(totals.latency):
            self.number(index)
            self.number(totals.latency[index])
        known = end
        self.count(len(totals.active.bounds))
        for bound in totals.active.bounds:
            self.time(bound, known)
            known = bound
        for preview in _previews_of(totals):
            self._written(preview, end)

    def _tree(self, turns: TurnStore, version: int) -> None:
        self.count(len(turns.leaves))
        for number, latest in turns.leaves.items():
            self.count(number)
            self.time(latest, version)
        self.count(len(turns.spilled))
        for trace_id, numbers in turns.spilled.items():
            self.data += trace_id
            self.count(len(numbers))
            for number in sorted(numbers):
                self.count(number)

    def _who(self, who: Who, end: int) -> None:
        self._written(who.environment, end)
        for names in _said_names_of(who):
            self._collection(names, size_of_name)
        for entries in _entries_of(who):
            self._collection(entries, size_of_entry)
            for name in entries.sizes:
                self._written(entries.values[name], end)

    def _collection(self, names: Names, size_of: Callable[[Names, str], int]) -> None:
        is_plain = all(size == size_of(names, name) for name, size in names.sizes.items())
        self.count(len(names.sizes) << 2 | (0 if is_plain else SIZES) | (0 if names.cut is None else CUT))
        if names.cut is not None:
            self.name(names.cut)
        for name, size in names.sizes.items():
            self.name(name)
            if not is_plain:
                self.number(size)

    def _written(self, written: Written | None, end: int) -> None:
        if written is None:
            self.count(NOBODY)
            return
        writer, text = written
        if writer == self._writer:
            self.count(SAME)
        else:
            self._writer = writer
            time, trace_id, span_id = writer
            at = next((at for at, turn in enumerate(self._turns) if turn.trace_id == trace_id), None)
            self.count(IN_FULL if at is None else OF_TURN + at)
            self.time(time, end)
            if at is None:
                self.octets(trace_id)
                self.octets(span_id)
            else:
                self._span(span_id, self._turns[at].spans.ids)
        self.name(text)

    # Pages

    def page(self, page: Page, start: int, version: int) -> None:
        """`start` and `version` are what its times and versions are told by."""
        self.count(len(page))
        self._turns = list(page.values())
        for trace_id in page:
            self.data += trace_id
        call = b""
        for turn in self._turns:
            call = self._turn(turn, start, version, call)

    def _turn(self, turn: Turn, known: int, version: int, call: bytes) -> bytes:
        start, end, ids = turn.start, turn.end, turn.spans.ids
        texts = _texts_of(turn)
        flags = sum(TEXT << at for at, text in enumerate(texts) if text is not None)
        settled = turn.settled
        if settled is not None:
            flags |= SETTLED if settled == (start, end) else UNSETTLED
        flags |= (0 if turn.root is None else ROOT_SPAN) | (0 if turn.model is None else MODEL)
        flags |= (0 if turn.first_token is None else FIRST_TOKEN) | (0 if turn.said.many is None else MANY)
        self.count(flags)
        self.time(start, known)
        self.time(end, start)
        if settled is not None and flags & UNSETTLED:
            self.time(settled[0], start)
            self.time(settled[1], end)
        for value in (turn.span_count, turn.error_count, turn.tool_call_count):
            self.number(value)
        self.time(turn.version, version)
        self._sums(turn.usage)
        call = self.spans(turn.spans, call)
        if turn.root is not None:
            self._of_span(turn.root, start, ids)
            self.name(turn.root[2])
        for at, text in enumerate(texts):
            if text is not None:
                self._of_span(text, end if at % 2 else start, ids)
                self.text(text[2])
        if turn.model is not None:
            self._of_span(turn.model, end, ids)
            self.name(turn.model[2])
        if turn.first_token is not None:
            self._of_span(turn.first_token, start, ids)
            self.number(turn.first_token[2])
        self._what_was_said(turn.said, end, ids)
        return call

    def _of_span(self, ordered: tuple[int, bytes, object], known: int, ids: bytearray) -> None:
        self.time(ordered[0], known)
        self._span(ordered[1], ids)

    def _span(self, span_id: bytes, ids: bytearray) -> None:
        """Which of its turn's, from 1, as far as these are in the page; else 0 and the id."""
        for at in range(0, len(ids), SPAN_BYTES):
            if ids.startswith(span_id, at):
                self.count(at // SPAN_BYTES + 1)
                return
        self.count(0)
        self.data += span_id

    def _what_was_said(self, said: Said, end: int, ids: bytearray) -> None:
        self.number(said.weight)
        if said.many is not None:
            self._who(said.many, end)
            return
        self.count(len(said.few))
        for dimensions, (time, _, span_id) in said.few:
            self._dimensions(dimensions)
            self.time(time, end)
            self._span(span_id, ids)

    def _dimensions(self, said: Dimensions) -> None:
        known = self._said.get(said, 0)
        self.count(known)
        if known:
            return
        self._said[said] = len(self._said) + 1
        for name in _texts_said(said):
            self.name(name)
        self.count(len(said.tags))
        for tag in said.tags:
            self.name(tag)
        for entries in (said.session, said.metadata):
            self.count(len(entries))
            for name, value in entries:
                self.name(name)
                self.name(value)

    def _sums(self, sums: Sums) -> None:
        for value in _sums_of(sums):
            self.number(value)

    # Sets

    def spans(self, spans: SpanSet, before: bytes = b"") -> bytes:
        """Of a call that resembles the one before it only what differs. Returns the last call."""
        ids = spans.ids
        self.count(len(ids) // SPAN_BYTES)
        self.data += ids
        calls = spans.packed_calls()
        self.count(len(calls))
        for twin, call in calls:
            self._twin(twin, ids)
            limit = min(len(before), len(call))
            first = next((at for at in range(limit) if before[at] != call[at]), limit)
            last = next((at for at in range(limit - first) if before[~at] != call[~at]), limit - first)
            self.count(first)
            self.count(last)
            self.octets(call[first : len(call) - last])
            before = call
        children = spans.twins_of_children()
        self.count(len(children))
        for child in children:
            self._twin(child, ids)
        return before

    def _twin(self, twin: Twin, ids: bytearray) -> None:
        span_id, prompt, completion = twin_fields(twin)
        self._span(span_id, ids)
        self.count(prompt)
        self.count(completion)
