"""`spanloom up`: gateway, worker, sinks and query API in one process tree.

The same services as in production, around a broker, ClickHouse and Redis that came as packages.
A clean stop lets every span in hand reach ClickHouse and saves the open sessions to a file; the
next start goes on with them, in a new epoch, because the embedded broker's log begins anew.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from services.embedded.neighbours import Neighbours, start_neighbours
from services.embedded.saved_states import SavedStates, forget_states, load_states, save_states
from services.gateway.app import gateway_router
from services.query_api.app import build_app
from services.query_api.store import ClickHouseStore
from services.sessionizer.worker import EmbeddedLog, Worker
from services.sessionizer.worker import SavedStates as SavedByPartition
from services.shared.clock import SystemClock
from services.shared.errors import PermanentError
from services.shared.health import Health
from services.shared.http import Server
from services.shared.kafka import SpanProducer
from services.shared.kafka_topics import partition_counts, topic_specs
from services.shared.live import READ_TIMEOUT, LiveView, lifetime
from services.shared.privacy import redaction_of
from services.shared.room import BoundedRoom, Unlimited
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry
from services.sink.interrupted import close_interrupted, highest_epoch
from services.sink.main import build_sinks

_SECOND = 10**9
_DRAIN_SHARE = 0.9  # of the drain timeout: over that, the process ends by itself and says what is lost
_log = logging.getLogger(__name__)


async def run(settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health) -> None:
    """Serve until `stop` is set, then drain. Raises `SettingsError` when it cannot start with these settings."""
    del health  # /readyz is on the API's port, and asks `is_ready`
    async with AsyncExitStack() as stack:
        process = await EmbeddedProcess.build(settings, telemetry, stack)
        try:
            await process.run(stop)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the first fault ended the others


class EmbeddedProcess:
    """Everything that `spanloom up` runs. `log` is set when the broker is the embedded one."""

    def __init__(
        self,
        settings: Settings,
        neighbours: Neighbours,
        counts: dict[str, int],
        live: LiveView,
        live_reader: LiveView,
        producer: SpanProducer,
        log: EmbeddedLog | None,
        room: BoundedRoom | None,
        telemetry: Telemetry,
    ) -> None:
        clock = SystemClock()
        self._settings, self._log, self._room = settings, log, room
        self._saved_to = _saved_states(settings)
        self._worker = Worker(
            settings, neighbours.bootstrap, counts, live=live, clock=clock, telemetry=telemetry, embedded=log
        )
        self._sinks = build_sinks(
            settings,
            neighbours.bootstrap,
            neighbours.store,
            room=room or Unlimited(),
            clock=clock,
            telemetry=telemetry,
            embedded=log is not None,
        )
        gateway = gateway_router(
            producer,
            room or Unlimited(),
            topic=settings.spans_topic,
            telemetry=telemetry,
            max_request_bytes=settings.max_request_bytes,
            redaction=redaction_of(settings),
            timeout=settings.gateway_timeout / _SECOND,
        )
        store = ClickHouseStore(neighbours.store)
        app = build_app(store, live_reader, telemetry, clock, routers=[gateway], ready=self.is_ready)
        self._server = Server(app, settings.host, settings.port)

    @classmethod
    async def build(cls, settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> "EmbeddedProcess":
        """Start the neighbours and connect to them; `stack` stops and closes all of it."""
        neighbours = await start_neighbours(settings, stack)
        counts = await partition_counts(neighbours.bootstrap, [spec.name for spec in topic_specs(settings)])
        longest = max(settings.gap, *settings.gap_by_project.values(), 0)
        seconds = lifetime(longest, settings.allowed_lateness)
        live = LiveView(neighbours.redis_url, SystemClock(), seconds)
        live_reader = LiveView(neighbours.redis_url, SystemClock(), seconds, timeout=READ_TIMEOUT)
        stack.push_async_callback(live.close)
        stack.push_async_callback(live_reader.close)
        producer = SpanProducer(
            neighbours.bootstrap,
            settings.spans_topic,
            embedded=neighbours.has_own_log,
            timeout=settings.gateway_timeout / _SECOND,
            clock=SystemClock(),
        )
        stack.push_async_callback(producer.stop)
        await producer.start()
        room = _room(settings) if neighbours.has_own_log else None
        log = await _begin_log(settings, neighbours, room) if room is not None else None
        return cls(settings, neighbours, counts, live, live_reader, producer, log, room, telemetry)

    def is_ready(self) -> bool:
        """Whether spans that are taken now become sessions at once."""
        return self._worker.is_ready and all(sink.is_ready for sink in self._sinks)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then stop part by part in the direction of the flow."""
        stop_worker, stop_sinks = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            sinks = [tasks.create_task(sink.run(stop_sinks, to_end=self._log is not None)) for sink in self._sinks]
            worker = tasks.create_task(self._worker.run(stop_worker))
            await self._server.start()
            # From here on spans are taken: what the file holds is in this process, and soon of the past.
            forget_states(self._saved_to)
            await stop.wait()
            _log.info("draining")
            try:
                async with asyncio.timeout(_DRAIN_SHARE * self._settings.drain_timeout / _SECOND):
                    await self._server.stop()
                    states = await self._drained(worker, stop_worker)
                    stop_sinks.set()
                    await asyncio.gather(*sinks)
            except TimeoutError as error:
                _log.error("%s", self._told_loss())  # now: what still runs may take the rest of the time
                raise PermanentError("not drained in time, see the log") from error
        if self._log is not None:
            save_states(self._saved_to, SavedStates(self._log.epoch, states))
            _log.info("saved the states of %d partitions", sum(map(len, states.values())))

    async def _drained(self, worker: asyncio.Task[None], stop_worker: asyncio.Event) -> SavedByPartition:
        """Stop the worker when it has done all that was acknowledged; its states."""
        await self._worker.until_ready()  # its states are in its hands, and spans may wait for it
        if self._room is not None:
            for topic in self._worker.inputs:
                await self._room.emptied(topic)
                await self._worker.drain_stage(topic)
        stop_worker.set()
        await worker
        return await self._worker.drain()

    def _told_loss(self) -> str:
        """What a stop without a drain means, for whoever reads the last line of the log."""
        if self._room is None:
            return "not drained in time: what is in Kafka stays there"
        ahead = self._room.ahead()
        records = ", ".join(f"{count} records of {topic}" for topic, count in ahead.items()) or "open sessions"
        why = self._room.blockage or "it took too long"
        return f"not drained within SPANLOOM_DRAIN_TIMEOUT, {records} are lost with the embedded broker: {why}"


def _saved_states(settings: Settings) -> Path:
    return settings.data_dir / "sessions.saved"


def _room(settings: Settings) -> BoundedRoom:
    """Who reads what: nothing may be more than 2 MB ahead of the slowest of its readers."""
    span_readers = {"route"} if settings.span_storage == "off" else {"route", "span-sink"}
    return BoundedRoom(
        {
            settings.spans_topic: frozenset(span_readers),
            settings.trace_spans_topic: frozenset({"resolve"}),
            settings.session_spans_topic: frozenset({"window"}),
            settings.rollups_topic: frozenset({"rollup-sink"}),
        }
    )


async def _begin_log(settings: Settings, neighbours: Neighbours, room: BoundedRoom) -> EmbeddedLog:
    """A new epoch, with the states of the last clean stop; after a kill, what was open is closed as interrupted."""
    saved = load_states(_saved_states(settings))
    stored = await neighbours.store.run(highest_epoch)
    epoch = max(stored, saved.epoch if saved else 0) + 1
    if saved is None and (closed := await neighbours.store.run(lambda client: close_interrupted(client, epoch))):
        _log.warning("the last stop was no clean one: closed %d open windows as interrupted", closed)
    return EmbeddedLog(room, saved.stages if saved else {}, epoch)
