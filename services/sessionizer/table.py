"""The states of one partition: everything as bytes, what is being worked on decoded.

Keys and values are those of the changelog, so what changed is what must be written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from services.sessionizer import state
from services.sessionizer.engine.session import Session
from services.sessionizer.engine.trace_filter import build, part_count
from services.sessionizer.engine.window import Window
from services.sessionizer.wheel import Wheel
from services.shared.model.session_key import SessionKey

KEPT_SESSIONS = 500
"""Sessions that stay decoded after a flush, those last used: the next spans are likely theirs."""
KEPT_TURNS = 32
"""Turns that stay decoded with a window of these; of a window with more in use, none."""

WindowName = tuple[bytes, bytes]
"""Session name, window id."""

Changes = dict[bytes, bytes | None]


class SessionTable:
    """Not thread-safe. What was asked for since the last `store` is in use: its bytes may be out of date."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._windows: dict[bytes, tuple[bytes, ...]] = {}
        self._used: dict[bytes, Session] = {}
        self._kept: dict[bytes, Session] = {}  # as stored; the last used is the last
        self._removed: list[bytes] = []
        self.wheel: Wheel[WindowName] = Wheel()
        self.held = self.open = 0
        self.decoded = 0  # bytes of pages and sets that were decoded since the last `store`

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries of states in log order."""
        for key, value in entries:
            if value is None:
                self._data.pop(key, None)
            else:
                self._data[key] = value

    def restored(self) -> None:
        """All entries are applied: rebuild what is derived from the heads."""
        windows: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for name, head in self._heads():
            windows[name[0]].append(name[1])
            self.wheel.file(head.deadline, name)
            self.open += head.is_open
            self.held += 1
        self._windows = {session: tuple(ids) for session, ids in windows.items()}

    def session(self, name: bytes) -> Session:
        """The session of this encoded key, with or without windows. It is in use from now on."""
        session = self._used.get(name)
        if session is None:
            session = self._kept.pop(name, None) or self._load(name)
            self._used[name] = session
        return session

    def deadline(self, name: WindowName, snapshot_interval: int) -> int | None:
        """When something must be done about a held window; None when it is gone."""
        session = self._used.get(name[0])
        if session is not None:
            deadlines = (window.deadline(snapshot_interval) for window in session.windows if window.id == name[1])
            return next(deadlines, None)
        data = self._data.get(state.window_prefix(*name))
        return None if data is None else state.header(data).deadline

    def size(self, name: WindowName) -> int:
        """Bytes of the stored head of a window, pages and sets apart; 0 where nothing is stored."""
        return len(self._data.get(state.window_prefix(*name), b""))

    def window(self, name: WindowName) -> tuple[Session, Window]:
        """A held window, with its session, which is in use from now on."""
        session = self.session(name[0])
        return session, next(window for window in session.windows if window.id == name[1])

    def unsent(self) -> list[bytes]:
        """Names of sessions, those in use apart, with a change that is not published. A scan: for a drain."""
        return [name[0] for name, head in self._heads() if head.is_unsent and name[0] not in self._used]

    @property
    def used(self) -> list[Session]:
        """The sessions in use, by name."""
        return [self._used[name] for name in sorted(self._used)]

    def remove(self, session: Session, window: Window) -> None:
        """The window was absorbed or has expired. Its session no longer lists it."""
        self.wheel.discard((session.name, window.id))
        self.held -= 1
        self.open -= not window.is_closed
        prefix = state.window_prefix(session.name, window.id)
        if prefix not in self._data:
            return
        turns = window.turns
        self._drop(prefix)
        for number in turns.leaves.keys() | turns.dropped_pages:
            self._drop(state.page_key(prefix, number))
        for name in {*turns.set_names(), *turns.dropped_sets}:
            self._drop(state.set_key(prefix, name))
        for part in range(part_count(window.totals.turn_count)):
            self._drop(state.filter_key(prefix, part))

    def store(self, snapshot_interval: int) -> list[tuple[bytes, bytes | None]]:
        """Encode what changed; nothing is in use any more. Returns the changelog entries."""
        changes: Changes = dict.fromkeys(sorted(self._removed))
        self._removed = []
        for session in self.used:
            for window in session.windows:
                if not window.is_stored:
                    self._store_window(session, window, snapshot_interval, changes)
            self._keep(session)
        self._used.clear()
        self.decoded = 0
        for name in list(self._kept)[: max(0, len(self._kept) - KEPT_SESSIONS)]:
            del self._kept[name]
        return list(changes.items())

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._data.items()

    def _heads(self) -> Iterator[tuple[WindowName, state.Header]]:
        for key, value in self._data.items():
            if (name := state.head_names(key)) is not None:
                yield name, state.header(value)

    def _load(self, name: bytes) -> Session:
        windows = [self._load_window(name, id_) for id_ in self._windows.get(name, ())]
        windows.sort(key=lambda window: window.opened)
        return Session(SessionKey.decode(name), name, windows)

    def _load_window(self, name: bytes, id_: bytes) -> Window:
        prefix = state.window_prefix(name, id_)
        window = state.decode_head(id_, self._data[prefix])
        self._connect(window, prefix)
        return window

    def _connect(self, window: Window, prefix: bytes) -> None:
        """Let the window read pages and sets that are not decoded."""
        data, turns = self._data, window.turns
        turns.load_page = lambda number: state.decode_page(self._read(state.page_key(prefix, number)))
        turns.load_set = lambda name: state.decode_set(self._read(state.set_key(prefix, name)))
        turns.stored_page = lambda number: data.get(state.page_key(prefix, number))
        turns.stored_set = lambda name: data.get(state.set_key(prefix, name))
        turns.stored_filter = lambda part: data.get(state.filter_key(prefix, part))

    def _read(self, key: bytes) -> bytes:
        value = self._data[key]
        self.decoded += len(value)
        return value

    def _keep(self, session: Session) -> None:
        """Stored: keep it decoded, but for pages that are many."""
        ids = tuple(window.id for window in session.windows)
        if not ids:
            self._windows.pop(session.name, None)
            return
        if self._windows.get(session.name) != ids:
            self._windows[session.name] = ids
        self._kept[session.name] = session
        for window in session.windows:
            window.turns.sets.clear()
            if sum(map(len, window.turns.pages.values())) > KEPT_TURNS:
                window.turns.pages.clear()

    def _drop(self, key: bytes) -> None:
        if self._data.pop(key, None) is not None:
            self._removed.append(key)

    def _store_window(self, session: Session, window: Window, snapshot_interval: int, changes: Changes) -> None:
        prefix, turns = state.window_prefix(session.name, window.id), window.turns
        turns.balance()
        deletions = [state.page_key(prefix, number) for number in turns.dropped_pages]
        deletions += [state.set_key(prefix, name) for name in turns.dropped_sets - turns.changed_sets]
        for key in sorted(deletions):
            if self._data.pop(key, None) is not None:
                changes[key] = None
        entries = [
            (state.page_key(prefix, number), state.encode_page(turns.pages[number])) for number in turns.changed_pages
        ]
        entries += [(state.set_key(prefix, name), state.encode_set(turns.sets[name])) for name in turns.changed_sets]
        turns.stored()
        entries += self._filter(prefix, window, dict(entries))
        entries.append((prefix, state.encode_head(window, window.deadline(snapshot_interval))))
        for key, value in sorted(entries):
            self._data[key] = changes[key] = value
        window.is_stored = True
        self._connect(window, prefix)

    def _filter(self, prefix: bytes, window: Window, pages: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """Of a large window that was sealed since it was stored last: what tells whether it holds a trace."""
        if not window.sealed or len(window.turns.leaves) == 1 or state.filter_key(prefix, 0) in self._data:
            return []
        keys = [state.page_key(prefix, number) for number in window.turns.leaves]
        traces = (trace for key in keys for trace in state.trace_ids(pages.get(key) or self._data[key]))
        parts = build(traces, part_count(window.totals.turn_count))
        return [(state.filter_key(prefix, part), hashes) for part, hashes in enumerate(parts)]
