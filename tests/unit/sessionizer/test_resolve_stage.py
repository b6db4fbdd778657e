"""Which session a trace's spans take over, when a wait is over, what is bounded: cases of `resolve`."""

from dataclasses import replace
from typing import Any

import pytest

from services.sessionizer.engine.resolve import PAGE_BYTES, ResolvePolicy, Unresolved
from services.sessionizer.resolve_state import segment_key
from services.sessionizer.stage import InputRecord
from services.shared.model.annotation import Scope
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.records.session_spans import UnreadableRecordError, WatermarkRecord
from services.shared.records.trace_spans import BindingGroup, WaitingGroup, WaitingSpan
from tests.support.resolve_model import Released
from tests.support.resolve_run import PARTITIONS, SIBLINGS, ResolveRun, released, watermarks
from tests.support.spans import SECOND, T0, annotation, facts, trace_id

TIMEOUT, LATENESS = 600 * SECOND, 3_600 * SECOND
POLICY = ResolvePolicy(resolve_timeout=TIMEOUT, allowed_lateness=LATENESS)
TRACE = replace(POLICY, unresolved=Unresolved.TRACE)
CHAT, VOICE = SessionKey("shop", "chat"), SessionKey("voice", "call")


def span(trace: int = 1, number: int = 1, *, previous: str = "", **more: Any) -> WaitingSpan:
    return WaitingSpan(facts(trace, number, T0, T0 + SECOND, **more), previous)


class Traces:
    """One partition. `at` is in ns after `T0`; records of `otlp_spans` have it as their time."""

    def __init__(self, policy: ResolvePolicy = POLICY, *, swept_traces: int = 100) -> None:
        self.run = ResolveRun(policy, swept_traces=swept_traces)

    def wait(self, *spans: WaitingSpan, at: int = 0, project: str = "shop") -> None:
        self.run.add(WaitingGroup(project, T0 + at, spans), timestamp=T0)

    def bind(self, *traces: int, key: SessionKey = CHAT, at: int = 0) -> None:
        self.run.add(BindingGroup(key, T0 + at, tuple(map(trace_id, traces))), timestamp=T0)

    def pass_time(self, watermark: int, *, timestamp: int = 0) -> None:
        self.run.fold(T0 + timestamp, WatermarkRecord("otlp_spans/0", T0 + watermark, 1))

    def out(self) -> list[Released]:
        """What was released since the last call."""
        return released(self.run.flush())

    def sessions(self) -> list[tuple[SessionKey, int]]:
        """Of these the session and the number of each span."""
        return [(key, int.from_bytes(item.span_id, "big")) for key, _, item in self.out()]

    @property
    def outcomes(self) -> dict[str, int]:
        self.run.flush()
        return self.run.outcomes()

    def gauge(self, name: str) -> float:
        return self.run.stage.gauges[f"spanloom_{name}"]


def test_spans_wait_until_their_trace_is_bound_and_keep_the_time_of_their_record() -> None:
    traces = Traces()
    first, second = span(1, 1), span(1, 2)
    traces.wait(first, at=5)
    traces.wait(second, span(2, 3), at=7)
    assert traces.out() == []
    assert traces.gauge("waiting_spans") == 3
    traces.bind(1, at=9)
    assert traces.out() == [(CHAT, T0 + 5, first.facts), (CHAT, T0 + 7, second.facts)]
    assert (traces.gauge("waiting_spans"), traces.gauge("bound_traces")) == (1, 1)
    assert traces.outcomes == {"resolved": 2}


def test_spans_of_a_bound_trace_go_at_once_and_take_the_key_over_whole() -> None:
    traces = Traces()
    traces.bind(1, key=VOICE)
    traces.wait(span(1, 1), project="shop")
    assert traces.sessions() == [(VOICE, 1)]
    assert traces.run.counts["spanloom_session_id_source_total", "trace"] == 1


def test_the_first_binding_in_the_log_wins_and_a_repeated_one_changes_no_state() -> None:
    traces = Traces()
    traces.bind(1, key=CHAT)
    traces.out()
    before = list(traces.run.changelog)
    traces.bind(1, key=VOICE)
    traces.bind(1, key=CHAT, at=SECOND)
    traces.out()
    assert [key for key, _ in traces.run.changelog[len(before) :]] == [b"meta"]
    traces.wait(span())
    assert traces.sessions() == [(CHAT, 1)]


def test_a_binding_beside_the_spans_that_it_serves_lets_none_of_them_wait() -> None:
    traces = Traces()
    traces.run.add(WaitingGroup("shop", T0, (span(),)), BindingGroup(CHAT, T0, (trace_id(1),)), timestamp=T0)
    assert traces.sessions() == [(CHAT, 1)]
    assert traces.gauge("waiting_bytes") == 0


def test_a_root_that_judges_another_trace_waits_for_the_session_of_that_one() -> None:
    traces = Traces()
    said = (annotation(Scope.SESSION, 0), annotation(Scope.SPAN, 1, 4))
    traces.wait(span(9, 1, annotations=said), span(9, 2, parent=1, annotations=said))
    traces.bind(9, key=VOICE)
    assert traces.sessions() == [(VOICE, 2)]
    traces.bind(1)
    assert traces.sessions() == [(CHAT, 1)]
    traces.wait(span(8, 3, annotations=said))
    assert traces.sessions() == [(CHAT, 3)]


@pytest.mark.parametrize(("late", "outcome"), [(0, {}), (1, {"no_session_id": 2})])
def test_a_wait_is_over_when_the_watermark_is_greater_than_its_begin_and_the_timeout(
    late: int, outcome: dict[str, int]
) -> None:
    traces = Traces()
    traces.wait(span(1, 1), at=SECOND)
    traces.wait(span(1, 2), at=400 * SECOND)  # all spans held for a trace time out together
    traces.pass_time(SECOND + TIMEOUT + late)
    assert traces.outcomes == outcome


def test_a_wait_begins_at_the_watermark_where_that_is_later_than_the_record() -> None:
    traces = Traces()
    traces.pass_time(1_000 * SECOND)
    traces.wait(span(), at=0)
    traces.pass_time(1_000 * SECOND + TIMEOUT)
    assert traces.outcomes == {}
    traces.pass_time(1_000 * SECOND + TIMEOUT + 1)
    assert traces.outcomes == {"no_session_id": 1}


def test_dropped_spans_stay_dropped_and_a_later_one_begins_a_new_wait() -> None:
    traces = Traces()
    traces.wait(span(1, 1))
    traces.pass_time(TIMEOUT + 1)
    traces.wait(span(1, 2), at=TIMEOUT)
    traces.bind(1)
    assert traces.sessions() == [(CHAT, 2)]
    assert traces.outcomes == {"no_session_id": 1, "resolved": 1}


def test_by_setting_a_trace_without_a_session_is_one_in_the_project_of_the_first_span_held() -> None:
    traces = Traces(TRACE)
    own = SessionKey("shop", f"trace:{trace_id(1).hex()}")
    traces.wait(span(1, 1), project="shop")
    traces.wait(span(1, 2), project="voice")
    traces.pass_time(TIMEOUT + 1)
    assert traces.sessions() == [(own, 1), (own, 2)]
    traces.bind(1)  # it stays what it is
    traces.wait(span(1, 3), at=TIMEOUT)
    assert traces.sessions() == [(own, 3)]
    assert traces.outcomes == {"trace_session": 3}


@pytest.mark.parametrize(("late", "is_kept"), [(0, True), (1, False)])
def test_a_binding_is_kept_for_timeout_and_lateness_after_its_last_use(late: int, *, is_kept: bool) -> None:
    traces = Traces()
    traces.bind(1, at=0)
    traces.wait(span(1, 1), at=1_000 * SECOND)
    traces.bind(1, at=2_000 * SECOND)  # no use
    traces.out()
    traces.pass_time(1_000 * SECOND + TIMEOUT + LATENESS + late)
    assert traces.gauge("bound_traces") == is_kept
    traces.wait(span(1, 2))
    assert len(traces.out()) == is_kept


def test_an_end_that_a_waiting_span_carries_goes_to_the_session_of_its_own_project_when_it_is_released() -> None:
    traces = Traces()
    traces.wait(span(1, 1, previous="old"), span(1, 2, previous="chat"), at=3)
    assert traces.out() == []
    traces.bind(1)
    ends = [(key, time, item) for key, time, item in traces.out() if isinstance(item, SessionEnd)]
    assert ends == [(SessionKey("shop", "old"), T0 + 3, SessionEnd(T0, trace_id(1), span(1, 1).facts.span_id))]


def test_an_end_of_a_span_that_is_dropped_ends_nothing() -> None:
    traces = Traces()
    traces.wait(span(previous="old"))
    traces.pass_time(TIMEOUT + 1)
    assert traces.out() == []


# Bounds


def long_span(trace: int, number: int) -> WaitingSpan:
    return span(trace, number, error="x" * 1_000)


def test_what_waits_is_kept_in_pages_and_released_in_order() -> None:
    traces = Traces()
    for start in range(0, 200, 50):
        traces.wait(*(long_span(1, start + number) for number in range(1, 51)), at=start)
        traces.out()
    sizes = {key: len(value) for key, value in traces.run.changelog if value and key != b"meta"}
    assert len(sizes) > 10
    assert max(sizes.values()) <= PAGE_BYTES + 64
    traces.run.crash(compacted=True)
    traces.bind(1)
    assert traces.sessions() == [(CHAT, number) for number in range(1, 201)]
    kept = {key for key, value in dict(traces.run.changelog).items() if value is not None}
    assert kept == {segment_key(0), b"meta"}


def test_a_checkpoint_writes_no_page_again_that_is_full() -> None:
    traces = Traces()
    traces.wait(*(long_span(1, number) for number in range(1, 101)))
    traces.out()
    before = len(traces.run.changelog)
    traces.wait(long_span(1, 101))
    traces.out()
    written = sum(len(value or b"") for _, value in traces.run.changelog[before:])
    assert written < 2 * PAGE_BYTES


@pytest.mark.parametrize("policy", [POLICY, TRACE])
def test_a_trace_of_which_too_much_waits_is_given_up_at_once(policy: ResolvePolicy) -> None:
    traces = Traces(replace(policy, max_trace_bytes=10_000))
    traces.wait(*(long_span(1, number) for number in range(1, 9)))
    assert traces.outcomes == {}
    traces.wait(long_span(2, 1))
    traces.wait(*(long_span(1, number) for number in range(9, 12)))
    is_dropped = policy.unresolved is Unresolved.DROP
    assert traces.outcomes == ({"too_many_waiting": 11} if is_dropped else {"trace_session": 11})
    assert traces.gauge("waiting_spans") == 1


@pytest.mark.parametrize("policy", [POLICY, TRACE])
def test_when_too_much_waits_in_all_the_longest_waits_end(policy: ResolvePolicy) -> None:
    traces = Traces(replace(policy, max_bytes=5_000))
    for trace in (3, 1, 2):  # in the order in which they begin to wait
        traces.wait(long_span(trace, trace), at=trace % 3)
    traces.bind(3)
    assert traces.sessions() == [(CHAT, 3)]
    traces.wait(*(long_span(4, 40 + number) for number in range(3)), at=4)
    assert {number for _, number in traces.sessions()} == (set() if policy is POLICY else {1})
    traces.bind(1, 2, 4)
    expected = [(CHAT, number) for number in (2, 40, 41, 42)]
    assert [found for found in traces.sessions() if found[0] == CHAT] == expected


def test_the_bounds_hold_after_a_crash_as_before() -> None:
    traces = Traces(replace(POLICY, max_bytes=5_000))
    for trace in range(1, 5):
        traces.wait(long_span(trace, trace), at=-trace)
    traces.out()
    traces.run.crash()
    traces.wait(long_span(5, 5))
    traces.bind(*range(1, 6))
    assert sorted(traces.sessions()) == [(CHAT, 1), (CHAT, 2), (CHAT, 3), (CHAT, 5)]
    assert traces.outcomes["too_many_waiting"] == 1


def test_very_many_waits_that_are_over_are_given_up_in_slices() -> None:
    traces = Traces(TRACE, swept_traces=10)
    for trace in range(1, 36):
        traces.wait(span(trace, trace))
    traces.out()
    traces.run.flushes_between_slices = True
    traces.pass_time(TIMEOUT + 1)
    traces.run.flush()
    assert traces.run.slices == 3
    items = [item for _, _, item in released(traces.run.written)]
    assert sorted(int.from_bytes(item.span_id, "big") for item in items) == list(range(1, 36))


# Time


def test_time_is_passed_on_to_every_partition_after_the_spans_with_the_number_of_sources() -> None:
    traces = Traces()
    traces.wait(span())
    traces.bind(1)
    traces.pass_time(7)
    outputs = traces.run.flush()
    told = WatermarkRecord("trace_spans/1", T0 + 7, 1 + SIBLINGS)
    assert watermarks(outputs) == [(partition, told) for partition in range(PARTITIONS)]
    assert len(released(outputs[:1])) == 1, "the spans come first"


def test_no_time_is_told_before_all_sources_are_heard() -> None:
    run = ResolveRun(POLICY)
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + 7, 2))
    assert run.flush() == []
    run.fold(T0, WatermarkRecord("otlp_spans/1", T0 + 5, 2))
    assert {record.watermark for _, record in watermarks(run.flush())} == {T0 + 5}


def test_time_is_told_once_in_a_second_of_the_log_and_at_a_drain_also_when_it_stands_still() -> None:
    traces = Traces()
    traces.pass_time(7)
    assert watermarks(traces.run.flush())
    traces.pass_time(8, timestamp=SECOND - 1)
    assert not watermarks(traces.run.flush())
    traces.pass_time(8, timestamp=SECOND)
    assert watermarks(traces.run.flush())
    traces.pass_time(8, timestamp=2 * SECOND)
    assert watermarks(traces.run.flush())
    traces.pass_time(9, timestamp=2 * SECOND + 1)
    assert {record.watermark for _, record in watermarks(traces.run.flush(drain=True))} == {T0 + 9}
    assert not traces.run.flush(drain=True), "nothing new"


def test_a_record_that_is_not_ours_stops_the_worker() -> None:
    run = ResolveRun(POLICY)
    with pytest.raises(UnreadableRecordError):
        run.stage.fold(InputRecord(0, T0, None, b"garbage"))


def test_the_spans_of_many_records_that_are_released_at_once_fit_records() -> None:
    traces = Traces()
    for number in range(1, 700):
        traces.wait(span(1, number, input="x" * 1_000, output="y" * 1_000))
    traces.bind(1)
    found = traces.out()
    assert [item.span_id for _, _, item in found if isinstance(item, SpanFacts)] == [
        facts(1, number, 0, 0).span_id for number in range(1, 700)
    ]


@pytest.mark.parametrize("field", ["source_timeout", "max_trace_bytes", "max_bytes"])
def test_a_policy_that_nothing_can_be_resolved_by_is_refused(field: str) -> None:
    zero: dict[str, Any] = {field: 0}
    with pytest.raises(ValueError, match=f"{field} must be more than 0"):
        replace(POLICY, **zero)
    with pytest.raises(ValueError, match="resolve_timeout must not be negative"):
        ResolvePolicy(resolve_timeout=-1)
