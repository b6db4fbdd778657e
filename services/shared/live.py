"""The live view in Redis: what the worker knows of sessions it holds, ahead of ClickHouse.

    <prefix>:w:<session key>               hash   window id -> rollup JSON (a retraction, too)
    <prefix>:t:<session key>:<window id>   hash   trace id -> turn JSON
    <prefix>:o:<project>                   zset   session id, scored by first_seen_at: for listing
    <prefix>:a:<project>                   zset   session id, scored by the time of the last write: for forgetting
    <prefix>:p                             zset   project, scored by the time of its last write
    <prefix>:s:<session id>                zset   project, likewise: who else uses this session id

Nothing stays: every key has a TTL that each write renews, and members of the sets that are
shared leave by the time of their last write. Freshness is all that is ever lost with Redis:
the rules by which readers combine both are in `services/query_api/live_merge.py`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.shared.circuit import CircuitBreaker
from services.shared.clock import Clock
from services.shared.errors import TransientError
from services.shared.model.live import LiveSession, LiveUpdate, Position
from services.shared.model.session_key import SessionKey
from services.shared.records.rollup_fields import turn_from_json, window_from_json

SECOND = 10**9
MARGIN = 600 * SECOND
"""How much longer than the engine the live view remembers a session: watermarks may stand still for a while."""

READ_TIMEOUT = 0.25
"""Seconds for each answer of Redis to a reader: its clients wait, and ClickHouse has the answer anyway."""

_WRITE_TIMEOUT = 1.0  # nobody waits for a write, and a checkpoint's can be large
_ANSWERS = 4  # so many timeouts a read may take in all: a large answer comes in parts
_CHUNK = 1000
_MOST_UNSURE = 100_000  # sessions; over that, starting with an empty view is cheaper than remembering them
_FORGET = """
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 1000)
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  if KEYS[2] then redis.call('ZREM', KEYS[2], unpack(old)) end
end
return #old
"""


def lifetime(gap_ns: int, allowed_lateness_ns: int) -> int:
    """Seconds for which a session stays after its last change: until its last window has surely expired."""
    return (gap_ns + allowed_lateness_ns + MARGIN) // SECOND


class LiveView:
    """Reads and writes of the live view. Every method raises `TransientError` when Redis does not answer in time.

    While it does not, most calls fail at once (`CircuitBreaker`): a request does not wait for a
    Redis of which another has just learnt that it hangs.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        ttl_seconds: int,
        prefix: str = "spanloom",
        *,
        timeout: float = _WRITE_TIMEOUT,
    ) -> None:
        self._redis = Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
        self._clock, self._ttl, self._prefix = clock, ttl_seconds, prefix.encode()
        self._patience = _ANSWERS * timeout
        self._circuit = CircuitBreaker("Redis", clock)
        self._unsure: set[SessionKey] | None = set()  # None: every session

    async def apply(self, updates: Sequence[LiveUpdate]) -> None:
        """Write all of `updates` or nothing, in order.

        After a failure nobody knows what Redis has of these sessions: what it has is deleted
        before their next update, and readers fall back to ClickHouse until then.
        """
        if not updates:
            return
        try:
            async with self._redis_errors("writing live values"):
                if self._unsure is None:
                    await self._delete_all()
                elif stale := self._unsure & _keys(updates):
                    await self._delete(stale)
                await self._write(updates)
        except TransientError:
            self.doubt(updates)
            raise
        self._unsure = set() if self._unsure is None else self._unsure - _keys(updates)

    def doubt(self, updates: Sequence[LiveUpdate]) -> None:
        """These will not be applied: from now on nobody knows what Redis has of their sessions, as after a failure."""
        if self._unsure is not None:
            self._unsure |= _keys(updates)
            if len(self._unsure) > _MOST_UNSURE:
                self._unsure = None

    async def sessions(self, keys: Sequence[SessionKey]) -> dict[SessionKey, LiveSession]:
        """What is known of these sessions; those without a live window are absent."""
        async with self._reading("reading live sessions"):
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(self._windows_key(key))
            found: dict[SessionKey, LiveSession] = {}
            for key, hashes in zip(keys, await pipeline.execute(), strict=True):
                if hashes:
                    found[key] = LiveSession({_text(id_): window_from_json(data) for id_, data in hashes.items()})
            wanted = [
                (key, id_) for key, session in found.items() for id_, w in session.windows.items() if not w.is_deleted
            ]
            pipeline = self._redis.pipeline(transaction=False)
            for key, window_id in wanted:
                pipeline.hgetall(self._turns_key(key, window_id))
            for (key, window_id), hashes in zip(wanted, await pipeline.execute(), strict=True):
                session = found[key]
                for trace_id, data in hashes.items():
                    turn = turn_from_json(data, session.windows[window_id])
                    session.turns[window_id, _text(trace_id)] = turn
        return found

    async def page(
        self, project: str, *, start: Position | None, end: Position | None, limit: int, descending: bool = False
    ) -> list[Position]:
        """At most `limit` sessions of a project in order, both bounds included (`None`: no bound)."""
        found: list[Position] = []
        offset = 0
        low, high = (end, start) if descending else (start, end)
        bounds = ("-inf" if low is None else _score(low), "+inf" if high is None else _score(high))
        async with self._reading("listing live sessions"):
            while len(found) < limit:
                chunk = cast(
                    "list[tuple[bytes, float]]",
                    await self._redis.zrange(
                        self._key(b"o", project.encode()),
                        cast("int", bounds[1 if descending else 0]),
                        cast("int", bounds[0 if descending else 1]),
                        desc=descending,
                        byscore=True,
                        offset=offset,
                        num=_CHUNK,
                        withscores=True,
                    ),
                )
                for member, score in chunk:
                    position = Position(int(score) * 1000, _text(member))
                    if (low is None or position >= low) and (high is None or position <= high):
                        found.append(position)
                if len(chunk) < _CHUNK:
                    break
                offset += _CHUNK
        return found[:limit]

    async def projects(self) -> list[str]:
        """Projects with live sessions, sorted."""
        async with self._reading("listing live projects"):
            return await self._fresh(self._key(b"p"))

    async def projects_of(self, session_id: str) -> list[str]:
        """Projects that have a live session of this id, sorted."""
        async with self._reading("looking up a live session"):
            return await self._fresh(self._key(b"s", session_id.encode()))

    async def clear(self) -> None:
        """Forget everything: for a start that goes on without the states these values came from."""
        async with self._redis_errors("clearing live values"):
            await self._delete_all()

    async def close(self) -> None:
        """Let go of connections."""
        await self._redis.aclose()

    async def _write(self, updates: Sequence[LiveUpdate]) -> None:
        now = self._clock.now() // SECOND
        pipeline = self._redis.pipeline(transaction=True)
        projects: set[str] = set()
        for update in updates:
            key = SessionKey(update.project, update.session_id)
            windows_key, id_bytes, project = self._windows_key(key), key.session_id.encode(), key.project.encode()
            if update.windows:
                pipeline.hset(windows_key, mapping=cast("Any", update.windows))
            for window_id, turns in _by_window(update.turns).items():
                turns_key = self._turns_key(key, window_id)
                pipeline.hset(turns_key, mapping=cast("Any", turns))
                pipeline.expire(turns_key, self._ttl)
            if update.removed:
                pipeline.delete(*(self._turns_key(key, window_id) for window_id in update.removed))
            if forgotten := [window_id for window_id in update.removed if window_id not in update.windows]:
                pipeline.hdel(windows_key, *forgotten)
            pipeline.expire(windows_key, self._ttl)
            if update.windows:
                order = self._key(b"o", project)
                pipeline.zadd(order, {id_bytes: update.first_seen_at // 1000}, lt=True)
                pipeline.zadd(self._key(b"a", project), {id_bytes: now})
                pipeline.zadd(self._key(b"s", id_bytes), {project: now})
                pipeline.expire(self._key(b"s", id_bytes), self._ttl)
                projects.add(update.project)
        for name in sorted(projects):
            project = name.encode()
            active, order = self._key(b"a", project), self._key(b"o", project)
            pipeline.zadd(self._key(b"p"), {project: now})
            pipeline.eval(_FORGET, 2, active, order, str(now - self._ttl))
            pipeline.expire(active, self._ttl)
            pipeline.expire(order, self._ttl)
        if projects:
            pipeline.eval(_FORGET, 1, self._key(b"p"), str(now - self._ttl))
            pipeline.expire(self._key(b"p"), self._ttl)
        await pipeline.execute()

    async def _delete_all(self) -> None:
        keys = [key async for key in self._redis.scan_iter(match=self._prefix + b":*", count=_CHUNK)]
        for start in range(0, len(keys), _CHUNK):
            await self._redis.unlink(*keys[start : start + _CHUNK])

    async def _delete(self, keys: Iterable[SessionKey]) -> None:
        for key in keys:
            windows_key = self._windows_key(key)
            ids = await cast("Awaitable[list[bytes]]", self._redis.hkeys(windows_key))
            await self._redis.delete(windows_key, *(self._turns_key(key, _text(id_)) for id_ in ids))

    @asynccontextmanager
    async def _redis_errors(self, doing: str) -> AsyncIterator[None]:
        with self._circuit.calling():
            try:
                yield
            except (RedisError, OSError) as error:
                raise TransientError(f"Redis: {doing}: {type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def _reading(self, doing: str) -> AsyncIterator[None]:
        async with self._redis_errors(doing), asyncio.timeout(self._patience):
            yield

    async def _fresh(self, key: bytes) -> list[str]:
        oldest = self._clock.now() // SECOND - self._ttl
        members = cast("list[bytes]", await self._redis.zrangebyscore(key, oldest, "+inf"))
        return sorted(_text(member) for member in members)

    def _key(self, kind: bytes, name: bytes = b"") -> bytes:
        return b"%b:%b:%b" % (self._prefix, kind, name) if name else b"%b:%b" % (self._prefix, kind)

    def _windows_key(self, key: SessionKey) -> bytes:
        return self._key(b"w", key.encode())

    def _turns_key(self, key: SessionKey, window_id: str) -> bytes:
        return self._key(b"t", b"%b:%b" % (key.encode(), window_id.encode()))


def _keys(updates: Sequence[LiveUpdate]) -> set[SessionKey]:
    return {SessionKey(update.project, update.session_id) for update in updates}


def _by_window(turns: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    grouped: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for id_, data in turns.items():
        window_id, _, trace_id = id_.partition("/")
        grouped[window_id][trace_id] = data
    return grouped


def _score(position: Position) -> int:
    return position.first_seen_at // 1000  # microseconds: a double holds them exactly until the year 2255


def _text(data: bytes) -> str:
    return data.decode()
