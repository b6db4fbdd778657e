"""What reads cost: `spanloom api` and ClickHouse with very many sessions, and the queries that dashboards make."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from services.query_api.ids import position_cursor
from services.shared.clickhouse import ClickHouse
from services.shared.model.live import Position
from tests.bench import api_rows, watch
from tests.bench.figures import Figure, percentile
from tests.bench.results import Measurement
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.installation import Installation, Service

_REQUESTS = 200
_WARM_UP = 10
_DAY = 86_400 * 10**9

_RANGE = """
    FROM session_windows FINAL
    WHERE project = {project:String}
    AND first_seen_at >= fromUnixTimestamp64Nano({since:Int64})
    AND first_seen_at < fromUnixTimestamp64Nano({until:Int64})"""
_BY_HOUR = f"""
    SELECT toStartOfHour(first_seen_at) AS hour, count() AS sessions, sum(total_cost) AS cost,
        sum(error_count) AS errors
    {_RANGE}
    GROUP BY hour ORDER BY hour"""
_BY_USER = f"""
    SELECT session_id, window_start, turn_count, total_tokens
    {_RANGE} AND has(user_ids, {{user:String}})
    ORDER BY first_seen_at DESC LIMIT 100"""


def cases(folder: Path, *, sessions: int) -> Iterator[Measurement]:
    """Of one database with so many sessions."""
    with ExitStack() as stack:
        server = stack.enter_context(ClickHouseServer(folder / "api-clickhouse"))
        client = stack.enter_context(closing(migrated(server.url("api"))))
        logs = folder / "api"
        logs.mkdir()
        installation = stack.enter_context(Installation(logs, "api", "", clickhouse_url=server.url("api")))
        reads = _Reads(server, client, installation.start("api"), sessions)
        yield f"{sessions:,} sessions are made", reads.fill
        for name, read in reads.all().items():
            yield f"{sessions:,} sessions: {name}", partial(reads.measure, read)


class _Reads:
    def __init__(self, server: ClickHouseServer, client: ClickHouse, api: Service, sessions: int) -> None:
        self.server, self.client, self.api, self.sessions = server, client, api, sessions
        self.now = time.time_ns() // 10**6 * 10**6  # noqa: TID251 - ClickHouse deletes what is old
        self.random = Random(6)

    def fill(self) -> list[Figure]:
        since = time.perf_counter()
        api_rows.fill(self.client, self.sessions, self.now)
        self.api.wait_until_ready()
        return [Figure("time to make them", "s", time.perf_counter() - since), *self._sizes()]

    def all(self) -> dict[str, Callable[[], object]]:
        """What is read, one request each time, of a session or a page drawn at random."""
        return {
            "newest 100 of a project": self._first_page,
            "100 of a project, somewhere": self._deep_page,
            "one session": partial(self._session, ""),
            "one session, summary": partial(self._session, "/summary"),
            "one session, turns": partial(self._session, "/turns"),
            "SQL: a day of a project by hour": self._by_hour,
            "SQL: a user's sessions of a week": self._by_user,
        }

    def measure(self, read: Callable[[], object]) -> list[Figure]:
        """Of requests one after another."""
        for _ in range(_WARM_UP):
            read()
        seconds = []
        api, clickhouse = self._cpu()
        for _ in range(_REQUESTS):
            since = time.perf_counter()
            read()
            seconds.append(time.perf_counter() - since)
        api_now, clickhouse_now = self._cpu()
        return [
            Figure("p50", "ms", 1000 * percentile(seconds, 50)),
            Figure("p99", "ms", 1000 * percentile(seconds, 99)),
            Figure("API CPU", "ms/request", 1000 * (api_now - api) / _REQUESTS),
            Figure("ClickHouse CPU", "ms/request", 1000 * (clickhouse_now - clickhouse) / _REQUESTS),
        ]

    def _cpu(self) -> tuple[float, float]:
        return watch.cpu_seconds([self.api.process.pid]), watch.cpu_seconds([self.server.pid])

    def _sizes(self) -> list[Figure]:
        """On disk, before everything is merged."""
        rows = self.client.query(
            "SELECT table, sum(bytes_on_disk) AS size FROM system.parts"
            " WHERE active AND database = 'api' GROUP BY table"
        )
        sizes = {row["table"]: float(row["size"]) / self.sessions for row in rows}
        windows = sizes["session_windows"] + sizes["session_windows_by_session"]
        return [
            Figure("windows in ClickHouse", "bytes/window", windows),
            Figure("turns in ClickHouse", "bytes/turn", sizes["session_turns"] / api_rows.TURNS),
        ]

    def _any(self) -> int:
        return self.random.randrange(self.sessions)

    def _get(self, path: str) -> None:
        status, body = self.api.get(path)
        assert status == 200, f"{path}: {status} {body[:300]!r}"

    def _first_page(self) -> None:
        self._get(f"/v1/projects/{api_rows.project(self._any())}/sessions?limit=100&order=desc")

    def _deep_page(self) -> None:
        number = self._any()
        at = api_rows.first_seen_at(number, self.sessions, self.now)
        cursor = position_cursor(Position(at, api_rows.session_id(number)))
        self._get(f"/v1/projects/{api_rows.project(number)}/sessions?limit=100&order=desc&cursor={cursor}")

    def _session(self, part: str) -> None:
        self._get(f"/v1/sessions/{api_rows.session_id(self._any())}{part}")

    def _by_hour(self) -> None:
        assert self._query(_BY_HOUR, 1)

    def _by_user(self) -> None:
        self._query(_BY_USER, 7, user=f"user-{self._any() % api_rows.USERS}")

    def _query(self, sql: str, days: int, **more: Any) -> list[dict[str, Any]]:
        until = self.now - self.random.randrange(api_rows.DAYS - days) * _DAY
        where = {"project": api_rows.project(self._any()), "since": until - days * _DAY, "until": until}
        return self.client.query(sql, where | more)
