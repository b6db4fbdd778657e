"""ClickHouse as the API reads it, in memory, with the same contract."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from services.query_api.ids import annotation_gid
from services.query_api.transcript import StoredSpan
from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.live import Position
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.model.session_key import SessionKey

_Rollup = TypeVar("_Rollup", WindowRollup, TurnRollup)


class FakeStore:
    """Rows are kept at their highest version. `fault` is what every call raises."""

    def __init__(self) -> None:
        self._windows: dict[tuple[SessionKey, str], WindowRollup] = {}
        self._turns: dict[tuple[SessionKey, str, str], TurnRollup] = {}
        self._annotations: dict[str, AnnotationRollup] = {}
        self.stored_spans: list[StoredSpan] = []
        self.fault: Exception | None = None

    def add(self, *rollups: WindowRollup | TurnRollup | AnnotationRollup) -> None:
        for rollup in rollups:
            if isinstance(rollup, AnnotationRollup):
                self._annotations[annotation_gid(rollup)] = rollup
                continue
            key = SessionKey(rollup.project, rollup.session_id)
            if isinstance(rollup, WindowRollup):
                window = self._windows.setdefault((key, rollup.window_id), rollup)
                self._windows[key, rollup.window_id] = max(window, rollup, key=lambda w: w.version)
            else:
                id_ = (key, rollup.window_id, rollup.trace_id)
                self._turns[id_] = max(self._turns.setdefault(id_, rollup), rollup, key=lambda t: t.version)

    async def ping(self) -> None:
        self._check()

    async def projects(self) -> list[str]:
        self._check()
        seen: dict[str, int] = {}
        for window in self._windows.values():
            seen[window.project] = min(seen.get(window.project, window.first_seen_at), window.first_seen_at)
        return sorted(seen, key=lambda project: (seen[project], project), reverse=True)

    async def has_project(self, project: str) -> bool:
        return project in await self.projects()

    async def positions(
        self, project: str, start: Position | None, limit: int, *, descending: bool = False
    ) -> list[Position]:
        self._check()
        seen: dict[str, int] = {}
        for (key, _), window in self._windows.items():
            if key.project == project:
                seen[key.session_id] = min(seen.get(key.session_id, window.first_seen_at), window.first_seen_at)
        positions = sorted((Position(at, id_) for id_, at in seen.items()), reverse=descending)
        return [p for p in positions if start is None or (p <= start if descending else p >= start)][:limit]

    async def stored(self, project: str, session_ids: Sequence[str]) -> set[str]:
        self._check()
        return {key.session_id for key, _ in self._windows if key.project == project} & set(session_ids)

    async def windows(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[WindowRollup]:
        self._check()
        return list(_of(self._windows.values(), session_ids, project))

    async def turns(
        self, session_ids: Sequence[str], project: str | None = None, *, whole: bool = True
    ) -> list[TurnRollup]:
        self._check()
        return list(_of(self._turns.values(), session_ids, project))

    async def annotations(self, project: str, scope: Scope, ids: Sequence[str]) -> list[AnnotationRollup]:
        self._check()
        of = f"{scope.value}_id"
        wanted = [a for a in self._annotations.values() if a.project == project and a.scope is scope]
        found = [a for a in wanted if getattr(a, of) in ids and not a.is_deleted]
        return sorted(found, key=lambda a: (-a.ingested_at, getattr(a, of), a.span_id, a.name, a.identifier))

    async def is_known(self, project: str, scope: Scope, ids: Sequence[str]) -> bool:
        self._check()
        match scope:
            case Scope.SESSION:
                return bool(await self.stored(project, ids))
            case Scope.TRACE:
                return any(key.project == project and trace_id in ids for key, _, trace_id in self._turns)
            case Scope.SPAN:
                return any(span.span_id in ids for span in self.stored_spans)

    async def spans(self, session_id: str, trace_ids: Sequence[str]) -> list[StoredSpan]:
        self._check()
        return [span for span in self.stored_spans if span.trace_id in trace_ids]

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


def _of(rollups: Iterable[_Rollup], session_ids: Sequence[str], project: str | None) -> Iterable[_Rollup]:
    return (r for r in rollups if r.session_id in session_ids and project in (None, r.project))
