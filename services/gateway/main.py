"""`spanloom gateway`: OTLP over HTTP into Kafka, as a process of its own."""

import asyncio
import contextlib
import logging

from services.gateway.app import build_app
from services.shared.clock import SystemClock
from services.shared.errors import SettingsError, TransientError
from services.shared.health import Health
from services.shared.http import serve
from services.shared.kafka import SpanProducer
from services.shared.privacy import redaction_of
from services.shared.room import Unlimited
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry

_SECOND = 10**9
_PAUSE = 2.0  # seconds between attempts to reach Kafka at the start
_log = logging.getLogger(__name__)


async def run(settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health) -> None:
    """Serve until `stop`, then let running requests end. Waits for Kafka before it listens."""
    if not settings.kafka_bootstrap:
        raise SettingsError("a gateway by itself needs Kafka: set SPANLOOM_KAFKA_BOOTSTRAP (or run `spanloom up`)")
    timeout = settings.gateway_timeout / _SECOND
    clock = SystemClock()
    producer = SpanProducer(
        settings.kafka_bootstrap, settings.spans_topic, embedded=False, timeout=timeout, clock=clock
    )
    try:
        if not await _connect(producer, stop):
            return
        health.ready = lambda: True
        app = build_app(
            producer,
            Unlimited(),
            telemetry,
            clock,
            topic=settings.spans_topic,
            max_request_bytes=settings.max_request_bytes,
            redaction=redaction_of(settings),
            timeout=timeout,
        )
        await serve(app, settings.host, settings.gateway_port, stop)
    finally:
        await producer.stop()


async def _connect(producer: SpanProducer, stop: asyncio.Event) -> bool:
    """Try until Kafka answers; false when the service is to stop before that."""
    while not stop.is_set():
        try:
            await producer.start()
        except TransientError as error:
            _log.warning("waiting for Kafka: %s", error)
            await producer.stop()
        else:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PAUSE)
    return False
