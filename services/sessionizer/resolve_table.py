"""The traces of one partition: everything as bytes, what is being worked on decoded.

Keys and values are those of the changelog, so what changed is what must be written.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from services.sessionizer import resolve_state as state
from services.sessionizer.engine.resolve import Held, Trace

Changes = dict[bytes, bytes | None]


class TraceTable:
    """Not thread-safe. What was asked for since the last `store` is in use: its bytes may be out of date."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._used: dict[bytes, Trace] = {}
        self._removed: set[bytes] = set()

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply changelog entries in log order."""
        for key, value in entries:
            if value is None:
                self._data.pop(key, None)
            else:
                self._data[key] = value

    def headers(self) -> Iterator[tuple[bytes, state.Header]]:
        """Every stored trace."""
        return ((key, state.header(data)) for key, data in self._data.items() if state.is_trace_key(key))

    def trace(self, trace_id: bytes) -> Trace:
        """Known or not. It is in use from now on."""
        trace = self._used.get(trace_id)
        if trace is None:
            data = self._data.get(trace_id)
            trace = Trace(trace_id) if data is None else state.decode_trace(trace_id, data)
            trace.held.load_page = partial(self._page, trace_id)
            self._used[trace_id] = trace
        return trace

    def header(self, trace_id: bytes) -> state.Header | None:
        """What is known of a trace, if anything is; it is not in use for that."""
        trace = self._used.get(trace_id)
        if trace is None:
            data = self._data.get(trace_id)
            return None if data is None else state.header(data)
        if not trace.is_known:
            return None
        held = trace.held
        return state.Header(trace.key is not None, trace.since, held.spans, held.size, held.pages)

    def is_bound(self, trace_id: bytes) -> bool:
        trace = self._used.get(trace_id)
        if trace is not None:
            return trace.key is not None
        data = self._data.get(trace_id)
        return data is not None and state.is_bound(data)

    def forget_pages(self, trace: Trace, held: Held) -> None:
        """What was held has been read for the last time."""
        for number in range(held.pages):
            key = state.page_key(trace.id, number)
            if self._data.pop(key, None) is not None:
                self._removed.add(key)
        trace.held.load_page = partial(self._page, trace.id)

    def store(self) -> list[tuple[bytes, bytes | None]]:
        """Encode what changed; nothing is in use any more. Returns the changelog entries."""
        changes: Changes = dict.fromkeys(sorted(self._removed))
        self._removed.clear()
        for trace_id in sorted(self._used):
            self._store_trace(self._used[trace_id], changes)
        self._used.clear()
        return list(changes.items())

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._data.items()

    def _store_trace(self, trace: Trace, changes: Changes) -> None:
        if not trace.is_known:
            if self._data.pop(trace.id, None) is not None:
                changes[trace.id] = None
            return
        for number, page in trace.held.full.items():
            key = state.page_key(trace.id, number)
            self._data[key] = changes[key] = state.encode_page(page)
        data = state.encode_trace(trace)
        if self._data.get(trace.id) != data:
            self._data[trace.id] = changes[trace.id] = data

    def _page(self, trace_id: bytes, number: int) -> bytes:
        return state.decode_page(self._data[state.page_key(trace_id, number)])
