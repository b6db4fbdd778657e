"""What is to be done with the sessions of a partition, noted down until the next store does it, session by session.

So a session is worked on once for all that a checkpoint brings: its state is read, changed, published and written
while it is in the processor's cache (decisions/0018-sessions-one-by-one.md).
"""

from collections.abc import Container
from typing import TYPE_CHECKING

from services.sessionizer.engine.catch_up import Sweep, Waiting
from services.sessionizer.engine.session import Now
from services.shared.records.session_spans import SpansRecord

if TYPE_CHECKING:
    from services.shared.records._session_spans import PackedSpans

# What a store writes of each, about:
_BYTES_A_SPAN = 400  # state and rollup
_BYTES_A_WINDOW = 3_000  # texts apart: a rollup, its copy for the live view, and the meta of both
_MANY_SPANS = 500  # of one session: each more may open a window at worst, and so push another one out
_COPIES_OF_A_HEAD = 3  # what is in it goes to the changelog, the rollup and the live view


class Agenda:
    """Sessions that have to be worked on, by name. `backlog`: about how many bytes the store of them will write."""

    __slots__ = ("_ahead", "_sweeps", "backlog", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[bytes, Waiting] = {}
        self._sweeps: list[Sweep] = []
        self._ahead: Container[bytes] = ()
        self.backlog = 0

    def sweep(self, at: Sweep, ahead: Container[bytes]) -> None:
        """Time went on. Sessions `ahead`, which the record itself will change, have to wait for it until `swept`."""
        if not self._sweeps or self._sweeps[-1] != at:
            self._sweeps.append(at)
        self._ahead = ahead

    def swept(self) -> None:
        """Nothing else is due by then: the record that is ahead will be applied before anything is stored."""
        self._ahead = ()

    def wake(self, name: bytes, size: int = 0) -> None:
        """Something of this session is due. `size`: of the window's stored head."""
        self.backlog += _BYTES_A_WINDOW + _COPIES_OF_A_HEAD * size
        if name not in self.sessions:
            self.sessions[name] = Waiting()

    def add(self, record: "SpansRecord | PackedSpans", now: Now) -> None:
        """Spans for their sessions, applied with `now`."""
        if isinstance(record, SpansRecord):
            before = 0
            for name, group in zip(record.names, record.groups, strict=True):
                self._of(name, len(group.items)).parts.append((len(self._sweeps), now, group, before))
                before += len(group.items)
        else:
            for number, (name, size) in enumerate(zip(record.names, record.sizes, strict=True)):
                self._of(name, size).parts.append((len(self._sweeps), now, record, number))

    def _of(self, name: bytes, spans: int) -> Waiting:
        waiting = self.sessions.get(name)
        if waiting is None:
            waiting = self.sessions[name] = Waiting()
        waiting.spans += spans
        self.backlog += (_BYTES_A_WINDOW if waiting.spans > _MANY_SPANS else _BYTES_A_SPAN) * spans
        return waiting

    def sweeps_for(self, name: bytes) -> list[Sweep]:
        """Those that a session has to make up for now."""
        return self._sweeps[:-1] if name in self._ahead else self._sweeps

    def clear(self) -> None:
        """All of it is done."""
        self.sessions, self._sweeps, self.backlog = {}, [], 0
