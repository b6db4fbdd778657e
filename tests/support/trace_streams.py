"""Generated logs of one partition of traces, and what befalls the worker meanwhile.

Traces are few, so that copies, second bindings and spans after a timeout are common; times lie on
a coarse grid with a nanosecond of play, so that waits that are over by one are common too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from services.sessionizer.engine.resolve import ResolvePolicy, Unresolved
from services.shared.model.annotation import Scope
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import WatermarkRecord
from services.shared.records.trace_spans import BindingGroup, TracesRecord, WaitingGroup, WaitingSpan
from tests.support.spans import SECOND, T0, annotation, facts, trace_id
from tests.support.streams import DIMENSIONS, KEYS, Fate

TIMEOUT = 8 * SECOND
_GRID = TIMEOUT // 4
_TRACES = 5
_PROJECTS = ("shop", "voice")
_PREVIOUS = ("", "", "", "s1", "s2")

times = st.builds(lambda grid, play: T0 + grid * _GRID + play, st.integers(0, 24), st.sampled_from([0, 0, 1, -1]))


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One record of the log, its timestamp, and what happens then."""

    timestamp: int
    record: TracesRecord | WatermarkRecord
    fate: Fate


@dataclass(frozen=True, slots=True)
class TraceStream:
    policy: ResolvePolicy
    steps: tuple[TraceStep, ...]


def _waiting_span(trace: int, span: int, start: int, looks: int, previous: str) -> WaitingSpan:
    text = "x" * (looks % 4 * 3_000)  # so that some traces take more than a page
    made = facts(
        *(trace, span, start, start + SECOND),
        parent=looks % 3,
        dimensions=DIMENSIONS[looks % len(DIMENSIONS)],
        error=text,
        annotations=(annotation(Scope.SESSION, 0), annotation(Scope.TRACE, 1)) if looks in {4, 6, 9} else (),
    )
    return WaitingSpan(made, "" if made.annotations else previous)


waiting_groups = st.builds(
    lambda project, time, spans: WaitingGroup(project, time, tuple(spans)),
    st.sampled_from(_PROJECTS),
    times,
    st.lists(
        st.builds(
            _waiting_span,
            st.integers(1, _TRACES),
            st.integers(1, 9),
            times,
            st.integers(0, 11),
            st.sampled_from(_PREVIOUS),
        ),
        min_size=1,
        max_size=8,
    ),
)
binding_groups = st.builds(
    lambda key, time, traces: BindingGroup(key, time, tuple(map(trace_id, traces))),
    st.sampled_from((*KEYS, SessionKey("shop", f"trace:{trace_id(1).hex()}"))),
    times,
    st.lists(st.integers(1, _TRACES), min_size=1, max_size=2, unique=True),
)
_records: Sequence[st.SearchStrategy[TracesRecord | WatermarkRecord]] = (
    st.builds(lambda groups: TracesRecord((), tuple(groups)), st.lists(waiting_groups, min_size=1, max_size=3)),
    st.builds(
        lambda bindings, waiting: TracesRecord(tuple(bindings), tuple(waiting)),
        st.lists(binding_groups, min_size=1, max_size=2),
        st.lists(waiting_groups, max_size=1),
    ),
    st.builds(lambda source, time: WatermarkRecord(f"otlp_spans/{source}", time, 2), st.integers(0, 1), times),
)
_FATES = [Fate.NOTHING] * 5 + [Fate.FLUSH] * 3 + [Fate.DRAIN, Fate.CRASH, Fate.LOSE_FLUSH, Fate.RESTART]
_steps = st.tuples(st.sampled_from([0, SECOND, 5 * SECOND]), st.one_of(*_records), st.sampled_from(_FATES))


def trace_streams() -> st.SearchStrategy[TraceStream]:
    """Waits, bindings before and after their spans, timeouts, faults. No limit of size is reached."""

    def build(lateness: int, unresolved: Unresolved, drawn: list[tuple[int, TracesRecord, Fate]]) -> TraceStream:
        now, steps = T0, list[TraceStep]()
        for pause, record, fate in drawn:
            now += pause
            steps.append(TraceStep(now, record, fate))
        policy = ResolvePolicy(
            resolve_timeout=TIMEOUT, allowed_lateness=lateness, source_timeout=12 * SECOND, unresolved=unresolved
        )
        return TraceStream(policy, tuple(steps))

    return st.builds(
        build,
        st.sampled_from([0, _GRID, 4 * _GRID]),
        st.sampled_from(Unresolved),
        st.lists(_steps, min_size=2, max_size=24),
    )
