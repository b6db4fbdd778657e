"""Owners one after another on the same partitions: each begins where the one before died."""

import asyncio
from collections import Counter
from collections.abc import Collection
from functools import partial
from itertools import count
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.sessionizer.engine.policy import Policy
from services.shared.kafka_topics import ensure_topics, topic_specs
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete
from services.shared.records.session_spans import SpanGroup
from services.shared.settings import Settings
from tests.support.chaos.crash_points import CrashPoint
from tests.support.chaos.forked import ForkedProcess
from tests.support.chaos.owner import TO_BE_RESTARTED, own
from tests.support.chaos.replay import groups_of_log, groups_of_request, judge_states, judge_waiting, spans_in
from tests.support.chaos.trap import Plan, has_sprung, points_reached, set_trap
from tests.support.chaos.verdict import SpanName, Verdict, judge_route, judge_versions
from tests.support.comparison import Row, differences_from_reference
from tests.support.installation import send
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import LogFollower, LogRecord, read_all
from tests.support.otlp import HOUR, MINUTE, SECOND, T0, key_values, request, span, to_protobuf
from tests.support.reference import reference_windows

PARTITIONS = 2
_SESSIONS, _TURNS, _SPANS = 6, 2, 4  # of a round; spans of a turn
_LONGEST = 60.0
_ATTEMPTS = 5
_MORE_OWNERS = 2
_OF_A_MOVE = ("StageRunner.pause", "StageRunner.take", "Partition.close", "TransactionalWriter.stop")


def is_passed(stage: str, point: CrashPoint) -> bool:
    """Whether owners of this stage come to the point. `route` has no changelog, and only it looks for new sources."""
    reads_changelog = point.coroutine == "read_changelog" or point.awaited.startswith("each of read_changelog")
    looks_for_sources = point.awaited == "partition_counts"
    return not (looks_for_sources if stage != "route" else reads_changelog)


class Relay:
    """One installation. `send`, `die`, `run` and `assert_exact` make a round; sessions are of one round only.

    `mutation`: what is wrong with its owners (mutations.py).
    """

    def __init__(self, kafka: ApacheKafka, folder: Path, name: str, *, mutation: str = "") -> None:
        self.deaths = 0
        self._kafka, self._folder, self._mutation = kafka, folder, mutation
        self._policy = Policy(gap=10 * MINUTE, allowed_lateness=24 * HOUR, snapshot_interval=0)
        values = {
            "app_id": name,
            "kafka_bootstrap": kafka.bootstrap,
            "spans_topic": f"{name}-spans",
            "trace_spans_topic": f"{name}-trace-spans",
            "session_spans_topic": f"{name}-session-spans",
            "rollups_topic": f"{name}-rollups",
            "topic_partitions": str(PARTITIONS),
            "gap": f"{self._policy.gap}ns",
            "allowed_lateness": f"{self._policy.allowed_lateness}ns",
            "snapshot_interval": "0s",
            "checkpoint_interval": "20ms",
        }
        self._settings = Settings.model_validate(values)
        self._environment = {f"SPANLOOM_{setting.upper()}": value for setting, value in values.items()}
        self._owners, self._rounds, self._spans = count(1), count(1), count(1)
        self._round: list[SpanGroup] = []
        self._all: list[tuple[SessionKey, SpanFacts]] = []
        self._sent: Counter[SpanName] = Counter()
        self._routed: Counter[SpanName] = Counter()
        self._published: list[Row] = []
        self._log: list[LogRecord] = []
        self._running: list[ForkedProcess] = []

    def __enter__(self) -> Self:
        asyncio.run(ensure_topics(self._kafka.bootstrap, topic_specs(self._settings)))
        self._session_spans = LogFollower(self._kafka.bootstrap, self._settings.session_spans_topic, PARTITIONS)
        self._rollups = LogFollower(self._kafka.bootstrap, self._settings.rollups_topic, PARTITIONS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session_spans.close()
        self._rollups.close()
        for process in self._running:
            process.kill()

    def send(self) -> None:
        """The spans of new sessions."""
        number = next(self._rounds)
        spans = [self._spans_of(number, turn) for turn in range(_TURNS) for _ in range(PARTITIONS)]
        # Every second record names no session, and comes through another partition than the one that does.
        records = [_request(each, number, is_named=not index % PARTITIONS) for index, each in enumerate(spans)]
        send(self._kafka.bootstrap, self._settings.spans_topic, records, PARTITIONS)
        meant = [_request(each, number, is_named=True) for each in spans]
        self._round = [group for value in meant for group in groups_of_request(value)]
        for group in self._round:
            self._all += [(group.key, item) for item in group.items if isinstance(item, SpanFacts)]
        self._sent.update(spans_in(self._round))

    def _spans_of(self, number: int, turn: int) -> list[tuple[int, Span]]:
        """Half of each session's spans of a turn, each time other ones; with the number of the session."""
        at = T0 + number * MINUTE + turn * SECOND
        return [
            (
                session,
                span(
                    trace_id=number * 1_000 + session * 10 + turn + 1,
                    span_id=next(self._spans),
                    start=at + index,
                    end=at + index + SECOND,
                    attributes={"input.value": "x" * 200},
                ),
            )
            for session in range(_SESSIONS)
            for index in range(_SPANS // PARTITIONS)
        ]

    def die(self, plan: Plan) -> None:
        """An owner begins, and is killed where the plan says."""
        owner, status = self._ended(plan, [plan.stage] if plan.point.coroutine in _OF_A_MOVE else [])
        assert has_sprung(self._trap(owner)), f"never came to: {plan}\n{owner.tail()}"
        assert status == -SIGKILL, f"status {status}\n{owner.tail()}"
        self.deaths += 1

    def run(self, *, moved: Collection[str] = ()) -> set[tuple[str, CrashPoint]]:
        """An owner that dies nowhere, until it has committed all there is. Gives the points it has passed."""
        owner, status = self._ended(None, moved)
        assert status == 0, f"status {status}\n{owner.tail()}"
        return points_reached(self._trap(owner))

    def follow(self) -> None:
        """Read on what is committed."""
        log = self._session_spans.read()
        self._log += log
        self._routed.update(spans_in(groups_of_log(log)))
        self._published += [complete(rollups.decode(record.value or b"")) for record in self._rollups.read()]

    def assert_exact(self) -> None:
        """Of this round: each span once in `session_spans`, each window in `session_rollups` as it must be.

        What an owner commits may be seen by its next stage a moment later, after that has ended: so what seems to be
        missing has another owner or two to come. What is lost stays lost, and what is double stays double.
        """
        for _ in range(_MORE_OWNERS):
            if not self._findings():
                return
            self.run()
        found = self._findings()
        assert not found, "\n".join(found[:12])

    def _findings(self) -> list[str]:
        self.follow()
        verdict = Verdict()
        judge_route(verdict, self._sent, self._routed)
        keys = {group.key for group in self._round}
        mine = [row for row in self._published if SessionKey(row["project"], row["session_id"]) in keys]
        windows = [row for row in mine if row["type"] == "window"]
        turns = [turn for row in mine for turn in row.get("turns", [])]
        # The time of the round is not over yet.
        as_closed = [{**row, "state": "closed", "close_reason": "idle"} for row in windows]
        expected = reference_windows(self._round, self._policy)
        return verdict.findings + differences_from_reference(expected, as_closed, turns)

    def verdict(self) -> Verdict:
        """Over everything since the beginning."""
        verdict = Verdict(spans=len(self._sent), rollups=0)
        judge_route(verdict, self._sent, self._routed)
        judge_versions(verdict, self._published)
        judge_states(verdict, self._settings, self._log, self._all, stored=None)
        waiting = read_all(self._kafka.bootstrap, self._settings.trace_spans_topic, PARTITIONS)
        judge_waiting(verdict, self._settings, waiting)
        return verdict

    def _ended(self, plan: Plan | None, moved: Collection[str]) -> tuple[ForkedProcess, int]:
        """An owner that has ended, and how."""
        for _ in range(_ATTEMPTS):
            owner = self._start(plan, moved)
            status = owner.wait(_LONGEST)
            if status != TO_BE_RESTARTED:
                break
        return owner, status

    def _start(self, plan: Plan | None, moved: Collection[str]) -> ForkedProcess:
        name = f"owner-{next(self._owners)}"
        trap = self._folder / f"{name}.trap"
        trap.mkdir()
        if plan is not None:
            set_trap(trap, plan)
        log = self._folder / f"{name}.log"
        owner = ForkedProcess(
            name,
            partial(own, moved=moved, mutation=self._mutation),
            (),
            log=log,
            trap=trap,
            env=self._environment,
        )
        self._running.append(owner)
        return owner

    def _trap(self, owner: ForkedProcess) -> Path:
        return self._folder / f"{owner.name}.trap"


def _request(spans: list[tuple[int, Span]], number: int, *, is_named: bool) -> bytes:
    """A record of a round, with or without the ids of the sessions."""
    copies = []
    for session, original in spans:
        copy = Span()
        copy.CopyFrom(original)
        if is_named:
            copy.attributes.extend(key_values({"session.id": f"round-{number}-{session}"}))
        copies.append(copy)
    return to_protobuf(request(*copies))
