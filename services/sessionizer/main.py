"""`spanloom worker`: a member of the group that turns spans into sessions."""

import asyncio
import logging
from contextlib import AsyncExitStack

from services.sessionizer.worker import Worker
from services.shared.allocator import keep_memory
from services.shared.clock import SystemClock
from services.shared.errors import SettingsError
from services.shared.health import Health
from services.shared.kafka_topics import ensure_topics, partition_counts, topic_specs
from services.shared.live import LiveView, lifetime
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry

_log = logging.getLogger(__name__)


async def run(settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health) -> None:
    """Work until `stop` is set, then drain.

    Raises `SettingsError` when it cannot start with these settings. Any other exception means
    that the process must end at once: what was not committed does not exist.
    """
    if not settings.kafka_bootstrap:
        raise SettingsError("SPANLOOM_KAFKA_BOOTSTRAP is not set: name the brokers, or use `spanloom up`")
    keep_memory()
    specs = topic_specs(settings)
    if created := await ensure_topics(settings.kafka_bootstrap, specs):
        _log.info("made topics %s", ", ".join(created))
    counts = await partition_counts(settings.kafka_bootstrap, [spec.name for spec in specs])
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        live: LiveView | None = None  # without Redis readers see sessions when the sink has written them
        if settings.redis_url:
            longest = max(settings.gap, *settings.gap_by_project.values(), 0)
            live = LiveView(settings.redis_url, clock, lifetime(longest, settings.allowed_lateness))
            stack.push_async_callback(live.close)
        worker = Worker(settings, settings.kafka_bootstrap, counts, live=live, clock=clock, telemetry=telemetry)
        health.ready = lambda: worker.is_ready
        await worker.run(stop)
        _log.info("draining")
        await worker.drain()
