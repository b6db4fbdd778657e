"""After an outage of all workers no window closes early, whichever source catches up first, however long it was.

Sources (partitions of `otlp_spans`) are written all the time; workers read them, die, come back, and catch up
at different speeds. What the sources promise is `SourceWatermark`, what follows from it is the window stage.
"""

from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer.engine.policy import Policy
from services.sessionizer.source_watermark import SourceWatermark
from services.sessionizer.stage import Moment
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.property.profile import streams
from tests.support.spans import SECOND, T0, facts
from tests.support.stage_run import Published, StageRun

GAP, DELAY, IDLE_AFTER, SOURCE_TIMEOUT = 20, 5, 3, 60  # seconds
SILENCE = 12  # between two spans of a session at most: less than the gap
POLICY = Policy(gap=GAP * SECOND, source_timeout=SOURCE_TIMEOUT * SECOND, snapshot_interval=SECOND)
SLOWEST = 40  # seconds that a source may stay unread after an outage; with a step of log time under the timeout


@dataclass(frozen=True)
class Story:
    """How long workers run, are away (per outage) and run again; how many sources and sessions there are."""

    seed: int
    sources: int
    sessions: int
    outages: tuple[int, ...]


STORIES = st.builds(
    Story,
    seed=st.integers(0, 1 << 32),
    sources=st.integers(1, 4),
    sessions=st.integers(1, 3),
    outages=st.lists(st.sampled_from([2, 30, SOURCE_TIMEOUT, 5 * SOURCE_TIMEOUT]), max_size=2).map(tuple),
)


def ns(second: int) -> int:
    return T0 + second * SECOND


class World:
    """The sources' logs, the workers that read them, and the stage that hears of it. Time goes on second by second."""

    def __init__(self, story: Story) -> None:
        self.story, self.random = story, Random(story.seed)
        self.second = 0
        self.written: list[list[tuple[int, dict[int, SpanFacts]]]] = [[] for _ in range(story.sources)]
        self.read = [0] * story.sources
        self.unread_until = [0] * story.sources
        self.gone: set[int] = set()
        self.next_span = [0] * story.sessions  # second at which a session is heard at the latest
        self.spans_left = [0] * story.sessions  # written, not folded
        self.total = [0] * story.sessions
        self.are_writing = True
        self.run = StageRun(POLICY)
        self.watermarks: list[SourceWatermark] = []

    def start_workers(self) -> None:
        """What a source has promised is known to the stage only; its reader begins anew."""
        self.watermarks = [
            SourceWatermark(out_of_orderness=DELAY * SECOND, idle_after=IDLE_AFTER * SECOND)
            for _ in range(self.story.sources)
        ]
        self.unread_until = [
            self.second + self.random.choice((0, 0, self.random.randrange(SLOWEST))) for _ in self.written
        ]

    def write(self) -> None:
        """One second of the world outside: each session has a span in some source now and then."""
        records: dict[int, dict[int, SpanFacts]] = {}
        for session in range(self.story.sessions):
            if self.are_writing and self.second >= self.next_span[session]:
                source = self.random.choice([each for each in range(self.story.sources) if each not in self.gone])
                end = self.second - self.random.randrange(DELAY)
                self.total[session] += 1
                span = facts(1_000 * session + self.total[session], self.total[session], ns(end), ns(end))
                records.setdefault(source, {})[session] = span
                self.spans_left[session] += 1
                self.next_span[session] = self.second + self.random.randrange(1, SILENCE - DELAY)
        for source, spans in records.items():
            self.written[source].append((self.second, spans))

    def work(self) -> None:
        """One second of the workers: each source by itself, in any order."""
        order = list(range(self.story.sources))
        self.random.shuffle(order)
        for source in order:
            if source not in self.gone:
                self._work_on(source)
        self.check(self.run.flush())

    def _work_on(self, source: int) -> None:
        watermark, log = self.watermarks[source], self.written[source]
        if self.second >= self.unread_until[source]:
            count = self.random.choice((1, 2, 5, len(log)))
            for written_at, spans in log[self.read[source] : self.read[source] + count]:
                self.read[source] += 1
                groups = tuple(SpanGroup(_key(session), ns(written_at), (span,)) for session, span in spans.items())
                self.run.fold(ns(self.second), SpansRecord(groups))
                for session in spans:
                    self.spans_left[session] -= 1
                watermark.heard(max(span.end for span in spans.values()), ns(written_at))
        is_caught_up = self.read[source] == len(log) and self.second >= self.unread_until[source]
        promised = watermark.due(Moment(now=ns(self.second), caught_up=is_caught_up))
        if promised is not None:
            self.run.fold(ns(self.second), WatermarkRecord(f"spans/{source}", promised, self.story.sources))

    def check(self, published: Published) -> None:
        if self.gone:
            return  # what it holds unread is of the windows too
        for row in published.windows:
            session = int(row["session_id"])
            is_over = not self.are_writing and not self.spans_left[session]
            assert row["state"] == "open" or is_over, f"session {session} closed early at {self.second} s"

    def pass_time(self, seconds: int, *, at_work: bool) -> None:
        for _ in range(seconds):
            self.second += 1
            self.write()
            if at_work:
                self.work()


def _key(session: int) -> SessionKey:
    return SessionKey("shop", str(session))


def live_through(story: Story) -> World:
    world = World(story)
    world.start_workers()
    world.pass_time(45, at_work=True)
    for outage in story.outages:
        world.pass_time(outage, at_work=False)
        world.start_workers()
        world.pass_time(SLOWEST, at_work=True)
    return world


@given(STORIES)
@streams(120)
def test_no_window_closes_before_every_source_has_been_read_that_far(story: Story) -> None:
    world = live_through(story)
    world.are_writing = False
    world.pass_time(2 * SLOWEST + GAP + 2 * DELAY + IDLE_AFTER + 5, at_work=True)

    assert not any(world.spans_left), "the story ended too early"
    rows = list(world.run.tables.living_windows().values())
    counted = {int(row["session_id"]): row["span_count"] for row in rows}
    assert counted == {session: count for session, count in enumerate(world.total) if count}
    assert len(rows) == len(counted), "a session has two windows"
    assert all((row["state"], row["is_late"], row["late_span_count"]) == ("closed", False, 0) for row in rows)


@given(STORIES.filter(lambda story: story.sources > 1))
@streams(40)
def test_a_source_that_is_gone_holds_time_back_until_its_timeout_and_no_longer(story: Story) -> None:
    world = live_through(story)
    world.gone = {0}
    held_at = world.run.stage.gauges["spanloom_watermark_seconds"]
    world.pass_time(SOURCE_TIMEOUT - 1, at_work=True)
    assert world.run.stage.gauges["spanloom_watermark_seconds"] - held_at <= SLOWEST + DELAY, "it was given up early"
    world.are_writing = False
    world.pass_time(SOURCE_TIMEOUT + GAP + 2 * DELAY + IDLE_AFTER, at_work=True)
    assert world.run.stage.gauges["spanloom_open_windows"] == 0
