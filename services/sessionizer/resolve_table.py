"""The waits of one partition: everything as bytes, what is being worked on decoded.

Keys and values are those of the changelog, so what changed is what must be written.
"""

from collections.abc import Iterator
from functools import partial

from services.sessionizer import resolve_state as state
from services.sessionizer.engine.resolve import Wait

Changes = dict[bytes, bytes | None]


class WaitTable:
    """Not thread-safe. What was asked for since the last `store` is in use: its bytes may be out of date."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._used: dict[bytes, Wait] = {}
        self._removed: set[bytes] = set()

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply a changelog entry. They come in log order."""
        if value is None:
            self._data.pop(key, None)
        else:
            self._data[key] = value

    def headers(self) -> Iterator[tuple[bytes, state.Header]]:
        """Every stored wait, by its trace."""
        return ((key, state.header(data)) for key, data in self._data.items() if state.is_trace_key(key))

    def begin(self, trace_id: bytes, since: int) -> Wait:
        """The trace does not wait yet. It is in use from now on."""
        return self._use(Wait(trace_id, since))

    def wait(self, trace_id: bytes) -> Wait:
        """The trace waits. It is in use from now on."""
        wait = self._used.get(trace_id)
        return self._use(state.decode_wait(trace_id, self._data[trace_id])) if wait is None else wait

    def end(self, wait: Wait) -> None:
        """What was held has been read for the last time."""
        del self._used[wait.trace_id]
        for key in (wait.trace_id, *(state.page_key(wait.trace_id, number) for number in range(wait.held.pages))):
            if self._data.pop(key, None) is not None:
                self._removed.add(key)

    def store(self) -> list[tuple[bytes, bytes | None]]:
        """Encode what changed; nothing is in use any more. Returns the changelog entries."""
        changes: Changes = dict.fromkeys(sorted(self._removed))
        self._removed.clear()
        for trace_id in sorted(self._used):
            wait = self._used[trace_id]
            for number, page in wait.held.full.items():
                key = state.page_key(trace_id, number)
                self._data[key] = changes[key] = state.encode_page(page)
            self._data[trace_id] = changes[trace_id] = state.encode_wait(wait)
        self._used.clear()
        return list(changes.items())

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._data.items()

    def _use(self, wait: Wait) -> Wait:
        wait.held.load_page = partial(self._page, wait.trace_id)
        self._used[wait.trace_id] = wait
        return wait

    def _page(self, trace_id: bytes, number: int) -> bytes:
        return state.decode_page(self._data[state.page_key(trace_id, number)])
