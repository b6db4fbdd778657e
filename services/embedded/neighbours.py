"""The neighbours of embedded mode: broker, ClickHouse and Redis, each embedded unless a setting names a real one."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.embedded.broker import EmbeddedBroker
from services.embedded.redis_server import RedisServer
from services.migrate.runner import apply
from services.shared.clickhouse import AsyncClickHouse, connect, embedded_url
from services.shared.errors import SettingsError
from services.shared.kafka_topics import ensure_topics, topic_specs
from services.shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where everything is. `has_own_log`: Kafka is the embedded broker, with its limits."""

    bootstrap: str
    has_own_log: bool
    store: AsyncClickHouse
    redis_url: str


async def start_neighbours(settings: Settings, stack: AsyncExitStack) -> Neighbours:
    """Start what is embedded, migrate ClickHouse, make topics on a real broker. `stack` stops it all."""
    stack.enter_context(_alone_in(settings.data_dir))
    redis_url = settings.redis_url
    if not redis_url:
        redis = RedisServer()
        stack.push_async_callback(redis.stop)
        await redis.start()
        redis_url = redis.url
    store = AsyncClickHouse(connect(settings.clickhouse_url or embedded_url(settings.data_dir)))
    stack.push_async_callback(store.close)
    await store.run(lambda client: apply(client, settings.clickhouse_cluster))
    if settings.kafka_bootstrap:
        await ensure_topics(settings.kafka_bootstrap, topic_specs(settings))
        return Neighbours(settings.kafka_bootstrap, has_own_log=False, store=store, redis_url=redis_url)
    broker = EmbeddedBroker()
    await asyncio.to_thread(broker.start)
    stack.callback(broker.stop)
    return Neighbours(broker.bootstrap, has_own_log=True, store=store, redis_url=redis_url)


@contextmanager
def _alone_in(data_dir: Path) -> Iterator[None]:
    """Two processes in one data directory would undo each other's work. The lock ends with the process."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise SettingsError(f"SPANLOOM_DATA_DIR names no folder to write in: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"another Spanloom runs on {data_dir.resolve()}: stop it, or set SPANLOOM_DATA_DIR to another folder"
            ) from error
        yield
