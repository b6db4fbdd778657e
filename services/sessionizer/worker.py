"""The worker: `route`, `resolve` and `window` as stages of one Faust application.

Composition only; the flow is in pipeline.py.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from services.sessionizer.app import GroupMember, MembershipApp
from services.sessionizer.changelog import Entry, committed_position, read_changelog
from services.sessionizer.fetcher import Fetcher
from services.sessionizer.garbage import Garbage, spare_what_is_alive
from services.sessionizer.live_feed import LiveFeed, LiveWriter
from services.sessionizer.partition import Partition
from services.sessionizer.pipeline import (
    PartitionCounts,
    StageDefinition,
    resolve_definition,
    route_definition,
    window_definition,
)
from services.sessionizer.position import choose_position
from services.sessionizer.recovery import RecoveryProgress
from services.sessionizer.runner import StageRunner
from services.sessionizer.stage import Stage
from services.shared.clock import Clock
from services.shared.kafka import PartitionWriter, PlainWriter, TransactionalWriter
from services.shared.kafka_topics import partition_counts
from services.shared.room import Room
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry

_log = logging.getLogger(__name__)
_SECOND = 10**9

SavedStates = dict[str, dict[int, list[tuple[bytes, bytes]]]]
"""States of each stage by partition, as changelog entries."""


@dataclass(frozen=True, slots=True)
class EmbeddedLog:
    """What differs on the embedded broker: room instead of retention, a file instead of a changelog.

    `saved` holds the states of the last clean stop; `epoch` is that of the new, empty log.
    """

    room: Room
    saved: Mapping[str, Mapping[int, Sequence[Entry]]]
    epoch: int


class Worker:
    """`start`, then `run` until it returns or raises, then (only if it returned) `drain`."""

    def __init__(
        self,
        settings: Settings,
        bootstrap: str,
        counts: PartitionCounts,
        *,
        live: LiveWriter | None,
        clock: Clock,
        telemetry: Telemetry,
        embedded: EmbeddedLog | None = None,
    ) -> None:
        self._settings, self._bootstrap, self._counts = settings, bootstrap, counts
        self._clock, self._telemetry, self._embedded = clock, telemetry, embedded
        self._feed = None if live is None else LiveFeed(live, telemetry)
        self._garbage = Garbage()
        self._loops: list[asyncio.Future[None]] = []
        self._states: SavedStates = {}
        self._joining: asyncio.Future[None] | None = None
        # In the direction of the flow: so they are drained.
        definitions = [
            route_definition(settings, counts),
            resolve_definition(settings, counts, embedded.epoch if embedded else settings.resolve_epoch),
            window_definition(
                settings,
                counts,
                embedded.epoch if embedded else settings.epoch,
                is_watched=live is not None,
            ),
        ]
        self._stages = {each.topic: self._runner(each) for each in definitions if each is not None}
        self._app = MembershipApp(
            GroupMember(
                bootstrap=bootstrap,
                app_id=settings.app_id,
                instance_id=settings.instance_id,
                session_timeout=settings.kafka_session_timeout / _SECOND,
                metadata_refresh=settings.metadata_refresh / _SECOND,
            ),
            self._stages,
        )

    @property
    def is_ready(self) -> bool:
        """Whether this worker has been assigned its partitions and has read back their states."""
        return all(stage.is_flowing for stage in self._stages.values())

    async def until_ready(self) -> None:
        """Wait until `is_ready`."""
        for stage in self._stages.values():
            await stage.flowing()

    async def run(self, stop: asyncio.Event) -> None:
        """Join the group and work until `stop` is set. Raises what makes further work unsafe."""
        # Joining ends when the states are read back; a stop does not wait for that.
        self._joining = asyncio.ensure_future(self._app.start())
        self._loops = [asyncio.ensure_future(stage.run()) for stage in self._stages.values()]
        self._loops.append(asyncio.ensure_future(self._garbage.run()))
        if self._feed is not None:
            self._loops.append(asyncio.ensure_future(self._feed.run()))
        stopped, crashed = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._app.crash_heard())
        ends: set[asyncio.Future[Any]] = {stopped, crashed, self._app.failed, *self._loops}
        done, _ = await asyncio.wait({self._joining, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if done == {self._joining}:
            await self._joining
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in done:
            await task  # raises what ended it
        crashed.cancel()

    @property
    def inputs(self) -> list[str]:
        """The topics that the stages read, in the direction of the flow."""
        return list(self._stages)

    async def drain_stage(self, topic: str) -> None:
        """Commit what the stage that reads `topic` has folded and give up its partitions; the others go on."""
        partitions = await self._stages[topic].drain()
        if self._embedded is not None:  # elsewhere the changelog has them, and a stop is not to wait for copies
            states = {p.number: list(p.stage.snapshot()) for p in partitions}
            self._states.setdefault(self._stages[topic].name, {}).update(states)

    async def drain(self) -> SavedStates:
        """Last checkpoints of what still runs, leave the group, give back the states of all stages if embedded."""
        for topic in self._stages:
            await self.drain_stage(topic)
        if self._feed is not None:
            await self._feed.drained()
        for loop in self._loops:
            loop.cancel()
        if self._joining is not None:
            self._joining.cancel()
        await self._app.stop()
        return self._states

    def _runner(self, definition: StageDefinition) -> StageRunner:
        fetcher = Fetcher(
            self._bootstrap,
            self._settings.app_id,
            definition.topic,
            committed_only=self._embedded is None,
            clock=self._clock,
        )

        async def take_over(number: int) -> Partition:
            return await self._take_over(definition, fetcher, number)

        def passed(number: int, position: int) -> None:
            if self._embedded is not None:
                self._embedded.room.passed(definition.name, definition.topic, number, position)

        return StageRunner(
            definition.name,
            fetcher,
            take_over,
            checkpoint_interval=self._settings.checkpoint_interval / _SECOND,
            live=None if self._feed is None else self._feed.put,
            passed=passed,
            # The states that are decoded outnumber everything else, and after a checkpoint there are few.
            rested=self._garbage.at_rest if definition.topic == self._settings.session_spans_topic else None,
            clock=self._clock,
            telemetry=self._telemetry,
        )

    async def _take_over(self, definition: StageDefinition, fetcher: Fetcher, number: int) -> Partition:
        """Fence every older owner, then read what they committed: states and position are of one transaction."""
        async with AsyncExitStack() as abandoned:
            writer = self._writer(definition, number)
            abandoned.push_async_callback(writer.stop)
            await writer.start()
            if definition.topic == self._settings.spans_topic:
                # It may have been extended: whoever gets a new partition tells the new number of sources.
                self._counts |= await partition_counts(self._bootstrap, [definition.topic])
            stage = definition.build(number)
            position = await self._restore(definition, fetcher, number, stage)
            abandoned.pop_all()
        spare_what_is_alive()
        return Partition(number, definition.name, stage, writer, position, clock=self._clock, telemetry=self._telemetry)

    def _writer(self, definition: StageDefinition, number: int) -> PartitionWriter:
        if self._embedded is not None:
            return PlainWriter(self._bootstrap, room=self._embedded.room)
        return TransactionalWriter(
            self._bootstrap,
            transactional_id=f"{self._settings.app_id}-{definition.name}-{number}",
            group=self._settings.app_id,
            input_topic=definition.topic,
            partition=number,
            changelog_topic=definition.changelog,
            transaction_timeout_ms=self._settings.transaction_timeout // 1_000_000,
            clock=self._clock,
        )

    async def _restore(self, definition: StageDefinition, fetcher: Fetcher, number: int, stage: Stage) -> int:
        if self._embedded is not None:
            if definition.changelog is not None:
                stage.restore(self._embedded.saved.get(definition.name, {}).get(number, ()))
            return stage.restored() or 0
        if definition.changelog is not None:
            group = self._settings.app_id
            progress = RecoveryProgress(definition.name, number, clock=self._clock, telemetry=self._telemetry)
            async for entries in read_changelog(self._bootstrap, group, definition.changelog, number, progress):
                stage.restore(entries)
        # In a thread, so that heartbeats go on: it takes seconds for a million sessions.
        return await self._position(definition, fetcher, number, await asyncio.to_thread(stage.restored))

    async def _position(self, definition: StageDefinition, fetcher: Fetcher, number: int, ours: int | None) -> int:
        """Where to go on: where the state stands, else where the group stands, else where the log begins."""
        where = f"{definition.topic}/{number}"
        committed = await committed_position(self._bootstrap, self._settings.app_id, definition.topic, number)
        choice = choose_position(where, ours=ours, committed=committed, bounds=await fetcher.bounds(number))
        if choice.is_conflict:
            self._telemetry.count("spanloom_position_conflicts_total", definition.name)
            _log.warning("%s: the group's offset is %s, the state stands at %s and wins", where, committed, ours)
        if choice.expired:
            self._telemetry.count("spanloom_expired_records_total", definition.name, by=choice.expired)
            _log.error("%s: %d records expired before they were read; raise its retention", where, choice.expired)
        return choice.position
