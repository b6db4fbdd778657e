"""What was noted for a session is done: its spans are taken in, and windows close and expire at the times that passed.

It comes out as if each record had been applied, and each sweep made, when it was read. `_fold.pyx` does the same
with records whose spans are not made objects.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from services.sessionizer.engine.session import Effects, Now, Session
from services.sessionizer.engine.window import Window
from services.shared.records.session_spans import SpanGroup

if TYPE_CHECKING:
    from services.shared.records._session_spans import PackedSpans

Sweep = tuple[int, int]
"""Version and watermark of a record with which time went on: a window that was due before closes or expires then."""

Part = tuple[int, Now, "SpanGroup | PackedSpans", int]
"""The spans of one record for a session: how many sweeps came before; what they are applied with; a group, and how many
items of its record are before it; or a whole record, and which of its groups it is."""


class Waiting:
    """What waits for a session. Of its `parts` so many are `done`, of the sweeps so many `swept`; `spans` in all."""

    __slots__ = ("done", "parts", "spans", "swept")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.done = self.swept = self.spans = 0


class Desk(Protocol):
    """Who is told of what happens to windows meanwhile."""

    def close(self, window: Window, version: int, watermark: int) -> None:
        """It may be closed now: `Window.pass_time` says whether it is."""

    def expire(self, session: Session, window: Window, watermark: int) -> None:
        """It has left its session for good."""

    def see(self, session: Session, now: Now) -> None:
        """All that one record has for a session was applied: there may be more in the effects than numbers."""


def catch_up(
    session: Session, waiting: Waiting, sweeps: Sequence[Sweep], effects: Effects, desk: Desk, most: int
) -> bool:
    """Whether all of it is done now. After `most` spans, and the rest of their group, it is enough for once."""
    parts, spans = waiting.parts, 0
    while waiting.done < len(parts):
        if spans >= most:
            return False
        swept, now, group, before = parts[waiting.done]
        assert isinstance(group, SpanGroup), "records that are not made objects are for `_fold`"
        _pass_time(session, sweeps[waiting.swept : swept], desk)
        waiting.swept = swept
        take(session, group, before, now, effects)
        spans += len(group.items)
        waiting.done += 1
        if waiting.done == len(parts) or parts[waiting.done][1] is not now:
            _settle(session, now, desk)
    _pass_time(session, sweeps[waiting.swept :], desk)
    waiting.swept = len(sweeps)
    return True


def take(session: Session, group: SpanGroup, before: int, now: Now, effects: Effects) -> None:
    """Apply the items of a group, of whose record `before` items are before it."""
    now.record_time, now.position = group.record_time, before
    for item in group.items:
        now.position += 1
        session.take(item, now, effects)


def _settle(session: Session, now: Now, desk: Desk) -> None:
    """After what a record has for the session."""
    desk.see(session, now)
    for window in session.windows:
        if window.version == now.version:
            window.settle()
            desk.close(window, now.version, now.watermark)


def _pass_time(session: Session, sweeps: Sequence[Sweep], desk: Desk) -> None:
    """Close and expire windows, each with the first sweep that finds it due."""
    for window in [*session.windows] if sweeps else ():
        for version, watermark in sweeps:
            if window.has_expired(watermark):
                session.windows.remove(window)
                desk.expire(session, window, watermark)
                break
            if not window.is_closed and watermark > window.end + window.gap:
                desk.close(window, version, watermark)
