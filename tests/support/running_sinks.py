"""Both sinks in this process, between a broker and a ClickHouse of the test."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from services.shared.clickhouse import AsyncClickHouse, ClickHouse, connect
from services.shared.clock import SystemClock
from services.shared.records.rollups import encode_window
from services.shared.room import Unlimited
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry
from services.sink.main import build_sinks
from tests.support.eventually import eventually_async
from tests.support.rollups import window


def settings_of(**more: Any) -> Settings:
    name = f"t{uuid.uuid4().hex[:8]}"
    fields = {
        "app_id": name,
        "spans_topic": f"{name}-spans",
        "session_spans_topic": f"{name}-session-spans",
        "rollups_topic": f"{name}-rollups",
        "sink_flush_interval": "50ms",
    }
    return Settings(**(fields | more))


@asynccontextmanager
async def running_sinks(
    settings: Settings,
    bootstrap: str,
    url: str,
    telemetry: Telemetry,
    *,
    embedded: bool,
    to_end: bool = False,
    insert_timeout: float = 30.0,
) -> AsyncIterator[None]:
    store = AsyncClickHouse(connect(url, timeout=insert_timeout))
    sinks = build_sinks(
        settings, bootstrap, store, room=Unlimited(), clock=SystemClock(), telemetry=telemetry, embedded=embedded
    )
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            for sink in sinks:
                tasks.create_task(sink.run(stop, to_end=to_end))
            yield
            stop.set()
    finally:
        await store.close()


async def produce(bootstrap: str, topic: str, values: Sequence[bytes], *, partition: int = 0, **more: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=32 << 20, **more)
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value, partition=partition)
    await producer.stop()


async def rows_appear(client: ClickHouse, table: str, count: int, within: float = 30) -> None:
    async def look() -> bool:
        found = await asyncio.to_thread(client.query, f"SELECT count() AS n FROM {table} FINAL")
        return bool(found[0]["n"] >= count)

    await eventually_async(look, within=within, what=f"{count} rows in {table}")


def windows(count: int, start: int = 0) -> list[bytes]:
    return [encode_window(window(f"s{number}", f"{number:016x}")) for number in range(start, start + count)]
