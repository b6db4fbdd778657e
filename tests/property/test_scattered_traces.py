"""Spans of a trace in any order, in any split over records and partitions, with the id on any one span."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord
from services.shared.settings import Settings
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.otlp import SECOND, T0, request_of, resource_spans, span, to_protobuf
from tests.support.reference import differences, reference_windows, window_row
from tests.support.spans import facts
from tests.support.stage_run import StageRun
from tests.support.trace_flow import TraceFlow

SCATTERED = 150
PROJECTS = ("shop", "voice")
IDS = (("s1", "s1"), (7, "7"), (True, "true"), ("  padded\n", "padded"))
"""An id as an attribute has it, and the session that it names."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A span as it is sent: trace and number, project, start in seconds after `T0`, session id if it has one."""

    trace: int
    number: int
    project: str
    start: int
    session_id: object = None

    @property
    def facts(self) -> SpanFacts:
        start = T0 + self.start * SECOND
        return facts(self.trace, self.number, start, start + SECOND, parent=self.number // 2, name="step")

    def message(self) -> Span:
        named = {} if self.session_id is None else {"session.id": self.session_id}
        found = self.facts
        return span(
            trace_id=found.trace_id,
            span_id=found.span_id,
            parent_id=found.parent_id,
            start=found.start,
            end=found.end,
            name=found.name,
            attributes=named,
        )


@dataclass(frozen=True, slots=True)
class Scattered:
    records: tuple[tuple[Sent, ...], ...]
    keys: dict[int, SessionKey]
    """Of each trace the session that its one id names."""
    seed: int


@st.composite
def scattered(draw: st.DrawFn) -> Scattered:
    spans: list[Sent] = []
    keys = {}
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        size = draw(st.integers(1, 6))
        marked = draw(st.integers(1, size))
        written, read = draw(st.sampled_from(IDS))
        for number in range(1, size + 1):
            project = draw(st.sampled_from(PROJECTS))
            start = draw(st.integers(0, 3_000))
            spans.append(Sent(trace, number, project, start, written if number == marked else None))
            if number == marked:
                keys[trace] = SessionKey(project, read)
    spans = draw(st.permutations(spans))
    cuts = sorted(draw(st.sets(st.integers(1, len(spans)), max_size=8)) | {0, len(spans)})
    records = tuple(tuple(spans[start:end]) for start, end in pairwise(cuts))
    return Scattered(records, keys, draw(st.integers(0, 2**32)))


def encoded(spans: Sequence[Sent]) -> bytes:
    by_project: defaultdict[str, list[Span]] = defaultdict(list)
    for sent in spans:
        by_project[sent.project].append(sent.message())
    return to_protobuf(
        request_of(
            *(resource_spans(found, resource={"openinference.project.name": p}) for p, found in by_project.items())
        )
    )


def check(example: Scattered, resolve: Literal["always", "when_missing"]) -> Counter[str]:
    """Every span reaches the session that its trace's one id names, once; and the windows are the reference's."""
    flow = TraceFlow(Settings(resolve=resolve, topic_partitions=2), Random(example.seed))
    for record in example.records:
        flow.send(encoded(record))
        flow.step()
    for _ in range(20):
        flow.step()
    flow.finish()
    groups = flow.released()
    expected = Counter((example.keys[sent.trace], sent.facts) for record in example.records for sent in record)
    assert Counter((group.key, item) for group in groups for item in group.items) == expected
    assert windows_of(groups) == windows_of(
        [SpanGroup(example.keys[sent.trace], T0, (sent.facts,)) for record in example.records for sent in record]
    )
    sizes = Counter(sent.trace for record in example.records for sent in record)
    places = {(sent.trace, number) for number, record in enumerate(example.records) for sent in record}
    return Counter(
        {
            "spans scattered": len(expected),
            "traces over several records": sum(sum(trace == found for found, _ in places) > 1 for trace in sizes),
        }
    )


def windows_of(groups: Sequence[SpanGroup]) -> list[tuple[str, str, int, int, int]]:
    """What the window engine makes of the spans; it agrees with the reference model."""
    policy = Policy()
    run = StageRun(policy)
    for group in groups:
        run.fold(T0, SpansRecord((group,)))
    run.flush(drain=True)
    rows = run.tables.living_windows().values()
    by_start = {(row["project"], row["session_id"], row["window_start"]): row for row in rows}
    found = []
    for each in reference_windows(groups, policy):
        row = by_start.pop((each.window.project, each.window.session_id, each.window.window_start))
        assert differences(window_row(each.window), row, ignore=_ORDER_OF_ARRIVAL) == []
        window = each.window
        found.append((window.project, window.session_id, window.window_start, window.window_end, window.span_count))
    assert not by_start
    return found


_ORDER_OF_ARRIVAL = (
    *("window_id", "version", "late_span_count", "duplicate_span_count", "state", "close_reason"),
    *("opened_at", "first_seen_at"),
)


def test_an_id_on_any_one_span_of_a_scattered_trace_is_enough() -> None:
    counts: Counter[str] = Counter()

    @streams(SCATTERED)
    @given(scattered(), st.sampled_from(("always", "when_missing")))
    def run(example: Scattered, resolve: Literal["always", "when_missing"]) -> None:
        counts.update(check(example, resolve), streams=1)

    run()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts["streams"] >= SCATTERED * min(SCALE, 1)
    assert counts["traces over several records"] > counts["streams"], f"the streams are too tame: {counts}"
