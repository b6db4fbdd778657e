"""`spanloom sink`: rollups to windows and turns, spans to spans."""

import asyncio
from dataclasses import replace

import services
from services.shared.clickhouse import AsyncClickHouse, connect
from services.shared.clock import Clock, SystemClock
from services.shared.dead_letter_topic import DeadLetterTopic
from services.shared.errors import SettingsError
from services.shared.health import Health
from services.shared.kafka_source import KafkaSource
from services.shared.kafka_topics import dead_letter_topic, unstored_topic
from services.shared.otlp.rules import Rules
from services.shared.privacy import redaction_of
from services.shared.room import Room, Unlimited
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry
from services.sink.batch import BlockWriter, Conversion, Converter
from services.sink.letters import NoDeadLetters, RedactedLetters
from services.sink.rollup_blocks import rollup_writer
from services.sink.rows import SpanConversion, rollup_rows
from services.sink.sink import DeadLetters, Limits, Sink
from services.sink.span_blocks import span_writer

_MILLISECOND = 10**6
_SPAN_SINK = "span-sink"
_ROLLUPS_AT_ONCE = 64 << 20  # bytes; their tables have so many columns that merging small parts is most of their cost


async def run(settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health | None = None) -> None:
    """Run both sinks until `stop`, then insert what they have read. Raises `SettingsError` for unusable settings."""
    if not settings.kafka_bootstrap or not settings.clickhouse_url:
        raise SettingsError(
            "a sink by itself needs SPANLOOM_KAFKA_BOOTSTRAP and SPANLOOM_CLICKHOUSE_URL; or use `spanloom up`"
        )
    store = AsyncClickHouse(connect(settings.clickhouse_url))
    sinks = build_sinks(
        settings, settings.kafka_bootstrap, store, room=Unlimited(), clock=SystemClock(), telemetry=telemetry
    )
    if health is not None:
        health.ready = lambda: all(sink.is_ready for sink in sinks)
    try:
        async with asyncio.TaskGroup() as tasks:
            for sink in sinks:
                tasks.create_task(sink.run(stop))
    finally:
        await store.close()


def build_sinks(
    settings: Settings,
    bootstrap: str,
    store: AsyncClickHouse,
    *,
    room: Room,
    clock: Clock,
    telemetry: Telemetry,
    embedded: bool = False,
) -> list[Sink]:
    """The rollup sink, and the span sink unless `span_storage` is off. They share `store`, which the caller closes.

    With `embedded` they read librdkafka's broker; run them with `to_end` then, for it is only memory.
    """
    redaction = redaction_of(settings)
    limits = Limits(
        rows=settings.sink_batch_rows,
        flush_interval=settings.sink_flush_interval / (1000 * _MILLISECOND),
        refused_rows=settings.sink_refused_rows,
    )

    def letters_of(reader: str, topic: str) -> DeadLetters:
        if settings.dead_letters == "drop":
            return NoDeadLetters()
        letters = DeadLetterTopic(bootstrap, topic)
        return letters if redaction is None or reader != _SPAN_SINK else RedactedLetters(letters, redaction)

    def make(
        reader: str,
        topic: str,
        dead_letters: str,
        conversion: Conversion,
        scope: str = "",
        writer: BlockWriter | None = None,
        limits: Limits = limits,
    ) -> Sink:
        group = f"{settings.app_id}-{reader}"
        return Sink(
            reader,
            Converter(conversion, f"{group}/{scope}", writer),
            source=KafkaSource(
                bootstrap,
                group,
                topic,
                embedded=embedded,
                session_timeout_ms=settings.kafka_session_timeout // _MILLISECOND,
            ),
            store=store,
            dead_letters=letters_of(reader, dead_letters),
            room=room,
            clock=clock,
            telemetry=telemetry,
            limits=limits,
            service_version=services.__version__,
        )

    rollups = settings.rollups_topic
    sinks = [
        make(
            "rollup-sink",
            rollups,
            dead_letter_topic(rollups),
            rollup_rows,
            writer=rollup_writer(),
            limits=replace(limits, size=_ROLLUPS_AT_ONCE),
        )
    ]
    if settings.span_storage != "off":
        # Other settings make other rows of the same record.
        rules: tuple[object, ...] = (
            settings.session_id_attributes,
            settings.project_attributes,
            settings.max_future,
        )
        if redaction is not None:
            rules = (*rules, settings.redact, settings.redact_values, settings.capture_content)
        conversion = SpanConversion(
            Rules(
                session_id_attributes=settings.session_id_attributes,
                project_attributes=settings.project_attributes,
                max_future=settings.max_future,
                redaction=redaction,
            ),
            roots_only=settings.span_storage == "roots",
        )
        spans, letters = settings.spans_topic, unstored_topic(settings.spans_topic)
        scope = f"{settings.span_storage}/{rules}"
        sinks.append(make(_SPAN_SINK, spans, letters, conversion, scope, span_writer(conversion)))
    return sinks
