"""The states of one partition: everything as bytes, what is being worked on decoded.

Keys and values are those of the changelog, so what changed is what must be written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from services.sessionizer import state
from services.sessionizer.engine.session import Session
from services.sessionizer.engine.turn_store import TurnStore
from services.sessionizer.engine.window import Window
from services.sessionizer.wheel import Wheel
from services.shared.model.session_key import SessionKey

PAGE_BYTES = 16 << 10

WindowName = tuple[bytes, bytes]
"""Session name, window id."""


class SessionTable:
    """Not thread-safe. Decoded sessions stay decoded until `store`."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._windows: dict[bytes, tuple[bytes, ...]] = {}
        self._loaded: dict[bytes, Session] = {}
        self._removed: list[bytes] = []
        self.wheel: Wheel[WindowName] = Wheel()
        self.held = self.open = 0

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
        """The session of this encoded key, with or without windows."""
        found = self._loaded.get(name)
        if found is None:
            windows = [self._load(name, id_) for id_ in self._windows.get(name, ())]
            windows.sort(key=lambda window: window.opened)
            found = self._loaded[name] = Session(SessionKey.decode(name), name, windows)
        return found

    def deadline(self, name: WindowName) -> int | None:
        """The stored deadline of a window that is not decoded; None when the window is decoded or gone."""
        if name[0] in self._loaded:
            return None
        data = self._data.get(state.window_prefix(*name))
        return None if data is None else state.header(data).deadline

    def window(self, name: WindowName) -> tuple[Session, Window] | None:
        """A held window, decoded; None when it is gone."""
        if name[0] not in self._loaded and name[1] not in self._windows.get(name[0], ()):
            return None
        session = self.session(name[0])
        return next(((session, window) for window in session.windows if window.id == name[1]), None)

    def unsent(self) -> list[WindowName]:
        """Windows, decoded ones apart, whose last change is not published. A scan: for a drain."""
        return [name for name, head in self._heads() if head.is_unsent and name[0] not in self._loaded]

    @property
    def loaded(self) -> Iterable[Session]:
        return self._loaded.values()

    def remove(self, session: Session, window: Window) -> None:
        """The window was absorbed or has expired. Its session no longer lists it."""
        prefix = state.window_prefix(session.name, window.id)
        if prefix not in self._data:
            return
        self._drop(prefix)
        for number in window.turns.leaves:
            self._drop(state.page_key(prefix, number))
        for name in window.turns.set_names():
            self._drop(state.set_key(prefix, name))

    def store(self, snapshot_interval: int) -> list[tuple[bytes, bytes | None]]:
        """Encode what changed, forget what was decoded. Returns the changelog entries."""
        changes: dict[bytes, bytes | None] = dict.fromkeys(self._removed)
        self._removed = []
        for session in self._loaded.values():
            for window in session.windows:
                if not window.is_stored or window.turns.changed_pages:
                    self._store_window(session, window, snapshot_interval, changes)
            ids = tuple(window.id for window in session.windows)
            if ids:
                self._windows[session.name] = ids
            else:
                self._windows.pop(session.name, None)
        self._loaded.clear()
        return list(changes.items())

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._data.items()

    def _heads(self) -> Iterator[tuple[WindowName, state.Header]]:
        for key, value in self._data.items():
            if (name := state.head_names(key)) is not None:
                yield name, state.header(value)

    def _load(self, name: bytes, id_: bytes) -> Window:
        prefix = state.window_prefix(name, id_)
        window = state.decode_head(id_, self._data[prefix])
        window.turns.load_page = lambda number: state.decode_page(self._data[state.page_key(prefix, number)])
        window.turns.load_set = lambda name: state.decode_set(self._data[state.set_key(prefix, name)])
        return window

    def _drop(self, key: bytes) -> None:
        if self._data.pop(key, None) is not None:
            self._removed.append(key)

    def _store_window(
        self, session: Session, window: Window, snapshot_interval: int, changes: dict[bytes, bytes | None]
    ) -> None:
        prefix = state.window_prefix(session.name, window.id)
        put = partial(self._put, changes)
        turns = window.turns
        while turns.changed_pages:
            number = min(turns.changed_pages)
            self._store_page(turns, number, prefix, changes)
        for name in turns.dropped_sets:
            self._delete(changes, state.set_key(prefix, name))
        for name in turns.changed_sets:
            put(state.set_key(prefix, name), state.encode_set(turns.sets[name]))
        turns.changed_sets.clear()
        turns.dropped_sets.clear()
        put(prefix, state.encode_head(window, window.deadline(snapshot_interval)))

    def _store_page(self, turns: TurnStore, number: int, prefix: bytes, changes: dict[bytes, bytes | None]) -> None:
        page = turns.pages[number]
        for turn in page.values():
            turns.spill(turn)
        data = state.encode_page(page)
        if len(data) > PAGE_BYTES and len(page) > 1:
            turns.split(number)
            self._delete(changes, state.page_key(prefix, number))
            return
        turns.leaves[number] = max((turn.version for turn in page.values()), default=-1)
        turns.changed_pages.discard(number)
        self._put(changes, state.page_key(prefix, number), data)

    def _put(self, changes: dict[bytes, bytes | None], key: bytes, value: bytes) -> None:
        self._data[key] = changes[key] = value

    def _delete(self, changes: dict[bytes, bytes | None], key: bytes) -> None:
        if self._data.pop(key, None) is not None:
            changes[key] = None
