"""The live view in memory, with the same contract as the one in Redis."""

from collections import defaultdict
from collections.abc import Sequence

from services.shared.clock import Clock
from services.shared.errors import TransientError
from services.shared.model.live import LiveSession, LiveUpdate, Position
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.model.session_key import SessionKey
from services.shared.records.rollup_fields import turn_from_json, window_from_json
from services.shared.records.rollups import turn_json, window_json

SECOND = 10**9


class FakeLiveView:
    """`is_down` makes every call fail as an unreachable Redis does; what it held stays."""

    def __init__(self, clock: Clock, ttl_seconds: int = 3600) -> None:
        self._clock, self._ttl = clock, ttl_seconds
        self._windows: defaultdict[SessionKey, dict[str, bytes]] = defaultdict(dict)
        self._turns: defaultdict[SessionKey, dict[str, bytes]] = defaultdict(dict)
        self._seen: dict[SessionKey, int] = {}
        self._written: dict[SessionKey, int] = {}
        self._unsure: set[SessionKey] = set()
        self.is_down = False

    async def apply(self, updates: Sequence[LiveUpdate]) -> None:
        keys = {SessionKey(update.project, update.session_id) for update in updates}
        if self.is_down:
            self.doubt(updates)
            raise TransientError("writing live values: Redis is down")
        for key in self._unsure & keys:
            self._windows.pop(key, None)
            self._turns.pop(key, None)
        self._unsure -= keys
        for update in updates:
            key = SessionKey(update.project, update.session_id)
            self._windows[key] |= update.windows
            self._turns[key] |= update.turns
            for window_id in update.removed:
                if window_id not in update.windows:
                    self._windows[key].pop(window_id, None)
                self._turns[key] = {
                    id_: data for id_, data in self._turns[key].items() if not id_.startswith(window_id + "/")
                }
            if update.windows:
                seen = update.first_seen_at // 1000 * 1000
                self._seen[key] = min(seen, self._seen.get(key, seen)) if self._is_fresh(key) else seen
                self._written[key] = self._clock.now()

    def doubt(self, updates: Sequence[LiveUpdate]) -> None:
        self._unsure |= {SessionKey(update.project, update.session_id) for update in updates}

    async def sessions(self, keys: Sequence[SessionKey]) -> dict[SessionKey, LiveSession]:
        self._check()
        found = {}
        for key in keys:
            if not self._is_fresh(key) or not self._windows[key]:
                continue
            windows = {id_: window_from_json(data) for id_, data in self._windows[key].items()}
            turns = {}
            for id_, data in self._turns[key].items():
                window_id, _, trace_id = id_.partition("/")
                if window_id in windows and not windows[window_id].is_deleted:
                    turns[window_id, trace_id] = turn_from_json(data, windows[window_id])
            found[key] = LiveSession(windows, turns)
        return found

    async def page(
        self, project: str, *, start: Position | None, end: Position | None, limit: int, descending: bool = False
    ) -> list[Position]:
        self._check()
        low, high = (end, start) if descending else (start, end)
        positions = sorted(
            (
                Position(seen, key.session_id)
                for key, seen in self._seen.items()
                if key.project == project and self._is_fresh(key)
            ),
            reverse=descending,
        )
        return [p for p in positions if (low is None or p >= low) and (high is None or p <= high)][:limit]

    async def projects(self) -> list[str]:
        self._check()
        return sorted({key.project for key in self._written if self._is_fresh(key)})

    async def projects_of(self, session_id: str) -> list[str]:
        self._check()
        return sorted({key.project for key in self._written if key.session_id == session_id and self._is_fresh(key)})

    async def clear(self) -> None:
        self._check()
        for part in (self._windows, self._turns, self._seen, self._written):
            part.clear()

    async def close(self) -> None:
        pass

    def _is_fresh(self, key: SessionKey) -> bool:
        return key in self._written and self._written[key] // SECOND >= self._clock.now() // SECOND - self._ttl

    def _check(self) -> None:
        if self.is_down:
            raise TransientError("reading live values: Redis is down")


def update(
    windows: Sequence[WindowRollup], turns: Sequence[TurnRollup] = (), removed: Sequence[str] = ()
) -> LiveUpdate:
    """What the worker would say of these windows and turns of one session."""
    return LiveUpdate(
        windows[0].project,
        windows[0].session_id,
        min(w.first_seen_at for w in windows),
        {w.window_id: window_json(w) for w in windows},
        {f"{t.window_id}/{t.trace_id}": turn_json(t) for t in turns},
        tuple(removed),
    )
