"""Faust wiring, and nothing else: group membership for the topics of the stages.

Faust gives the worker's membership, assignment and rebalance protocol. It fetches nothing and
commits nothing: its tables, acks and commits lose records (decisions/0001-membership-and-bytes.md).
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import CrashingSupervisor

from services.sessionizer.assignor import StickyByTopicAssignor
from services.sessionizer.runner import StageRunner
from services.shared.errors import TransientError

_GENERATION_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class GroupMember:
    """How this worker joins its group. Times in seconds."""

    bootstrap: str
    app_id: str
    instance_id: str
    session_timeout: float
    metadata_refresh: float


class MembershipApp(faust.App):
    """A Faust application whose partitions are worked on by `StageRunner`s.

    `failed` is done with the exception when a rebalance could not be carried through; the
    process must then end without another commit.
    """

    def __init__(self, member: GroupMember, runners: Mapping[str, StageRunner]) -> None:
        self._datadir = TemporaryDirectory(prefix="spanloom-faust-")  # Faust insists on one; nothing is kept there
        super().__init__(
            member.app_id,
            broker=f"kafka://{member.bootstrap}",
            datadir=self._datadir.name,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            broker_session_timeout=member.session_timeout,
            broker_heartbeat_interval=member.session_timeout / 5,
            broker_max_poll_interval=300.0,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=member.instance_id or None,
            agent_supervisor=CrashingSupervisor,
            worker_redirect_stdouts=False,
            web_enabled=False,
        )
        self.member = member
        self.runners = runners
        self.generation = -1
        self._revocations = 0
        self._claims: dict[str, set[int]] = {}  # by topic, what was assigned to us in every generation since we took it
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for topic in runners:
            self._subscribe(topic)
        self.on_partitions_revoked.connect(self._revoked, weak=False)
        self.on_rebalance_complete.connect(self._assigned, weak=False)

    def _subscribe(self, topic: str) -> None:
        source = self.topic(
            topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False
        )

        async def subscription(stream: faust.StreamT[bytes]) -> None:
            """Makes Faust subscribe; no record ever comes this way."""
            async for _ in stream:
                raise AssertionError(f"a record of {topic} came through Faust's stream")

        self.agent(source, name=f"subscription-{topic}")(subscription)

    def _new_transport(self) -> driver.Transport:
        return MembershipTransport(self.conf.broker_consumer, self)

    async def start(self) -> None:
        """Join; returns when the states of the first assignment are read. Raises `TransientError` without a broker."""
        try:
            await super().start()
        except KafkaError as error:
            raise TransientError(f"joining the group: {error!r}") from error

    async def crash_heard(self) -> None:
        """Raise what ended one of Faust's own services (another process with our static id, for one), once it does."""
        await self._crashed.wait()
        raise TransientError(f"the membership ended: {self.crash_reason!r}")

    async def _revoked(self, *_: object, **__: object) -> None:
        self._revocations += 1
        await self._watched(self._pause_all())

    async def _pause_all(self) -> None:
        await asyncio.gather(*(runner.pause() for runner in self.runners.values()))

    async def _assigned(self, *_: object, **__: object) -> None:
        await self._watched(self._take_all())

    async def _take_all(self) -> None:
        """Load what is new here. Runs after the join, where heartbeats go on however long it takes."""
        now = self.consumer_generation_id
        assignment: set[TP] = self.consumer.assignment()
        if now != self.generation + 1:
            self._claims.clear()  # someone else may have owned a partition in a generation that this worker missed
        self.generation = now
        numbers = {topic: {tp.partition for tp in assignment if tp.topic == topic} for topic in self.runners}
        for topic in self.runners:
            self._claims[topic] = self._claims.get(topic, set()) & numbers[topic]
        revocations, complete = self._revocations, True
        for topic, runner in self.runners.items():
            if self._revocations != revocations:
                complete = False
                break  # what is left of this assignment is no longer ours to take
            complete &= await runner.take(numbers[topic], kept=self._claims[topic] & set(runner.owned))
            self._claims[topic] = set(runner.owned)
        # Revoked while loading: Faust must not resume without the states.
        while not (complete or self.should_stop) and self.consumer_generation_id == now:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_GENERATION_POLL)
        if complete and not assignment:
            await self._resume_all()  # Faust does not seek where there is nothing; such a worker is ready all the same

    async def resume_all(self) -> None:
        """The last step of a rebalance, where Faust would seek."""
        await self._watched(self._resume_all())

    async def _resume_all(self) -> None:
        for runner in self.runners.values():
            await runner.resume()

    async def _watched(self, step: Coroutine[Any, Any, None]) -> None:
        """Faust logs and swallows what a signal handler raises; the worker must hear of it."""
        task = asyncio.ensure_future(step)
        task.add_done_callback(self._hear)
        await asyncio.wait({task})

    def _hear(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        """Membership only. Faust's own would take its round-robin assignor for an app without tables."""
        del transport
        app = self.consumer.app
        assert isinstance(app, MembershipApp)
        member = app.member
        return AIOKafkaConsumer(
            bootstrap_servers=member.bootstrap,
            group_id=member.app_id,
            group_instance_id=member.instance_id or None,
            partition_assignment_strategy=[StickyByTopicAssignor],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            metadata_max_age_ms=int(member.metadata_refresh * 1000),  # how soon new partitions are found
            isolation_level="read_committed",  # it reads nothing; so are all our readers
            session_timeout_ms=int(member.session_timeout * 1000),
            heartbeat_interval_ms=int(member.session_timeout * 1000 / 5),
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=300_000,
        )


class _Consumer(driver.Consumer):
    """Keeps every partition paused: librdkafka fetches them."""

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Nothing: see the class."""

    async def perform_seek(self) -> None:
        assert isinstance(self.app, MembershipApp)
        await self.app.resume_all()


class MembershipTransport(driver.Transport):
    """The aiokafka transport with a consumer that only holds the membership."""

    Consumer = _Consumer
