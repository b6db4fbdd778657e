"""`spanloom api`: the query API as a process of its own."""

import asyncio

from services.query_api.app import build_app
from services.query_api.store import ClickHouseStore
from services.shared.clickhouse import AsyncClickHouse, connect
from services.shared.clock import SystemClock
from services.shared.errors import SettingsError
from services.shared.health import Health
from services.shared.http import serve
from services.shared.live import READ_TIMEOUT, LiveView, lifetime
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry

QUERY_TIMEOUT = 4.0
"""Seconds for one query: clients give up after 5, and a text that says why is better than that."""


async def run(settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health) -> None:
    """Serve until `stop`. Tables and Redis may come later: until then /readyz and answers say what is missing."""
    if not settings.clickhouse_url:
        raise SettingsError("an API by itself needs ClickHouse: set SPANLOOM_CLICKHOUSE_URL (or run `spanloom up`)")
    clock = SystemClock()
    client = AsyncClickHouse(connect(settings.clickhouse_url, timeout=QUERY_TIMEOUT))
    live = make_live_view(settings, clock) if settings.redis_url else None
    health.ready = lambda: True
    try:
        app = build_app(ClickHouseStore(client), live, telemetry, clock)
        await serve(app, settings.host, settings.port, stop)
    finally:
        if live is not None:
            await live.close()
        await client.close()


def make_live_view(settings: Settings, clock: SystemClock) -> LiveView:
    """The live view of these settings: a session stays as long as the engine can hold it."""
    gap = max(settings.gap, *settings.gap_by_project.values(), 0)
    return LiveView(settings.redis_url, clock, lifetime(gap, settings.allowed_lateness), timeout=READ_TIMEOUT)
