"""Owners one after another on the same partitions: each begins where the one before died."""

import asyncio
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

from services.sessionizer.engine.policy import Policy
from services.shared.kafka_topics import ensure_topics, topic_specs
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records import rollups
from services.shared.records.session_spans import SpanGroup
from services.shared.settings import Settings
from tests.support.chaos.crash_points import CrashPoint
from tests.support.chaos.forked import ForkedProcess
from tests.support.chaos.owner import TO_BE_RESTARTED, own
from tests.support.chaos.replay import groups_of_log, groups_of_request, judge_states, spans_in
from tests.support.chaos.trap import Plan, has_sprung, points_reached, set_trap
from tests.support.chaos.verdict import SpanName, Verdict, judge_route, judge_versions
from tests.support.comparison import Row, differences_from_reference, living
from tests.support.installation import send
from tests.support.kafka.apache import ApacheKafka
from tests.support.kafka.log import LogFollower, LogRecord
from tests.support.otlp import HOUR, MINUTE, SECOND, T0, request, span, to_protobuf
from tests.support.reference import reference_windows

STAGES = ("route", "window")
"""The stages of a worker."""
PARTITIONS = 2
_SESSIONS, _TURNS, _SPANS = 6, 2, 4  # of a round; spans of a turn
_LONGEST = 60.0
_ATTEMPTS = 5


def is_passed(stage: str, point: CrashPoint) -> bool:
    """Whether owners of this stage come to the point. `route` has no changelog, and only it looks for new sources."""
    reads_changelog = point.coroutine == "read_changelog" or point.awaited.startswith("each of read_changelog")
    looks_for_sources = point.awaited == "partition_counts"
    return not (looks_for_sources if stage != "route" else reads_changelog)


class Relay:
    """One installation. `send`, `die`, `run` and `assert_exact` make a round; sessions are of one round only."""

    def __init__(self, kafka: ApacheKafka, folder: Path, name: str) -> None:
        self.deaths = 0
        self._kafka, self._folder = kafka, folder
        self._policy = Policy(gap=10 * MINUTE, allowed_lateness=24 * HOUR, snapshot_interval=0)
        values = {
            "app_id": name,
            "kafka_bootstrap": kafka.bootstrap,
            "spans_topic": f"{name}-spans",
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
        records = [self._record(number, turn) for turn in range(_TURNS) for _ in range(PARTITIONS)]
        send(self._kafka.bootstrap, self._settings.spans_topic, records, PARTITIONS)
        self._round = [group for value in records for group in groups_of_request(value)]
        for group in self._round:
            self._all += [(group.key, item) for item in group.items if isinstance(item, SpanFacts)]
        self._sent.update(spans_in(self._round))

    def _record(self, number: int, turn: int) -> bytes:
        """Every session's spans of a turn, each record with spans of its own."""
        at = T0 + number * MINUTE + turn * SECOND
        spans = [
            span(
                trace_id=number * 1_000 + session * 10 + turn + 1,
                span_id=next(self._spans),
                start=at + index,
                end=at + index + SECOND,
                attributes={"session.id": f"round-{number}-{session}", "input.value": "x" * 200},
            )
            for session in range(_SESSIONS)
            for index in range(_SPANS // PARTITIONS)
        ]
        return to_protobuf(request(*spans))

    def die(self, plan: Plan) -> None:
        """An owner begins, and is killed where the plan says."""
        owner, status = self._ended(plan, is_moved=True)
        assert has_sprung(self._trap(owner)), f"never came to: {plan}\n{owner.tail()}"
        assert status == -SIGKILL, f"status {status}\n{owner.tail()}"
        self.deaths += 1

    def run(self, *, is_moved: bool = False) -> set[tuple[str, CrashPoint]]:
        """An owner that dies nowhere, until it has committed all there is. Gives the points it has passed."""
        owner, status = self._ended(None, is_moved=is_moved)
        assert status == 0, f"status {status}\n{owner.tail()}"
        return points_reached(self._trap(owner))

    def assert_exact(self) -> None:
        """Since the round began: each span once in `session_spans`, each window in `session_rollups` as it must be."""
        log = self._session_spans.read()
        self._log += log
        self._routed.update(spans_in(groups_of_log(log)))
        fresh = [rollups.decode(record.value or b"") for record in self._rollups.read()]
        self._published += fresh
        verdict = Verdict()
        judge_route(verdict, self._sent, self._routed)
        assert verdict.is_exact, verdict.text()
        keys = {group.key for group in self._round}
        mine = [row for row in fresh if SessionKey(row["project"], row["session_id"]) in keys]
        windows = [row for row in mine if row["type"] == "window"]
        turns = [
            {**turn, "window_id": row["window_id"]} for row in mine if row["type"] == "turns" for turn in row["turns"]
        ]
        expected = reference_windows(self._round, self._policy)
        # The time of the round is not over yet.
        as_closed = [{**row, "state": "closed", "close_reason": "idle"} for row in windows]
        assert len(living(windows, ("window_id",))) == _SESSIONS
        found = differences_from_reference(expected, as_closed, turns)
        assert not found, "\n".join(found[:12])

    def verdict(self) -> Verdict:
        """Over everything since the beginning."""
        verdict = Verdict(spans=len(self._sent), rollups=0)
        judge_route(verdict, self._sent, self._routed)
        judge_versions(verdict, self._published)
        judge_states(verdict, self._settings, self._log, self._all, stored=None)
        return verdict

    def _ended(self, plan: Plan | None, *, is_moved: bool) -> tuple[ForkedProcess, int]:
        """An owner that has ended, and how."""
        for _ in range(_ATTEMPTS):
            owner = self._start(plan, is_moved=is_moved)
            status = owner.wait(_LONGEST)
            if status != TO_BE_RESTARTED:
                break
        return owner, status

    def _start(self, plan: Plan | None, *, is_moved: bool) -> ForkedProcess:
        name = f"owner-{next(self._owners)}"
        trap = self._folder / f"{name}.trap"
        trap.mkdir()
        if plan is not None:
            set_trap(trap, plan)
        log = self._folder / f"{name}.log"
        owner = ForkedProcess(name, partial(own, is_moved=is_moved), (), log=log, trap=trap, env=self._environment)
        self._running.append(owner)
        return owner

    def _trap(self, owner: ForkedProcess) -> Path:
        return self._folder / f"{owner.name}.trap"
