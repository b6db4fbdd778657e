# cython: annotation_typing=False
"""The states of one partition: everything as bytes, what is being worked on decoded.

Values are those of the changelog, so what changed is what must be written. Most windows are one record
(`HeldWindows`); only those that are large have others.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from operator import attrgetter

from services.sessionizer import state
from services.sessionizer.engine.session import Session
from services.sessionizer.engine.trace_filter import build, part_count
from services.sessionizer.engine.window import Window
from services.sessionizer.held_windows import Held, HeldWindows
from services.sessionizer.wheel import Timer
from services.shared.model.session_key import SessionKey

KEPT_SESSIONS = 100
"""Sessions that stay decoded after a flush, those last used: the next spans are likely theirs. More gain nothing."""
STORED_SESSIONS = 100
"""Sessions that one slice of a store works on."""
STORED_BYTES = 1 << 20
"""Bytes of states after which a slice that decodes them ends."""
KEPT_TURNS = 32
"""Turns that stay decoded with a window of these; of a window with more, none."""
WHOLE_BYTES = 8 << 10
"""A window that takes more, or has more turns than stay decoded, is a head and pages, with records of their own."""

_WHOLE_SPANS = WHOLE_BYTES // 8  # more cannot be in so many bytes

Change = tuple[bytes, bytes | None]
"""A changelog record: key and value; no value is a tombstone."""


class SessionTable:
    """Not thread-safe. `decoded`: bytes of states that were decoded since the last store began."""

    __slots__ = ("_at_hand", "_changes", "_kept", "_records", "_removed", "_waiting", "decoded", "windows")

    def __init__(self) -> None:
        self.windows = HeldWindows()
        self._records: dict[bytes, bytes] = {}  # pages, sets and filters, by their changelog keys
        self._kept: dict[bytes, Session] = {}  # as stored; the last used is the last
        self._removed: list[bytes] = []
        self._waiting: list[bytes] | None = None  # during a store: names of sessions, the first one last
        self._at_hand: Session | None = None  # of these the first one, where work on it has begun
        self._changes: list[Change] = []  # that the store has made so far
        self.decoded = 0

    # Recovery

    def restore(self, entries: Iterable[Change]) -> None:
        """Apply changelog entries of states in log order."""
        for key, value in entries:
            names = state.head_names(key)
            if names is not None:
                name, id_ = names
                self.windows.restore(name, id_, value)
            elif value is None:
                self._records.pop(key, None)
            else:
                self._records[key] = value

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """All that is stored, as changelog entries."""
        for held in self.windows:
            if held.head is not None:
                yield state.window_prefix(held.name, held.id), held.head
        yield from self._records.items()

    def unsent(self) -> list[bytes]:
        """Names of sessions with a stored change that is not published. A scan: for a drain."""
        return [held.name for held in self.windows if held.head is not None and state.is_unsent(held.head)]

    # Time

    def next_due(self, time: int, waiting: Container[bytes]) -> Held | None:
        """The next window about which something must be done, as `Wheel.next_due` finds it.

        Those of sessions that are `waiting` for a store are let go: it files them anew.
        """
        return self.windows.next_due(time, lambda timer: self._deadline(timer, waiting))

    def _deadline(self, held: Timer, waiting: Container[bytes]) -> int | None:
        assert isinstance(held, Held)
        return None if held.head is None or held.name in waiting else state.deadline(held.head)

    def size(self, held: Held) -> int:
        """Bytes of the stored head of a window; 0 where nothing is stored."""
        return 0 if held.head is None else len(held.head)

    # Changes

    def expire(self, held: Held) -> bool:
        """Remove a window without decoding it, where what is stored tells that this alone is still to be done."""
        if held.head is None or not state.is_over(held.head):
            return False
        self._kept.pop(held.name, None)
        self._removed.append(state.window_prefix(held.name, held.id))
        self.windows.count -= 1
        self.windows.let_go(held)
        return True

    def remove(self, session: Session, window: Window) -> None:
        """The window was absorbed or has expired. Its session no longer lists it."""
        self.windows.count -= 1
        self.windows.open -= not window.is_closed
        held = self.windows.find(session.name, window.id)
        if held is None:
            return
        is_stored = held.head is not None
        self.windows.let_go(held)
        if not is_stored:
            return
        prefix, turns = state.window_prefix(session.name, window.id), window.turns
        self._removed.append(prefix)
        for number in turns.leaves.keys() | turns.dropped_pages:
            self._drop(state.page_key(prefix, number))
        for name in {*turns.set_names(), *turns.dropped_sets}:
            self._drop(state.set_key(prefix, name))
        for part in range(part_count(window.totals.turn_count)):
            self._drop(state.filter_key(prefix, part))

    @property
    def is_storing(self) -> bool:
        """Whether a store has begun whose changes are not taken yet."""
        return self._waiting is not None

    def begin_store(self, names: Iterable[bytes]) -> None:
        """These sessions will be worked on. Until their changes are taken nothing else may be done here."""
        self._waiting = sorted(names, reverse=True)
        self.decoded = 0

    def store(self, work: Callable[[Session], bool], snapshot_interval: int) -> bool:
        """Let some sessions be worked on, and encode what changed. Whether that was the rest.

        Sessions are taken one by one, in the order of their names, and let go at once where they are too many to be
        kept: what one takes is in the processor's cache only so long. `work` says whether all is done with a
        session: where it is not, the next call goes on with it.
        """
        assert self._waiting is not None, "a store begins with the names of its sessions"
        waiting, enough = self._waiting, self.decoded + STORED_BYTES
        for _ in range(min(STORED_SESSIONS, len(waiting))):
            session = self._at_hand
            if session is None:
                session = self._kept.pop(waiting[-1], None) or self._load(waiting[-1])
            if not work(session):
                self._at_hand = session
                return False
            self._at_hand = None
            waiting.pop()
            for window in session.windows:
                self._store_window(session.name, window, window.deadline(snapshot_interval))
            if len(waiting) < KEPT_SESSIONS:
                self._keep(session)
            if self.decoded > enough:
                break
        return not waiting

    def take_changes(self) -> list[Change]:
        """The changelog entries that the whole store has made."""
        changes: list[Change] = [(key, None) for key in sorted(self._removed)]
        changes += self._changes
        self._changes, self._removed, self._waiting = [], [], None
        for name in list(self._kept)[:-KEPT_SESSIONS]:
            del self._kept[name]
        return changes

    def _store_window(self, name: bytes, window: Window, deadline: int) -> None:
        held = self.windows.hold(name, window.id)
        self.windows.file(held, deadline)
        if window.is_stored:
            return
        prefix = state.window_prefix(name, window.id)
        head = self._whole(held, window, deadline)
        if head is None:
            self._store_pages(prefix, window, self._changes)
            head = state.encode_head(window, deadline)
            self._connect(window, prefix)
        held.head = head
        self._changes.append((prefix, head))
        window.is_stored = True

    def _whole(self, held: Held, window: Window, deadline: int) -> bytes | None:
        """The window in one record, while that is small. Once it is not, it never is again."""
        turns = window.turns
        if held.head is not None and not state.is_whole(held.head):
            return None
        is_small = window.totals.turn_count <= KEPT_TURNS and window.totals.span_count <= _WHOLE_SPANS
        if is_small and len(turns.leaves) == 1 and not turns.spilled:
            turns.stored()
            head = state.encode_head(window, deadline, whole=True)
            if len(head) <= WHOLE_BYTES:
                return head
        turns.changed_pages.update(turns.leaves)
        return None

    def _store_pages(self, prefix: bytes, window: Window, changes: list[Change]) -> None:
        turns = window.turns
        turns.balance()
        deletions = [state.page_key(prefix, number) for number in turns.dropped_pages]
        deletions += [state.set_key(prefix, name) for name in turns.dropped_sets - turns.changed_sets]
        changes += [(key, None) for key in sorted(deletions) if self._records.pop(key, None) is not None]
        entries = [
            (state.page_key(prefix, number), state.encode_page(turns.pages[number])) for number in turns.changed_pages
        ]
        entries += [(state.set_key(prefix, name), state.encode_set(turns.sets[name])) for name in turns.changed_sets]
        turns.stored()
        entries += self._filter(prefix, window, dict(entries))
        entries.sort()
        self._records.update(entries)
        changes += entries

    def _filter(self, prefix: bytes, window: Window, pages: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """Of a large window that was sealed since it was stored last: what tells whether it holds a trace."""
        if not window.sealed or len(window.turns.leaves) == 1 or state.filter_key(prefix, 0) in self._records:
            return []
        keys = [state.page_key(prefix, number) for number in window.turns.leaves]
        traces = (trace for key in keys for trace in state.trace_ids(pages.get(key) or self._records[key]))
        parts = build(traces, part_count(window.totals.turn_count))
        return [(state.filter_key(prefix, part), hashes) for part, hashes in enumerate(parts)]

    def _drop(self, key: bytes) -> None:
        if self._records.pop(key, None) is not None:
            self._removed.append(key)

    def _keep(self, session: Session) -> None:
        """Stored: keep it decoded, but for pages that are many."""
        if not session.windows:
            return
        self._kept[session.name] = session
        for window in session.windows:
            turns = window.turns
            if turns.spilled:
                turns.sets.clear()
            if sum(map(len, turns.pages.values())) > KEPT_TURNS:
                turns.pages.clear()

    # Loading

    def _load(self, name: bytes) -> Session:
        windows = [self._load_window(held) for held in self.windows.of(name)]
        if len(windows) > 1:
            windows.sort(key=attrgetter("opened"))
        return Session(SessionKey.decode(name), name, windows)

    def _load_window(self, held: Held) -> Window:
        assert held.head is not None, "a window is looked for by its state before it has one"
        window = state.decode_head(held.id, held.head)
        if state.is_whole(held.head):
            self.decoded += len(held.head)
        else:
            self._connect(window, state.window_prefix(held.name, held.id))
        return window

    def _connect(self, window: Window, prefix: bytes) -> None:
        """Let the window read pages and sets that are not decoded."""
        records, turns = self._records, window.turns
        turns.load_page = lambda number: state.decode_page(self._read(state.page_key(prefix, number)))
        turns.load_set = lambda name: state.decode_set(self._read(state.set_key(prefix, name)))
        turns.stored_page = lambda number: records.get(state.page_key(prefix, number))
        turns.stored_set = lambda name: records.get(state.set_key(prefix, name))
        turns.stored_filter = lambda part: records.get(state.filter_key(prefix, part))

    def _read(self, key: bytes) -> bytes:
        value = self._records[key]
        self.decoded += len(value)
        return value
