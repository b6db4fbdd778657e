"""States of `window` read, format 4: see `state_fields.py` for what the parts of a record are.

This is the definition; `_state_reader.pyx` does the same, faster.
"""

from collections.abc import Callable
from operator import attrgetter

from services.sessionizer.engine.names import Names
from services.sessionizer.engine.quantiles import bucket
from services.sessionizer.engine.spans import SpanSet, Twin, twin_of
from services.sessionizer.engine.totals import Totals
from services.sessionizer.engine.tree import ROOT
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import Page, TurnStore
from services.sessionizer.engine.usage import ModelSums, Sums
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
    SEALS,
    SETTLED,
    SIZES,
    SPAN_BYTES,
    SUMS,
    TEXT,
    TEXTS,
    TRACE_BYTES,
    UNSETTLED,
    size_of_entry,
    size_of_model,
    size_of_name,
    size_of_tool,
)
from services.sessionizer.state_parts import PartReader
from services.shared.model.span import Dimensions

_said_names_of, _entries_of = attrgetter(*NAMES), attrgetter(*ENTRIES)


class StateReader(PartReader):
    """Reads one record from `at` on. Raises `ValueError` or `LookupError` for what a `StateWriter` does not write."""

    __slots__ = ("_said", "_turns", "_writer")

    def __init__(self, data: bytes, at: int) -> None:
        super().__init__(data, at)
        self._said: list[Dimensions] = []
        self._turns: list[Turn] = []
        self._writer: Writer | None = None

    # Windows

    def window(self, window: Window, *, is_whole: bool, is_ended: bool) -> None:
        """Fill in what the head of this record says."""
        window.opened_at = self.number()
        window.version = self.number()
        window.opened = (self.time(window.version), self.number())
        window.first_seen_at = self.time(window.opened_at)
        window.start = self.time(window.opened_at)
        end = window.end = self.time(window.start)
        window.ended_at, window.ended_by = (self.time(end), self.octets()) if is_ended else (None, b"")
        window.sealed = SEALS[self.count()]
        window.changed_at = self.time(end)
        window.gap = self.number()
        window.allowed_lateness = self.number()
        window.late_spans = self.number()
        window.duplicates = self.number()
        window.identities = self.number()
        window.emitted = self._version(window.version)
        window.shown = self._version(window.version)
        window.emitted_at = self.time(end)
        totals = window.totals = Totals()
        if is_whole:
            page = self.page(window.start, window.version)
            window.turns = TurnStore({ROOT: max((turn.version for turn in page.values()), default=-1)}, {})
            window.turns.pages[ROOT] = page
            _tell(totals, self._turns)
        else:
            self._told(totals, end)
            window.turns = self._tree(window.version)
        totals.last_error = self._written(end)
        self._who(totals, end)
        self._collection(totals.providers, size_of_name)
        self._collection(totals.tools, size_of_tool, self.number)
        self._collection(totals.models, size_of_model, self._model_sums)

    def _version(self, known: int) -> int:
        return self.time(known) if self.count() else NEVER

    def _told(self, totals: Totals, end: int) -> None:
        for name in COUNTS:
            setattr(totals, name, self.number())
        self._sums(totals.usage)
        for _ in range(self.items()):
            index = self.number()
            totals.latency[index] = self.number()
        known = end
        for _ in range(self.items()):
            known = self.time(known)
            totals.active.bounds.append(known)
        for name in PREVIEWS:
            setattr(totals, name, self._written(end))

    def _tree(self, version: int) -> TurnStore:
        leaves, spilled = dict[int, int](), dict[bytes, set[int]]()
        for _ in range(self.items()):
            number = self.count()
            leaves[number] = self.time(version)
        for _ in range(self.items()):
            trace_id = self.raw(TRACE_BYTES)
            spilled[trace_id] = {self.count() for _ in range(self.items())}
        return TurnStore(leaves, spilled)

    def _model_sums(self) -> ModelSums:
        sums = ModelSums()
        for name in MODEL_SUMS:
            setattr(sums, name, self.number())
        for name in COSTS:
            setattr(sums, name, self.large())
        return sums

    def _who(self, who: Who, end: int) -> None:
        who.environment = self._written(end)
        for names in _said_names_of(who):
            self._collection(names, size_of_name)
        for entries in _entries_of(who):
            self._collection(entries, size_of_entry, lambda: self._writing(end))

    def _collection(
        self, names: Names, size_of: Callable[[Names, str], int], value: Callable[[], object] | None = None
    ) -> None:
        told = self.count()
        if told & CUT:
            names.cut = self.name()
        sizes = names.sizes
        for _ in range(told >> 2):
            name = self.name()
            if name in sizes:
                raise ValueError("a name comes twice")
            sizes[name] = self.number() if told & SIZES else 0
        if value is not None:
            for name in sizes:
                names.values[name] = value()
        if not told & SIZES:
            for name in sizes:
                sizes[name] = size_of(names, name)
        names.total = sum(sizes.values())

    def _writing(self, end: int) -> Written:
        written = self._written(end)
        if written is None:
            raise ValueError("a value that nobody wrote")
        return written

    def _written(self, end: int) -> Written | None:
        kind = self.count()
        if kind == NOBODY:
            return None
        if kind == IN_FULL:
            self._writer = (self.time(end), self.octets(), self.octets())
        elif kind >= OF_TURN:
            turn = self._turns[kind - OF_TURN]
            self._writer = (self.time(end), turn.trace_id, self._span(turn.spans.ids))
        if self._writer is None:
            raise ValueError("the same as nobody")
        return self._writer, self.name()

    # Pages

    def page(self, start: int, version: int) -> Page:
        page: Page = {}
        call = b""
        for trace_id in self.trace_ids():
            turn, call = self._turn(trace_id, start, version, call)
            self._turns.append(turn)
            page[trace_id] = turn
        if len(page) != len(self._turns):
            raise ValueError("a turn comes twice")
        return page

    def trace_ids(self) -> list[bytes]:
        """Of the turns of a page, as it begins."""
        return [self.raw(TRACE_BYTES) for _ in range(self.items())]

    def _turn(self, trace_id: bytes, known: int, version: int, call: bytes) -> tuple[Turn, bytes]:
        flags, start = self.count(), self.time(known)
        end = self.time(start)
        turn = Turn(trace_id, start, end)
        if flags & UNSETTLED:
            turn.settled = (self.time(start), self.time(end))
        elif flags & SETTLED:
            turn.settled = (start, end)
        turn.span_count = self.number()
        turn.error_count = self.number()
        turn.tool_call_count = self.number()
        turn.version = self.time(version)
        self._sums(turn.usage)
        turn.spans, call = self.spans(call)
        ids = turn.spans.ids
        if flags & ROOT_SPAN:
            turn.root = (self.time(start), self._span(ids), self.name())
        for at, name in enumerate(TEXTS):
            if flags & TEXT << at:
                setattr(turn, name, (self.time(end if at % 2 else start), self._span(ids), self.text()))
        if flags & MODEL:
            turn.model = (self.time(end), self._span(ids), self.name())
        if flags & FIRST_TOKEN:
            turn.first_token = (self.time(start), self._span(ids), self.number())
        weight = self.number()
        if flags & MANY:
            self._who(turn.said.collect(), end)
        else:
            for _ in range(self.items()):
                turn.said.few.append((self._dimensions(), (self.time(end), b"", self._span(ids))))
        turn.said.weight = weight
        return turn, call

    def _span(self, ids: bytearray) -> bytes:
        known = self.count()
        if not known:
            return self.raw(SPAN_BYTES)
        at = (known - 1) * SPAN_BYTES
        if at >= len(ids):
            raise ValueError("a span that is not there")
        return bytes(ids[at : at + SPAN_BYTES])

    def _dimensions(self) -> Dimensions:
        known = self.count()
        if known:
            return self._said[known - 1]
        user_id, environment, service, agent, conversation_id = (self.name() for _ in range(5))
        tags = tuple([self.name() for _ in range(self.items())])
        session, metadata = (tuple([(self.name(), self.name()) for _ in range(self.items())]) for _ in range(2))
        self._said.append(Dimensions(user_id, environment, service, agent, tags, session, metadata, conversation_id))
        return self._said[-1]

    def _sums(self, sums: Sums) -> None:
        for name in SUMS:
            setattr(sums, name, self.number())
        for name in COSTS:
            setattr(sums, name, self.large())

    # Sets

    def spans(self, before: bytes = b"") -> tuple[SpanSet, bytes]:
        """And the last call, for the set that comes next."""
        spans = SpanSet(self.raw(SPAN_BYTES * self.count()))
        for _ in range(self.items()):
            twin = self._twin(spans.ids)
            first, last = self.count(), self.count()
            if first + last > len(before):
                raise ValueError("more of a call than there was")
            before = before[:first] + self.octets() + before[len(before) - last :]
            spans.put_call(twin, before)
        for _ in range(self.items()):
            spans.children += self._twin(spans.ids)
        return spans, before

    def _twin(self, ids: bytearray) -> Twin:
        return twin_of(self._span(ids), self.count(), self.count())


def _tell(totals: Totals, turns: list[Turn]) -> None:
    """What the turns of a whole window say, said by its totals."""
    totals.turn_count = len(turns)
    for turn in turns:
        totals.span_count += turn.span_count
        totals.error_count += turn.error_count
        totals.error_turn_count += turn.error_count > 0
        totals.tool_call_count += turn.tool_call_count
        totals.usage.absorb(turn.usage)
        if turn.settled is not None:
            start, end = turn.settled
            totals.count_latency(bucket(end - start), 1)
            totals.active.add(start, end)
    for at, (preview, text) in enumerate(zip(PREVIEWS, TEXTS, strict=True)):
        said = [_preview(turn.trace_id, *found) for turn in turns if (found := getattr(turn, text)) is not None]
        setattr(totals, preview, (max if at % 2 else min)(said, default=None))
    totals.forget_below()


def _preview(trace_id: bytes, time: int, span_id: bytes, text: str) -> Written:
    return (time, trace_id, span_id), text
