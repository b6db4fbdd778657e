"""What counts once: copies of spans, and model calls that two instrumentations saw."""

from dataclasses import replace

import pytest

from services.shared.model.span import SpanFacts
from tests.support.session_run import GAP, POLICY, SessionRun, same_in_any_order, span, turn_of, window_of
from tests.support.spans import T0, call

# Duplicates


def test_a_copy_changes_nothing_but_a_counter_that_shows_with_the_next_change() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5, number=1))
    before = run.window
    run.add(span(1, 0, 5, number=1))
    assert run.window == before
    assert not run.flush(drain=True).windows
    run.add(span(2, 1))
    assert run.window["duplicate_span_count"] == 1
    assert run.window["span_count"] == 2


def test_of_copies_that_differ_the_first_counts() -> None:
    run = SessionRun()
    run.add(span(1, 0, 5, number=1, is_error=True))
    run.add(span(1, 0, 50, number=1, is_tool_call=True))
    window = run.window
    assert (window["window_end"] - T0, window["error_count"], window["tool_call_count"]) == (5, 1, 0)


def test_copies_within_one_record_count_once() -> None:
    run = SessionRun()
    run.add(*[span(1, 0, number=1)] * 3)
    assert (run.window["span_count"], run.window["duplicate_span_count"]) == (1, 2)


def test_one_span_id_in_two_traces_is_two_spans() -> None:
    assert window_of(span(1, 0, number=1), span(2, 0, number=1))["span_count"] == 2


def test_ids_that_overlap_when_laid_side_by_side_are_not_mistaken_for_a_copy() -> None:
    first = int.from_bytes(b"\x00" * 4 + b"\x01" * 4, "big")
    second = int.from_bytes(b"\x02" * 4 + b"\x03" * 4, "big")
    between = int.from_bytes(b"\x01" * 4 + b"\x02" * 4, "big")
    window = window_of(span(1, 0, number=first), span(1, 0, number=second), span(1, 0, number=between))
    assert (window["span_count"], window["duplicate_span_count"]) == (3, 0)


def test_a_copy_after_its_window_was_absorbed_is_a_copy() -> None:
    run = SessionRun()
    run.add(span(1, 0, number=1))
    run.add(span(2, 2 * GAP, number=2))
    run.add(span(3, GAP))
    run.add(span(2, 2 * GAP, number=2))
    run.add(span(4, 1))
    assert (run.window["span_count"], run.window["duplicate_span_count"]) == (4, 1)


def test_a_copy_of_a_span_in_a_sealed_window_is_a_copy() -> None:
    run = SessionRun()
    run.add_each(span(1, 0, number=number) for number in range(1, 11))
    run.add(span(1, 0, number=1))
    assert run.window["close_reason"] == "max_spans"
    assert run.outcome("duplicate") == 1


def test_duplicates_add_up_over_a_merge() -> None:
    run = SessionRun()
    run.add_each([span(1, 0, number=1), span(1, 0, number=1), span(2, 2 * GAP, number=2), span(2, 2 * GAP, number=2)])
    run.add(span(3, GAP))
    assert run.window["duplicate_span_count"] == 2


def test_over_the_limit_the_identities_of_the_oldest_sealed_window_go_first() -> None:
    run = SessionRun(replace(POLICY, max_spans=3), max_identities=7)
    run.add_each(span(number, number, number=number) for number in range(1, 8))  # two sealed windows and one span
    assert run.outcome("identity_evicted") == 0
    run.add(span(8, 8, number=8))
    assert run.outcome("identity_evicted") == 3
    run.add_each([span(4, 4, number=4), span(7, 7, number=7)])  # still known
    assert run.outcome("duplicate") == 2
    run.add(span(1, 1, number=1))  # no longer known
    assert (run.outcome("duplicate"), run.outcome("added")) == (2, 9)


def test_without_sealed_windows_the_oldest_window_forgets() -> None:
    run = SessionRun(max_identities=3)
    run.add_each([span(1, 0, number=1), span(1, 1, number=2), span(2, 5 * GAP, number=3), span(2, 5 * GAP, number=4)])
    assert run.outcome("identity_evicted") == 2
    run.add(span(2, 5 * GAP, number=3))
    assert run.outcome("duplicate") == 1
    assert [row["span_count"] for row in run.windows] == [2, 2]


def test_what_was_forgotten_stays_forgotten_after_a_restart() -> None:
    run = SessionRun(replace(POLICY, max_spans=2), max_identities=2)
    run.add_each(span(number, number, number=number) for number in (1, 2, 3))
    run.flush()
    run.stage_run.crash()
    run.add(span(1, 1, number=1))
    assert (run.outcome("added"), run.outcome("duplicate"), run.outcome("identity_evicted")) == (4, 0, 2)


# Model calls


def test_tokens_and_cost_are_summed_exactly_over_model_calls() -> None:
    window = window_of(
        span(1, 0, call=call("a", 10, 5, cache_read=4, cache_write=1, prompt_cost=1, completion_cost=2, total_cost=3)),
        span(1, 0, call=call("b", 1, 2, reasoning=1, total_cost=10**12)),
        span(1, 0),
    )
    assert (window["prompt_tokens"], window["completion_tokens"], window["total_tokens"]) == (11, 7, 18)
    assert (window["cache_read_tokens"], window["cache_write_tokens"], window["reasoning_tokens"]) == (4, 1, 1)
    assert (window["prompt_cost"], window["completion_cost"]) == ("0.000000000001", "0.000000000002")
    assert window["total_cost"] == "1.000000000003"
    assert (window["llm_call_count"], window["unpriced_call_count"], window["span_count"]) == (2, 0, 3)
    assert window["total_tokens_by_model"] == {"a": 15, "b": 3}
    assert window["total_cost_by_model"] == {"a": "0.000000000003", "b": "1.000000000000"}


def test_a_call_without_a_price_is_unpriced_and_not_free() -> None:
    window = window_of(span(1, 0, call=call("a", 1, 1)), span(1, 0, call=call("b", 1, 1, total_cost=0)))
    assert (window["unpriced_call_count"], window["total_cost_by_model"]) == (1, {"b": "0.000000000000"})


def test_absent_tokens_are_not_zero_tokens() -> None:
    window = window_of(span(1, 0, call=call("a", None, None)), span(1, 0, call=call("b", 0, 0)))
    assert window["total_tokens_by_model"] == {"b": 0}
    assert window["models"] == ["a", "b"]


def nested(*tokens: tuple[int, int] | None, model: str = "m") -> list[SpanFacts]:
    """A chain of spans, each the parent of the next, each a model call with these tokens."""
    return [
        span(1, 0, 10 - depth, number=depth + 1, parent=depth, call=None if used is None else call(model, *used))
        for depth, used in enumerate(tokens)
    ]


@pytest.mark.parametrize(
    ("chain", "calls", "prompt"),
    [
        ([(10, 5), (10, 5)], 1, 10),
        ([(10, 5), (10, 5), (10, 5)], 1, 10),
        ([(10, 5), (10, 6)], 2, 20),
        ([(10, 5), (11, 5)], 2, 21),
        ([(10, 5), None, (10, 5)], 2, 20),  # not directly under it
        ([(10, 5), (10, 5), (7, 5)], 2, 17),
        ([(7, 5), (10, 5), (10, 5)], 2, 17),
        ([(10, 5), (10, 5), (7, 5), (7, 5)], 2, 17),
        ([(0, 0), (0, 0)], 1, 0),
    ],
)
def test_two_instrumentations_of_one_call_count_once_in_any_order_of_arrival(
    chain: list[tuple[int, int] | None], calls: int, prompt: int
) -> None:
    window = same_in_any_order(nested(*chain))
    assert (window["llm_call_count"], window["prompt_tokens"]) == (calls, prompt)
    assert window["span_count"] == len(chain)


def test_calls_without_both_token_numbers_are_no_twins() -> None:
    chain = [span(1, 0, number=1, call=call("m", 5, None)), span(1, 0, number=2, parent=1, call=call("m", 5, None))]
    assert same_in_any_order(chain)["llm_call_count"] == 2


def test_the_inner_of_two_instrumentations_gives_cost_and_model_sums() -> None:
    outer = span(1, 0, 9, number=1, call=call("wrapper", 10, 5, total_cost=99))
    inner = span(1, 1, 8, number=2, parent=1, call=call("gpt", 10, 5, total_cost=7))
    window = same_in_any_order([outer, inner])
    assert (window["total_cost"], window["total_tokens_by_model"]) == ("0.000000000007", {"gpt": 15})


def test_several_children_with_the_tokens_of_their_parent_each_count_and_the_parent_does_not() -> None:
    spans = [span(1, 0, number=1, call=call("m", 10, 5))]
    spans += [span(1, 0, number=number, parent=1, call=call("m", 10, 5)) for number in (2, 3)]
    assert same_in_any_order(spans)["llm_call_count"] == 2


def test_twins_in_two_traces_are_two_calls() -> None:
    outer = span(1, 0, number=1, call=call("m", 10, 5))
    other = span(2, 0, number=2, parent=1, call=call("m", 10, 5))
    assert same_in_any_order([outer, other])["llm_call_count"] == 2


def test_a_turn_has_the_usage_of_its_own_calls() -> None:
    turn = turn_of(*nested((10, 5), (10, 5), (3, 2)))
    assert (turn["llm_call_count"], turn["total_tokens"], turn["span_count"]) == (2, 20, 3)


def test_costs_beyond_64_bits_are_kept_exactly() -> None:
    run = SessionRun()
    for number in range(1, 4):
        run.add(span(1, 0, number=number, call=call("m", 5, 0, total_cost=2**63)))
        run.flush()
    assert run.window["total_cost"] == f"{3 * 2**63 // 10**12}.{3 * 2**63 % 10**12:012d}"
