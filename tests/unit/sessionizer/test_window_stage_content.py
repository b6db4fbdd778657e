"""What a window and its turns hold: last writers, sets, roots, errors, times."""

from typing import Any

import pytest

from services.shared.model.span import Dimensions
from tests.support.session_run import GAP, SessionRun, same_in_any_order, span, turn_of
from tests.support.spans import SECOND, T0, call

# Last writers, sets


def test_dimensions_are_unions_and_last_writers_by_end_in_any_order() -> None:
    def said(**more: Any) -> Dimensions:
        return Dimensions(**more)

    spans = [
        span(1, 0, 9, dimensions=said(user_id="u2", environment="late", tags=("b", "a"), metadata=(("k", "late"),))),
        span(
            1, 5, 6, dimensions=said(user_id="u1", environment="early", tags=("c",), metadata=(("k", "x"), ("l", "y")))
        ),
        span(2, 7, 8, dimensions=said(service="bot", agent="router", session=(("session.type", "chat"),))),
    ]
    window = same_in_any_order(spans)
    assert (window["user_ids"], window["tags"]) == (["u1", "u2"], ["a", "b", "c"])
    assert (window["service_names"], window["agent_names"]) == (["bot"], ["router"])
    assert (window["environment"], window["environment_at"]) == ("late", T0 + 9)
    assert (window["metadata"], window["metadata_at"]) == ({"k": "late", "l": "y"}, {"k": T0 + 9, "l": T0 + 6})
    assert window["session_attributes"] == {"session.type": "chat"}
    assert window["session_attributes_at"] == {"session.type": T0 + 8}


def test_between_spans_that_end_together_the_greater_ids_write_last() -> None:
    spans = [
        span(2, 0, 9, number=1, dimensions=Dimensions(environment="second trace")),
        span(1, 0, 9, number=3, dimensions=Dimensions(environment="third span")),
        span(1, 0, 9, number=2, dimensions=Dimensions(environment="second span")),
    ]
    assert same_in_any_order(spans)["environment"] == "second trace"
    assert same_in_any_order(spans[1:])["environment"] == "third span"


def test_models_are_those_of_model_calls() -> None:
    window = same_in_any_order([span(1, 0, call=call("b", 1, 1)), span(1, 0, call=call("a", 1, 1)), span(1, 0)])
    assert window["models"] == ["a", "b"]


# Roots, texts, errors


def test_first_input_and_last_output_are_those_of_root_spans() -> None:
    spans = [
        span(1, 10, 90, input="first", output="last"),
        span(2, 20, 50, input="second", output="earlier"),
        span(3, 0, 99),  # has neither
        span(4, 0, 99, parent=5, input="no root", output="no root"),
    ]
    window = same_in_any_order(spans)
    assert (window["first_input"], window["first_input_at"]) == ("first", T0 + 10)
    assert (window["last_output"], window["last_output_at"]) == ("last", T0 + 90)


def test_an_error_is_a_span_with_status_error_and_a_turn_with_one_has_one() -> None:
    spans = [
        span(1, 0, 5, is_error=True, error="late text"),
        span(1, 0, 4, is_error=True, error="early text"),
        span(2, 0, 9, is_error=True),
        span(3, 0),
    ]
    window = same_in_any_order(spans)
    assert (window["error_count"], window["error_turn_count"], window["turn_count"]) == (3, 2, 3)
    assert (window["last_error"], window["last_error_at"]) == ("late text", T0 + 5)


def test_a_turn_is_named_by_its_earliest_root_and_needs_none() -> None:
    assert turn_of(span(1, 0, parent=9))["root_span_id"] == ""
    turn = turn_of(span(1, 5, number=1, name="late"), span(1, 3, number=2, name="early"), span(1, 0, parent=1))
    assert (turn["root_name"], turn["root_span_id"]) == ("early", f"{2:016x}")
    assert (turn["started_at"], turn["ended_at"]) == (T0, T0 + 5)


def test_a_turn_has_the_model_that_was_called_last_and_the_first_token_of_the_first_call() -> None:
    turn = turn_of(
        span(1, 0, 9, call=call("last", 1, 1)),
        span(1, 1, 5, call=call("first", 1, 1), time_to_first_token=40),
        span(1, 2, 4, call=call("", 1, 1), time_to_first_token=20),
        span(1, 0, 99, time_to_first_token=7),  # no model call
    )
    assert (turn["model"], turn["time_to_first_token_ns"]) == ("last", 40)


# Times


def test_active_time_is_the_union_of_turns_and_needs_no_root() -> None:
    window = same_in_any_order([span(1, 0, 10, parent=9), span(2, 5, 20, parent=9), span(3, 30, 31), span(2, 12, 25)])
    assert window["active_ns"] == 25 + 1
    assert window["window_end"] - window["window_start"] == 31


def test_a_turns_silence_is_active_time() -> None:
    assert same_in_any_order([span(1, 0, 1), span(1, 50, 51)])["active_ns"] == 51


def test_latency_quantiles_are_those_of_turns_as_they_are_now() -> None:
    run = SessionRun()
    run.add_each(span(number, 0, SECOND) for number in range(1, 10))
    run.add(span(9, SECOND, 20 * SECOND))
    window = run.window
    assert sum(window["turn_latency_buckets"].values()) == 9
    assert window["turn_latency_p50_ns"] == pytest.approx(SECOND, rel=0.02)
    assert window["turn_latency_p95_ns"] == pytest.approx(20 * SECOND, rel=0.02)


def test_a_merge_adds_everything_up() -> None:
    said = Dimensions(user_id="u", metadata=(("k", "v"),))
    spans = [
        span(1, 0, 2, is_error=True, error="e", call=call("m", 1, 2, total_cost=5), dimensions=said, input="in"),
        span(2, 2 * GAP, 2 * GAP + 4, is_tool_call=True, call=call("m", 3, 4, total_cost=6), output="out"),
        span(3, GAP),
    ]
    window = same_in_any_order(spans)
    assert (window["turn_count"], window["error_turn_count"], window["tool_call_count"]) == (3, 1, 1)
    assert (window["total_tokens_by_model"], window["total_cost"]) == ({"m": 10}, "0.000000000011")
    assert (window["first_input"], window["last_output"], window["last_error"]) == ("in", "out", "e")
    assert (window["user_ids"], window["metadata"], window["active_ns"]) == (["u"], {"k": "v"}, 6)
    assert sum(window["turn_latency_buckets"].values()) == 3


def test_turns_that_grow_after_a_merge_in_the_same_record_are_counted_as_they_are() -> None:
    run = SessionRun()
    run.add(span(1, 0))
    run.add(span(2, 2 * GAP))
    run.add(span(1, 1), span(2, 2 * GAP + 1), span(3, GAP), span(1, 5), span(2, 2 * GAP + 7), span(3, GAP + 9))
    assert run.window["active_ns"] == 5 + 7 + 9
    assert run.window["turn_latency_buckets"] == {"5": 1, "7": 1, "9": 1}
