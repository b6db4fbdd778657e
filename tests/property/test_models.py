"""The two models against each other, and both against cases worked out by hand."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given

from services.sessionizer.engine.policy import Policy
from services.shared.model.rollup import CloseReason, WindowRollup
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.property.profile import streams
from tests.support.log_order import LogOrderModel
from tests.support.reference import differences, reference_windows, turn_row, window_row
from tests.support.spans import SECOND, T0, call, facts, group
from tests.support.streams import Stream, plain_streams
from tests.support.totals import active_time, bucket, exact_quantile, turn_totals, window_totals

KEY = SessionKey("shop", "s1")
POLICY = Policy(gap=10 * SECOND)


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def span(trace: int, number: int, start: float, end: float, **more: Any) -> SpanFacts:
    return facts(trace, number, at(start), at(end), **more)


@streams(200)
@given(plain_streams())
def test_the_interpreter_and_the_reference_cut_the_same_windows(stream: Stream) -> None:
    model = LogOrderModel(stream.policy)
    groups: list[SpanGroup] = []
    for offset, step in enumerate(stream.steps):
        model.fold(offset, step.timestamp, step.record)
        if isinstance(step.record, SpansRecord):
            groups += step.record.groups
    expected = reference_windows(groups, stream.policy)
    found = sorted(model.held, key=lambda window: (window.key, window.start))
    assert len(found) == len(expected)
    decided_by_time = ("window_id", "version", "state", "close_reason", "late_span_count", "duplicate_span_count")
    for window, reference in zip(found, expected, strict=True):
        assert not window.is_late
        assert differences(window_row(reference.window), window_row(window.rollup()), ignore=decided_by_time) == []
        turns = {trace_id.hex(): turn for trace_id, turn in window.turns().items()}
        assert turns.keys() == reference.turns.keys()
        for trace_id, turn in reference.turns.items():
            assert differences(turn_row(turn), turn_row(turns[trace_id]), ignore=decided_by_time) == []


@pytest.mark.parametrize(("silence", "windows"), [(9.999999999, 1), (10, 1), (10.000000001, 2)])
def test_a_silence_of_exactly_the_gap_joins(silence: float, windows: int) -> None:
    spans = [span(1, 1, 0, 5), facts(2, 2, at(5) + round(silence * SECOND), at(30))]
    assert len(reference_windows([group(KEY, *spans)], POLICY)) == windows


def test_a_turn_is_never_split_whatever_the_silence_inside_it() -> None:
    [only] = reference_windows([group(KEY, span(1, 1, 0, 1), span(2, 2, 40, 41), span(1, 3, 99, 100))], POLICY)
    assert (only.window.turn_count, only.window.window_start, only.window.window_end) == (2, at(0), at(100))


def test_the_first_copy_in_the_log_counts() -> None:
    first, second = span(1, 1, 0, 1, name="first"), span(1, 1, 0, 1, name="second")
    [only] = reference_windows([group(KEY, first), group(KEY, second)], POLICY)
    assert only.turns[first.trace_id.hex()].root_name == "first"
    assert only.window.span_count == 1


def test_a_call_that_its_child_repeats_counts_once_in_any_order() -> None:
    spans = [
        span(1, 1, 0, 9, call=call("gpt", 10, 5)),
        span(1, 2, 1, 8, parent=1, call=call("gpt", 10, 5, total_cost=7)),
        span(1, 3, 2, 7, parent=2, call=call("gpt", 10, 5)),
        span(1, 4, 2, 7, parent=2, call=call("gpt", 10, None)),
        span(1, 5, 2, 7, parent=9, call=call("gpt", 10, 5)),
    ]
    for order in permutations(spans):
        usage = turn_totals(order).usage
        assert (usage.llm_call_count, usage.prompt_tokens, usage.completion_tokens) == (3, 30, 10)
        assert (usage.total_tokens, usage.total_cost, usage.unpriced_call_count) == (40, 0, 3)


def test_absent_is_not_zero() -> None:
    totals = window_totals([span(1, 1, 0, 1, call=call("gpt", None, 5)), span(1, 2, 0, 1, call=call("gpt", 0, 5))])
    assert (totals.usage.prompt_tokens, totals.prompt_tokens_by_model, totals.total_cost_by_model) == (
        0,
        {"gpt": 0},
        {},
    )


def test_the_last_writer_is_the_last_by_event_time_and_then_by_ids() -> None:
    def said(environment: str) -> Dimensions:
        return Dimensions(environment=environment, metadata=(("k", environment),))

    spans = [
        span(2, 1, 0, 5, dimensions=said("later id")),
        span(1, 9, 4, 5, dimensions=said("earlier id")),
        span(3, 1, 0, 4, dimensions=said("earlier time")),
        span(3, 2, 0, 6),
    ]
    for order in permutations(spans):
        totals = window_totals(order)
        assert (totals.environment, totals.environment_at) == ("later id", at(5))
        assert (totals.metadata, totals.metadata_at) == ({"k": "later id"}, {"k": at(5)})


def test_first_input_is_of_the_earliest_root_that_has_one_and_last_output_of_the_latest() -> None:
    spans = [
        span(1, 1, 0, 9, output="early"),
        span(1, 2, 1, 3, input="first"),
        span(2, 3, 2, 10, input="second", output="last"),
        span(2, 4, 0, 11, parent=3, input="no root", output="no root"),
    ]
    totals = window_totals(spans)
    assert (totals.first_input, totals.first_input_at) == ("first", at(1))
    assert (totals.last_output, totals.last_output_at) == ("last", at(10))


def test_active_time_is_the_union_and_closes_the_smallest_gaps_beyond_the_limit() -> None:
    assert active_time([(0, 5), (3, 7), (7, 8), (20, 21)]) == 9
    many = [(10 * n, 10 * n + 1) for n in range(1025)]
    assert active_time(many) == 1025 + 9


@pytest.mark.parametrize("duration", [0, 1, 63, 64, 65, 127, 128, 10**9, 86_400 * 10**9])
def test_a_bucket_is_a_32nd_of_its_lower_bound_wide(duration: int) -> None:
    assert bucket(duration) <= bucket(duration + 1) <= bucket(duration) + 1
    if duration >= 64:
        assert bucket(duration + duration // 31) > bucket(duration)


def test_a_quantile_is_the_smallest_value_that_covers_its_share() -> None:
    assert [exact_quantile([1, 2, 3, 4], q) for q in (0.5, 0.51, 0.99)] == [2, 3, 4]


def interpret(policy: Policy, *records: SpansRecord | WatermarkRecord) -> LogOrderModel:
    model = LogOrderModel(policy)
    for offset, each in enumerate(records):
        model.fold(offset, T0 + offset * SECOND, each)
    return model


def spans(*items: SpanFacts) -> SpansRecord:
    return SpansRecord((group(KEY, *items),))


def time(seconds: float, source: int = 0, sources: int = 1) -> WatermarkRecord:
    return WatermarkRecord(f"otlp_spans/{source}", at(seconds), sources)


def only(model: LogOrderModel) -> WindowRollup:
    [window] = model.held
    return window.rollup()


@pytest.mark.parametrize(("watermark", "reason"), [(11, CloseReason.NONE), (11.000000001, CloseReason.IDLE)])
def test_a_window_is_closed_when_the_watermark_is_past_its_end_and_the_gap(
    watermark: float, reason: CloseReason
) -> None:
    assert only(interpret(POLICY, spans(span(1, 1, 0, 1)), time(watermark))).close_reason is reason


def test_there_is_no_watermark_before_all_sources_are_heard() -> None:
    first = interpret(POLICY, spans(span(1, 1, 0, 1)), time(99, 0, 2))
    assert only(first).close_reason is CloseReason.NONE
    both = interpret(POLICY, spans(span(1, 1, 0, 1)), time(99, 0, 2), time(98, 1, 2))
    assert only(both).close_reason is CloseReason.IDLE
    assert both.watermark == at(98)


def test_a_window_held_for_the_allowed_lateness_after_its_closing_expires() -> None:
    policy = Policy(gap=10 * SECOND, allowed_lateness=20 * SECOND)
    closing = (spans(span(1, 1, 0, 1)), time(500))
    assert len(interpret(policy, *closing, time(520)).held) == 1
    assert len(interpret(policy, *closing, time(520.5)).held) == 0


def test_an_explicit_end_closes_the_window_and_a_later_turn_opens_another() -> None:
    model = interpret(
        POLICY,
        spans(span(1, 1, 0, 1), span(1, 2, 1, 2, name="session.end"), span(2, 3, 1, 2), span(3, 4, 2.5, 3)),
    )
    assert [(w.close_reason, len(w.spans)) for w in model.held] == [(CloseReason.EXPLICIT, 3), (CloseReason.NONE, 1)]


def test_a_merge_keeps_the_oldest_window_and_retracts_the_others_that_were_published() -> None:
    model = LogOrderModel(POLICY)
    model.fold(0, T0, spans(span(1, 1, 30, 31)))
    model.flush()
    model.fold(1, T0, spans(span(2, 2, 0, 1)))
    model.flush()
    model.fold(2, T0, spans(span(3, 3, 60, 61)))
    model.fold(3, T0, spans(span(4, 4, 2, 50)))
    emission = model.flush()
    assert [(r.window.opened_by.span_id[-1], r.version) for r in emission.retractions] == [(2, 1 << 48 | 3)]
    [survivor] = model.held
    assert (survivor.opened_by.span_id[-1], survivor.version, len(survivor.spans)) == (1, 1 << 48 | 3, 4)
