"""The turns of one window, in pages that are read and written one by one.

A page holds the turns whose hash begins with the bits of its number: page 1 holds all, page n
splits into 2n and 2n+1 when it grows over `PAGE_BYTES`. So a span costs one page whatever the
size of its session. A turn of very many spans keeps their identities in sets of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from zlib import crc32

from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.turn import Turn

ROOT = 1
SPILL_BYTES = 4 << 10
"""A turn whose identities weigh more keeps them outside of its page."""
SET_BYTES = 12 << 10
"""A set of identities that weighs more is split in two."""

Page = dict[bytes, Turn]
SetName = tuple[bytes, int]
"""Trace id, number of the set."""


def _no_page(number: int) -> Page:
    raise KeyError(number)


def _no_set(name: SetName) -> SpanSet:
    raise KeyError(name)


class TurnStore:
    """Loads what is asked for; `changed_pages` and `changed_sets` name what must be stored again.

    `leaves`: numbers of the stored or loaded pages, with the greatest version of their turns.
    `spilled`: turns with sets outside of their page, and how many as a power of two.
    """

    __slots__ = (
        "changed_pages", "changed_sets", "dropped_sets", "leaves", "load_page", "load_set", "pages", "sets", "spilled",
    )  # fmt: skip

    def __init__(self, leaves: dict[int, int] | None = None, spilled: dict[bytes, int] | None = None) -> None:
        self.spilled = {} if spilled is None else spilled
        self.pages: dict[int, Page] = {} if leaves is not None else {ROOT: {}}
        self.leaves = {ROOT: -1} if leaves is None else leaves
        self.sets: dict[SetName, SpanSet] = {}
        self.changed_pages: set[int] = set()
        self.changed_sets: set[SetName] = set()
        self.dropped_sets: set[SetName] = set()
        self.load_page: Callable[[int], Page] = _no_page
        self.load_set: Callable[[SetName], SpanSet] = _no_set

    def get(self, trace_id: bytes) -> Turn | None:
        return self._page(self._number(trace_id)).get(trace_id)

    def put(self, turn: Turn) -> None:
        """A new turn. `mark` it once it has its version."""
        self._page(self._number(turn.trace_id))[turn.trace_id] = turn

    def mark(self, turn: Turn, span_id: bytes) -> None:
        """The turn changed, and so did what is known of this span id."""
        number = self._number(turn.trace_id)
        self.changed_pages.add(number)
        if turn.depth:
            self.changed_sets.add(_set_name(turn, span_id))

    def spans_of(self, turn: Turn, span_id: bytes) -> SpanSet:
        """The set that knows of this span id, as a span and as a parent."""
        return self._set(_set_name(turn, span_id)) if turn.depth else turn.spans

    def all(self) -> Iterator[Turn]:
        for number in sorted(self.leaves):
            yield from self._page(number).values()

    def changed(self, since: int) -> Iterator[Turn]:
        """Turns with a version greater than `since`; pages without one are not loaded."""
        for number in sorted(self.leaves):
            if number in self.changed_pages or self.leaves[number] > since:
                yield from (turn for turn in self._page(number).values() if turn.version > since)

    def adopt(self, turn: Turn, other: "TurnStore") -> None:
        """Take a turn over, with its sets, from a store that is given up."""
        self.put(turn)
        self.changed_pages.add(self._number(turn.trace_id))
        if turn.depth:
            self.spilled[turn.trace_id] = turn.depth
            for name in _names(turn.trace_id, turn.depth):
                self.sets[name] = other._set(name)  # noqa: SLF001 - the same class
                self.changed_sets.add(name)

    def forget_spans(self) -> None:
        """Drop every identity."""
        self.dropped_sets |= set(self.set_names())
        for turn in self.all():
            turn.depth, turn.spans = 0, SpanSet()
        self.changed_pages |= self.leaves.keys()
        self.spilled.clear()
        self.sets.clear()
        self.changed_sets.clear()

    def set_names(self) -> Iterable[SetName]:
        """Every set outside of a page."""
        return [name for trace_id, depth in self.spilled.items() for name in _names(trace_id, depth)]

    def spill(self, turn: Turn) -> None:
        """Move identities out of the page, or spread them over twice as many sets."""
        if not turn.depth and turn.spans.weight > SPILL_BYTES:
            sets, turn.spans = [turn.spans], SpanSet()
        elif turn.depth and any(s.weight > SET_BYTES for name, s in self.sets.items() if name[0] == turn.trace_id):
            sets = [self._set(name) for name in _names(turn.trace_id, turn.depth)]
        else:
            return
        turn.depth += 1
        self.spilled[turn.trace_id] = turn.depth
        fresh = [SpanSet() for _ in range(1 << turn.depth)]
        for old in sets:
            old.spread(lambda span_id: fresh[_set_name(turn, span_id)[1]])
        for index, found in enumerate(fresh):
            self.sets[turn.trace_id, index] = found
            self.changed_sets.add((turn.trace_id, index))

    def split(self, number: int) -> tuple[int, int]:
        """Divide a page in two; returns their numbers."""
        page = self.pages.pop(number)
        del self.leaves[number]
        self.changed_pages.discard(number)
        low, high = 2 * number, 2 * number + 1
        depth = number.bit_length() - 1
        self.pages[low], self.pages[high] = {}, {}
        for trace_id, turn in page.items():
            self.pages[high if _hash(trace_id) >> depth & 1 else low][trace_id] = turn
        for child in (low, high):
            self.leaves[child] = -1
            self.changed_pages.add(child)
        return low, high

    def _number(self, trace_id: bytes) -> int:
        number, bits = ROOT, _hash(trace_id)
        while number not in self.leaves:
            number = 2 * number + (bits & 1)
            bits >>= 1
        return number

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


def _hash(trace_id: bytes) -> int:
    return crc32(trace_id)


def _set_name(turn: Turn, span_id: bytes) -> SetName:
    return turn.trace_id, crc32(span_id) & ((1 << turn.depth) - 1)


def _names(trace_id: bytes, depth: int) -> list[SetName]:
    return [(trace_id, index) for index in range(1 << depth)]
