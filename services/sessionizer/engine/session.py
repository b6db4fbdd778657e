"""READ THIS FIRST of the engine: the rules of one session key.

Which window a span belongs to, what merges, what seals, what an explicit end does, when a
window closes and when it expires. States and time come in as arguments; nothing here does I/O.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.window import NEVER, Window, window_id
from services.shared.model.outcome import EngineNote
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts

MAX_IDENTITIES = 1_000_000
"""Identities held for one session key; over that, those of its oldest sealed windows go first."""

_END_SPAN = "session.end"
_ADDED = "added"


@dataclass(slots=True)
class Now:
    """What a record is applied with: its version, the watermark, the policy, and where results are noted.

    `on_opened` and `on_absorbed` are told of each new window and of each that a merge ends;
    `position` is that of the item in the record.
    """

    version: int
    watermark: int
    policy: Policy
    on_opened: Callable[[], None]
    on_absorbed: Callable[["Session", Window], None]
    record_time: int = 0
    position: int = 0
    max_identities: int = MAX_IDENTITIES
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Session:
    """A session key and its held windows, oldest first."""

    key: SessionKey
    name: bytes  # the encoded key
    windows: list[Window] = field(default_factory=list)

    def take(self, item: SpanFacts | SessionEnd, now: Now) -> None:
        """Apply one item of a record."""
        if isinstance(item, SessionEnd):
            self._end(item.at, item.trace_id + item.span_id, now)
            return
        for window in self.windows:
            if window.holds(item):
                window.duplicates += 1
                window.is_stored = False
                now.outcomes[EngineNote.DUPLICATE.value] += 1
                return
        self._add(item, now)
        if item.name == _END_SPAN:
            self._end(item.end, item.trace_id + item.span_id, now)
        for at in item.ends_at:
            self._end(at, item.trace_id + item.span_id, now)

    def _add(self, span: SpanFacts, now: Now) -> None:
        gap = now.policy.gap_for(self.key.project)
        window = self._home(span, gap) or self._open(span, gap, now)
        turn = window.add(span, now.version)
        now.outcomes[_ADDED] += 1
        if now.watermark > span.end + gap:
            window.late_spans += 1
            now.outcomes[EngineNote.LATE.value] += 1
        if window.ended_at is None and len(self.windows) > 1:
            window = self._merge(window, turn.start, turn.end, gap, now)
        window.seal_if_full(now.policy)
        window.change(now.version, now.watermark, now.policy, gap)
        if len(self.windows) > 1:
            self._bound_identities(now)

    def _home(self, span: SpanFacts, gap: int) -> Window | None:
        """The window that holds the turn, else the oldest ended one that it still belongs to."""
        for window in self.windows:
            if not window.sealed and window.turns.get(span.trace_id) is not None:
                return window
        for window in self.windows:
            if (
                not window.sealed
                and window.ended_at is not None
                and span.start <= window.ended_at
                and window.distance(span.start, span.end) <= gap
            ):
                return window
        return None

    def _open(self, span: SpanFacts, gap: int, now: Now) -> Window:
        opened = (now.version, now.position)
        is_late = now.watermark > span.end + gap + now.policy.allowed_lateness
        window = Window(window_id(self.key, span, opened), opened, span.start, now.record_time, is_late=is_late)
        self.windows.append(window)
        now.on_opened()
        return window

    def _merge(self, grown: Window, start: int, end: int, gap: int, now: Now) -> Window:
        """`grown` and every plain window within the gap of its grown turn become the oldest of them."""
        near = [w for w in self.windows if w is grown or (w.is_plain and w.distance(start, end) <= gap)]
        survivor = min(near, key=lambda window: window.opened)
        for window in near:
            if window is not survivor:
                survivor.absorb(window, now.version)
                self.windows.remove(window)
                now.on_absorbed(self, window)
                if window.emitted != NEVER:
                    survivor.hurry()
        return survivor

    def _end(self, at: int, by: bytes, now: Now) -> None:
        """End the latest plain window that `at` falls into or soon after."""
        gap = now.policy.gap_for(self.key.project)
        hit = [w for w in self.windows if w.is_plain and w.start <= at and w.end >= at - gap]
        if not hit or any(window.ended_by == by for window in self.windows):
            now.outcomes[EngineNote.END_IGNORED.value] += 1
            return
        window = max(hit, key=lambda candidate: candidate.start)
        window.finish(at, by)
        window.change(now.version, now.watermark, now.policy, gap)

    def _bound_identities(self, now: Now) -> None:
        held = sum(window.totals.span_count for window in self.windows if not window.forgotten)
        for window in self.windows:
            if held <= now.max_identities:
                return
            if window.sealed and not window.forgotten:
                held -= window.totals.span_count
                now.outcomes[EngineNote.IDENTITY_EVICTED.value] += window.totals.span_count
                window.forget()


def close_or_open(window: Window, version: int, watermark: int, policy: Policy, gap: int) -> None:
    """Decide after a whole record whether a window is closed. Closing is a change."""
    was_closed = window.is_closed
    window.is_closed = not window.is_plain or watermark > window.end + window.gap
    if window.is_closed and not was_closed:
        window.change(version, watermark, policy, gap)


def is_expired(window: Window, watermark: int) -> bool:
    return window.is_closed and watermark > window.expires_after
