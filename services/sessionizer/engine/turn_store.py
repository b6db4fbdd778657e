"""The turns of one window, in pages that are read and written one by one.

So a span costs one page whatever the size of its session. A turn of very many spans keeps what
is known of them in sets outside of its page, which divide in the same way (`tree`).
"""

from collections.abc import Callable, Iterator
from typing import Self

from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.trace_filter import may_hold, part_of
from services.sessionizer.engine.tree import ROOT, can_divide, side_of
from services.sessionizer.engine.turn import Turn

try:
    from services.sessionizer.engine._tree import leaf_of
except ImportError:  # not built, or switched off
    from services.sessionizer.engine.tree import leaf_of

PAGE_BYTES = 16 << 10
"""A page that weighs more is divided, unless it has one turn only."""
SPILL_BYTES = 4 << 10
"""A turn whose spans weigh more keeps them outside of its page."""
SET_BYTES = 12 << 10
"""A set of spans that weighs more is divided."""

Page = dict[bytes, Turn]
SetName = tuple[bytes, int]
"""Trace id, number of the set."""


def _no_page(number: int) -> Page:
    raise KeyError(number)


def _no_set(name: SetName) -> SpanSet:
    raise KeyError(name)


def _not_stored(_: object) -> None:
    return None


class TurnStore:
    """Loads what is asked for. `stored_*` give bytes as they are stored, for a look that decodes nothing.

    `changed_*` name what must be stored again; `dropped_*`, where not changed, what must be deleted.
    `leaves`: numbers of the pages, with the greatest version of their turns as it was stored.
    `spilled`: turns with sets outside of their page, and the numbers of these. What only a large window needs is not
    made before it is asked for.
    """

    __slots__ = (
        "_changed_sets", "_dropped_pages", "_dropped_sets", "_sets", "changed_pages", "leaves", "load_page", "load_set",
        "pages", "spilled", "stored_filter", "stored_page", "stored_set",
    )  # fmt: skip

    def __init__(self, leaves: dict[int, int] | None = None, spilled: dict[bytes, set[int]] | None = None) -> None:
        self.pages: dict[int, Page] = {} if leaves is not None else {ROOT: {}}
        self.leaves = {ROOT: -1} if leaves is None else leaves
        self.spilled = {} if spilled is None else spilled
        self.changed_pages: set[int] = set()
        self._sets: dict[SetName, SpanSet] | None = None
        self._changed_sets: set[SetName] | None = None
        self._dropped_pages: set[int] | None = None
        self._dropped_sets: set[SetName] | None = None
        self.load_page: Callable[[int], Page] = _no_page
        self.load_set: Callable[[SetName], SpanSet] = _no_set
        self.stored_page: Callable[[int], bytes | None] = _not_stored
        self.stored_set: Callable[[SetName], bytes | None] = _not_stored
        self.stored_filter: Callable[[int], bytes | None] = _not_stored

    @property
    def sets(self) -> dict[SetName, SpanSet]:
        if self._sets is None:
            self._sets = {}
        return self._sets

    @property
    def changed_sets(self) -> set[SetName]:
        if self._changed_sets is None:
            self._changed_sets = set()
        return self._changed_sets

    @property
    def dropped_pages(self) -> set[int]:
        if self._dropped_pages is None:
            self._dropped_pages = set()
        return self._dropped_pages

    @property
    def dropped_sets(self) -> set[SetName]:
        if self._dropped_sets is None:
            self._dropped_sets = set()
        return self._dropped_sets

    def get(self, trace_id: bytes) -> Turn | None:
        number = leaf_of(trace_id, self.leaves)
        if number not in self.pages:
            stored = self.stored_page(number)
            if stored is not None and trace_id not in stored:
                return None  # a look at the bytes costs a tenth of decoding them
        return self._page(number).get(trace_id)

    def may_hold(self, trace_hash: int, parts: int) -> bool:
        """False: no turn is of a trace with this hash. `parts`: of the filter, where one is stored."""
        if len(self.leaves) == 1 or self.changed_pages:
            return True
        part = self.stored_filter(part_of(trace_hash, parts))
        return part is None or may_hold(part, trace_hash)

    def change(self, turn: Turn) -> None:
        """The turn is new or changed."""
        number = leaf_of(turn.trace_id, self.leaves)
        self._page(number)[turn.trace_id] = turn
        self.changed_pages.add(number)

    def holds(self, turn: Turn, span_id: bytes) -> bool:
        """Whether the span is known."""
        leaves = self.spilled.get(turn.trace_id)
        if leaves is None:
            return turn.spans.has(span_id)
        name = (turn.trace_id, leaf_of(span_id, leaves))
        if name not in self.sets:
            stored = self.stored_set(name)
            if stored is not None and span_id not in stored:
                return False
        return self._set(name).has(span_id)

    def spans_to_change(self, turn: Turn, name: bytes) -> SpanSet:
        """The same set, which will be stored again. The turn itself is to be marked by `change`."""
        leaves = self.spilled.get(turn.trace_id)
        if leaves is None:
            return turn.spans
        set_name = (turn.trace_id, leaf_of(name, leaves))
        self.changed_sets.add(set_name)
        return self._set(set_name)

    def all(self) -> Iterator[Turn]:
        for number in sorted(self.leaves):
            yield from self._page(number).values()

    def changed(self, since: int) -> Iterator[Turn]:
        """Turns with a version greater than `since`; pages without one are not loaded."""
        for number in sorted(self.leaves):
            if number in self.changed_pages or self.leaves[number] > since:
                yield from (turn for turn in self._page(number).values() if turn.version > since)

    def adopt(self, turn: Turn, other: Self) -> None:
        """Take a turn over, with its sets, from a store that is given up."""
        self.change(turn)
        leaves = other.spilled.get(turn.trace_id)
        if leaves is not None:
            self.spilled[turn.trace_id] = leaves
            for name in ((turn.trace_id, number) for number in leaves):
                self.sets[name] = other._set(name)
                self.changed_sets.add(name)

    def forget_spans(self) -> None:
        """Drop all that is known of single spans."""
        self.forget_sets()
        for turn in self.all():
            turn.spans = SpanSet()
        self.changed_pages.update(self.leaves)

    def forget_sets(self) -> None:
        """Drop what is known of single spans outside of pages, which costs no look at the pages."""
        self.dropped_sets.update(self.set_names())
        self.spilled.clear()
        self.sets.clear()
        self.changed_sets.clear()

    def set_names(self) -> Iterator[SetName]:
        """Every set outside of a page."""
        return ((trace_id, number) for trace_id, leaves in self.spilled.items() for number in leaves)

    def balance(self) -> None:
        """Before changes are stored: nothing that changed stays larger than it may be."""
        for number in list(self.changed_pages):
            for turn in self.pages[number].values():
                if turn.spans.weight > SPILL_BYTES:
                    self._spill(turn)
        for name in list(self.changed_sets):
            self._divide_set(name)
        for number in list(self.changed_pages):
            self._divide_page(number)

    def stored(self) -> None:
        """Everything that changed has been stored."""
        for number in self.changed_pages:
            self.leaves[number] = max((turn.version for turn in self.pages[number].values()), default=-1)
        self.changed_pages.clear()
        self._changed_sets = self._dropped_pages = self._dropped_sets = None

    def _spill(self, turn: Turn) -> None:
        name = (turn.trace_id, ROOT)
        self.spilled[turn.trace_id] = {ROOT}
        self.sets[name], turn.spans = turn.spans, SpanSet()
        self.changed_sets.add(name)

    def _divide_set(self, name: SetName) -> None:
        trace_id, number = name
        found = self.sets[name]
        if found.weight <= SET_BYTES or not can_divide(number):
            return
        leaves = self.spilled[trace_id]
        leaves.remove(number)
        del self.sets[name]
        self.changed_sets.remove(name)
        self.dropped_sets.add(name)
        for child, half in zip((2 * number, 2 * number + 1), found.divide(side_of(number)), strict=True):
            leaves.add(child)
            self.sets[trace_id, child] = half
            self.changed_sets.add((trace_id, child))
            self._divide_set((trace_id, child))

    def _divide_page(self, number: int) -> None:
        page = self.pages[number]
        if len(page) < 2 or sum(turn.weight for turn in page.values()) <= PAGE_BYTES or not can_divide(number):  # noqa: PLR2004
            return
        halves: tuple[Page, Page] = {}, {}
        is_second = side_of(number)
        for trace_id, turn in page.items():
            halves[is_second(trace_id)][trace_id] = turn
        del self.pages[number], self.leaves[number]
        self.changed_pages.remove(number)
        self.dropped_pages.add(number)
        for child, half in zip((2 * number, 2 * number + 1), halves, strict=True):
            self.pages[child], self.leaves[child] = half, -1
            self.changed_pages.add(child)
            self._divide_page(child)

    def _page(self, number: int) -> Page:
        page = self.pages.get(number)
        if page is None:
            page = self.pages[number] = self.load_page(number)
        return page

    def _set(self, name: SetName) -> SpanSet:
        found = self.sets.get(name)
        if found is None:
            found = self.sets[name] = self.load_set(name)
        return found
