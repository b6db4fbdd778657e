"""Sessions as they are now: ClickHouse, and on top of it the live view where Redis answers.

ClickHouse decides what exists and where it stands in a list; the live view adds what is newer,
and sessions so new that the sink has not brought them yet. Without Redis everything is answered
from ClickHouse, at most a snapshot interval old, and the answer says so.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.query_api.live_merge import NOTHING_LIVE, merge_live
from services.query_api.session import Session, merge_session
from services.query_api.store import Store
from services.shared.errors import TransientError
from services.shared.model.live import LiveSession, Position
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.model.session_key import SessionKey

DEFAULT_PROJECT = "default"
"""Always there, as in Phoenix: clients that were told no project ask for it."""

_LIVE_CHUNK, _LIVE_ROUNDS = 1000, 5
_Answer = TypeVar("_Answer")


class LiveReader(Protocol):
    """What the API reads of `shared.live.LiveView`. Raises `TransientError`."""

    async def sessions(self, keys: Sequence[SessionKey]) -> dict[SessionKey, LiveSession]: ...

    async def page(
        self, project: str, *, start: Position | None, end: Position | None, limit: int, descending: bool = False
    ) -> list[Position]: ...

    async def projects(self) -> list[str]: ...

    async def projects_of(self, session_id: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions in order, and where the next page starts (`None`: there is none)."""

    sessions: list[Session]
    next: Position | None


class Reader:
    """For one request: `is_live` turns false when Redis did not answer, and it is then asked nothing more."""

    def __init__(self, store: Store, live: LiveReader | None) -> None:
        self._store, self._live = store, live
        self.is_live = live is not None

    async def projects(self) -> list[str]:
        """Newest first; those that only the live view knows are the newest; `default` is always there."""
        stored, live = await asyncio.gather(self._store.projects(), self._projects_alive())
        known = set(stored)
        names = [name for name in live if name not in known] + stored
        return names if DEFAULT_PROJECT in names else [*names, DEFAULT_PROJECT]

    async def is_alive(self, keys: Sequence[SessionKey]) -> bool:
        """Whether the live view holds any of these sessions."""
        return bool(await self._alive(keys))

    async def has_project(self, project: str) -> bool:
        if project == DEFAULT_PROJECT or await self._store.has_project(project):
            return True
        return project in await self._projects_alive()

    async def page(self, project: str, start: Position | None, limit: int, *, descending: bool) -> Page:
        """At most `limit` sessions from `start` on. The order is that of first sight, which nothing changes later."""
        positions = await self._store.positions(project, start, limit + 1, descending=descending)
        unstored = await self._unstored(project, start, positions, limit + 1, descending=descending)
        positions = sorted({*positions, *unstored}, reverse=descending)[: limit + 1]
        shown = [position.session_id for position in positions[:limit]]
        sessions = await self._sessions(project, shown)
        return Page(
            [sessions[session_id] for session_id in shown if session_id in sessions],
            positions[limit] if len(positions) > limit else None,
        )

    async def session(self, session_id: str, project: str | None) -> Session | None:
        """The session of this id in `project`, or else in the project in which it was last active."""
        (windows, turns), keys = await asyncio.gather(
            _both(self._store.windows([session_id], project), self._store.turns([session_id], project)),
            self._keys_alive(session_id, project),
        )
        keys |= {SessionKey(window.project, session_id) for window in windows}
        sessions = self._merge(windows, turns, await self._alive(sorted(keys)), keys)
        return max(sessions.values(), key=lambda s: (s.ended_at, s.key.project), default=None)

    async def _sessions(self, project: str, session_ids: Sequence[str]) -> dict[str, Session]:
        if not session_ids:
            return {}
        keys = [SessionKey(project, session_id) for session_id in session_ids]
        (windows, turns), live = await asyncio.gather(
            _both(
                self._store.windows(session_ids, project, whole=False),
                self._store.turns(session_ids, project, whole=False),
            ),
            self._alive(keys),
        )
        return {key.session_id: session for key, session in self._merge(windows, turns, live, keys).items()}

    async def _unstored(
        self, project: str, start: Position | None, stored: list[Position], limit: int, *, descending: bool
    ) -> list[Position]:
        """Live sessions on this page that ClickHouse has no row of.

        Most live sessions are stored, so the search ends after some thousands that are: beyond
        that a session shows when the sink has brought it.
        """
        end = stored[-1] if len(stored) >= limit else None
        on_page = {position.session_id for position in stored}
        found: list[Position] = []
        for _ in range(_LIVE_ROUNDS):
            chunk = await self._page_alive(project, start, end, descending=descending)
            others = [position for position in chunk if position.session_id not in on_page]
            known = await self._store.stored(project, [p.session_id for p in others]) if others else set()
            found += [position for position in others if position.session_id not in known]
            if len(chunk) < _LIVE_CHUNK or len(found) > limit:
                break
            start = chunk[-1]
        return found

    def _merge(
        self,
        windows: Iterable[WindowRollup],
        turns: Iterable[TurnRollup],
        live: dict[SessionKey, LiveSession],
        keys: Iterable[SessionKey],
    ) -> dict[SessionKey, Session]:
        windows_of: defaultdict[SessionKey, list[WindowRollup]] = defaultdict(list)
        turns_of: defaultdict[SessionKey, list[TurnRollup]] = defaultdict(list)
        for window in windows:
            windows_of[SessionKey(window.project, window.session_id)].append(window)
        for turn in turns:
            turns_of[SessionKey(turn.project, turn.session_id)].append(turn)
        sessions = {}
        for key in keys:
            counting, parts = merge_live(windows_of[key], turns_of[key], live.get(key, NOTHING_LIVE))
            if counting:
                sessions[key] = merge_session(counting, parts)
        return sessions

    async def _projects_alive(self) -> list[str]:
        return await self._ask(self._live.projects(), []) if self._live and self.is_live else []

    async def _keys_alive(self, session_id: str, project: str | None) -> set[SessionKey]:
        if project is not None:
            return {SessionKey(project, session_id)}
        if self._live is None or not self.is_live:
            return set()
        return {SessionKey(name, session_id) for name in await self._ask(self._live.projects_of(session_id), [])}

    async def _alive(self, keys: Sequence[SessionKey]) -> dict[SessionKey, LiveSession]:
        return await self._ask(self._live.sessions(keys), {}) if self._live and self.is_live and keys else {}

    async def _page_alive(
        self, project: str, start: Position | None, end: Position | None, *, descending: bool
    ) -> list[Position]:
        if self._live is None or not self.is_live:
            return []
        page = self._live.page(project, start=start, end=end, limit=_LIVE_CHUNK, descending=descending)
        return await self._ask(page, [])

    async def _ask(self, answer: Awaitable[_Answer], otherwise: _Answer) -> _Answer:
        try:
            return await answer
        except TransientError:
            self.is_live = False
            return otherwise


async def _both(
    windows: Awaitable[list[WindowRollup]], turns: Awaitable[list[TurnRollup]]
) -> tuple[list[WindowRollup], list[TurnRollup]]:
    return await asyncio.gather(windows, turns)
