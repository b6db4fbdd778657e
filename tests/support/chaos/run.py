"""One seed: traffic in, faults at random on the way, a verdict at the end.

Which faults, where and in which order follows from the seed; when exactly they hit follows from the machine as well.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from signal import SIGCONT

from services.sessionizer.engine.policy import Policy
from services.shared.settings import Settings
from tests.support.chaos.faults import KINDS, Faults, all_is_well, stop
from tests.support.chaos.replay import groups_of_log, judge_states, judge_waiting, names_in, spans_in
from tests.support.chaos.site import (
    GAP,
    LATENESS,
    PARTITIONS,
    PATIENCE,
    ChaosSite,
    Surroundings,
)
from tests.support.chaos.verdict import (
    SpanName,
    Verdict,
    judge_content,
    judge_route,
    judge_versions,
)
from tests.support.comparison import living
from tests.support.eventually import NotInTimeError, eventually
from tests.support.kafka.log import committed_offset, read_all
from tests.support.otlp import HOUR
from tests.support.reference import reference_windows
from tests.support.rollup_log import rollup_records
from tests.support.traffic import Traffic, make_traffic

SESSIONS, SPANS = 120, 2_400
_BLOCK = 25  # records that come in any order
POLICY = Policy(gap=GAP, allowed_lateness=LATENESS)


def hush(text: str) -> None:
    """Says nothing."""
    del text


class SeedRun:
    """`run` once."""

    def __init__(
        self, seed: int, folder: Path, around: Surroundings, *, faults: int = 4, say: Callable[[str], None] = hush
    ) -> None:
        self.seed, self.verdict = seed, Verdict()
        self._random = random.Random(seed)
        self._folder, self._around, self._faults = folder, around, faults
        self._name, self._say = f"chaos-{seed}", say
        self._traffic = self._made_traffic()
        self._site: ChaosSite

    def run(self) -> Verdict:
        """Raises where something did not happen that must, a fault included."""
        try:
            return self._run()
        finally:
            self._around.heal()

    def _run(self) -> Verdict:
        with ChaosSite(self._folder, self._name, self._around) as self._site:
            self._site.start()
            steps = Faults(self._site, self._random, self._count).planned(self._faults)
            for (neighbour, fault), part in zip(steps, _parts(self._shaken(), len(steps)), strict=True):
                end = neighbour()
                self._site.send_slowly(part)
                fault()
                self._site.send_rest()
                end()
            self._finish()
            with self._around.broker_in_use:
                self._judge()
        happened, planned = self.verdict.faults.total(), sum(2 - (n is all_is_well) for n, _ in steps)
        assert happened == planned, f"{planned} faults were planned: {self.verdict.line()}"
        return self.verdict

    # What is sent

    def _made_traffic(self) -> Traffic:
        """Three hours that ended three hours ago: every window is over as soon as all is read."""
        begin = time.time_ns() - 6 * HOUR  # noqa: TID251 - the broker's clock is this one
        return make_traffic(
            seed=self.seed,
            sessions=SESSIONS,
            spans=SPANS,
            begin=begin,
            length=3 * HOUR,
            gap=GAP,
            largest_batch=8,
            is_scattered=True,
        )

    def _shaken(self) -> list[bytes]:
        """The records of the traffic, some sent again later, neighbours in any order."""
        records = list(self._traffic.records)
        self.verdict.again = len(records) // 10
        for record in self._random.sample(records, self.verdict.again):
            records.insert(self._random.randrange(len(records)), record)
        mixed: list[bytes] = []
        for start in range(0, len(records), _BLOCK):
            block = records[start : start + _BLOCK]
            mixed += self._random.sample(block, len(block))
        return mixed

    def _count(self, kind: str) -> None:
        assert kind in KINDS, kind
        self.verdict.faults[kind] += 1
        self._say(f"  {kind}")

    # What became of it

    def _finish(self) -> None:
        """Until all windows are closed; if they never are, the verdict says what is missing. Then everybody stops."""
        site = self._site

        def look() -> bool:
            (row,) = site.store.query(
                "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open"
                " FROM session_windows FINAL WHERE is_deleted = 0"
            )
            return (row["spans"], row["open"]) == (self._traffic.spans, 0)

        try:
            site.wait(look, "all windows closed")
        except NotInTimeError as error:
            self.verdict.findings.append(str(error))
        for worker in site.workers:
            worker.process.signal(SIGCONT)
            stop(worker)

    def _judge(self) -> None:
        site, verdict = self._site, self.verdict
        kafka, topic = site.installation.bootstrap, site.installation.rollups_topic
        rollup_log = read_all(kafka, topic, PARTITIONS)
        ends = {record.partition: record.offset for record in rollup_log}

        def stored() -> bool:
            group = f"{site.name}-rollup-sink"
            return all((committed_offset(kafka, group, topic, n) or 0) > end for n, end in ends.items())

        eventually(stored, within=PATIENCE, what="the sink has stored all rollups")
        assert site.sink.process.stop(within=PATIENCE) == 0
        windows = site.store.query("SELECT * FROM session_windows")
        turns = site.store.query("SELECT * FROM session_turns")
        judge_content(verdict, reference_windows(self._traffic.groups(), POLICY), windows, turns)
        settings = Settings.model_validate(site.settings)
        log = read_all(kafka, settings.session_spans_topic, PARTITIONS)
        judge_route(verdict, self._sent_spans(), spans_in(groups_of_log(log)))
        judge_versions(verdict, rollup_records(kafka, topic, PARTITIONS))
        if not verdict.findings:
            by_id = {row["window_id"]: row for row in living(windows, ("window_id",))}
            judge_states(verdict, settings, log, self._traffic.facts, by_id)
            judge_waiting(verdict, settings, read_all(kafka, settings.trace_spans_topic, PARTITIONS))

    def _sent_spans(self) -> Counter[SpanName]:
        """Copies of each span with a session, as they stand in the spans topic."""
        installation = self._site.installation
        records = read_all(installation.bootstrap, installation.spans_topic, PARTITIONS)
        missing = Counter(self._traffic.records) - Counter(record.value or b"" for record in records)
        assert not missing, "acknowledged records are not in Kafka"
        keys = {(span.trace_id, span.span_id): key for key, span in self._traffic.facts}
        names = (name for record in records for name in names_in(record.value or b""))
        return Counter((keys[name], *name) for name in names if name in keys)


def _parts(records: list[bytes], count: int) -> list[list[bytes]]:
    size = -(-len(records) // count)
    return [records[start : start + size] for start in range(0, count * size, size)]
