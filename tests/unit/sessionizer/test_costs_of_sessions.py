"""What a session used and cost: its model calls, each once, summed exactly from span to stored row."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from random import Random

import genai_prices
import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.sink.rows import COLUMNS, WINDOWS, rollup_rows
from tests.support.nested_traces import SESSION, TRACES, NestedTrace
from tests.support.otlp import MINUTE, SECOND, T0, request, span
from tests.support.sessions import sessions_of
from tests.support.stage_run import Row

RECORD_TIME = T0 + MINUTE
NAMES = [trace.name for trace in TRACES]


def dollars(model: str, prompt: int, completion: int, provider: str = "openai") -> Decimal:
    """By the library itself."""
    return genai_prices.calc_price(
        genai_prices.Usage(input_tokens=prompt, output_tokens=completion),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(T0 // SECOND, UTC),
    ).total_price


def request_of(trace: NestedTrace, order: list[int]) -> TracesData:
    spans = [
        span(
            span_id=place + 1,
            parent_id=b"" if parent is None else parent + 1,
            start=T0 + place,
            end=T0 + SECOND - place,
            name=name,
            attributes=attributes,
        )
        for place, (parent, name, attributes) in enumerate(trace.spans)
    ]
    return request(*(spans[place] for place in order))


@pytest.mark.parametrize("trace", TRACES, ids=NAMES)
def test_the_totals_of_a_nested_trace_are_those_of_its_model_calls(trace: NestedTrace) -> None:
    by_model: dict[str, Decimal] = defaultdict(Decimal)
    for call in trace.calls:
        by_model[call[0]] += dollars(*call)
    orders = list(permutations(range(len(trace.spans))))
    for order in (orders[0], orders[-1], *Random(1).sample(orders, min(4, len(orders)))):
        sessions = sessions_of([request_of(trace, list(order))], RECORD_TIME)
        [window], [turn] = sessions.windows.values(), sessions.turns[SESSION]
        for row in (window, turn):
            assert row["prompt_tokens"] == sum(prompt for _, prompt, _ in trace.calls)
            assert row["completion_tokens"] == sum(completion for *_, completion in trace.calls)
            assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
            assert row["unpriced_call_count"] == trace.unpriced
            assert row["llm_call_count"] == len(trace.calls) + trace.unpriced
            assert Decimal(row["total_cost"]) == sum(by_model.values())
            assert Decimal(row["prompt_cost"]) + Decimal(row["completion_cost"]) == Decimal(row["total_cost"])
        assert {
            model: Decimal(cost) for model, cost in window["total_cost_by_model"].items() if Decimal(cost)
        } == by_model
        for part in ("prompt_cost", "completion_cost"):
            assert sum(map(Decimal, window[f"{part}_by_model"].values())) == Decimal(window[part])


MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4.1-nano"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("google", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),
    ("", "nobody-knows-it"),
]


def many_calls(random: Random, count: int) -> TracesData:
    spans = []
    for number in range(count):
        provider, model = random.choice(MODELS)
        prompt = random.randrange(300_000)
        attributes = {
            "session.id": "s",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": random.randrange(10_000),
            "gen_ai.usage.cache_read.input_tokens": random.randrange(prompt + 1),
        }
        if random.random() < 0.2:
            attributes["gen_ai.usage.cost"] = random.random()
        spans.append(span(span_id=number + 1, trace_id=number // 7 + 1, start=T0 + number, attributes=attributes))
    return request(*spans)


def stored(window: Row) -> dict[str, object]:
    [(table, values)] = rows if isinstance(rows := rollup_rows(orjson.dumps(window), 0), list) else []
    assert table == WINDOWS
    return dict(zip(COLUMNS[WINDOWS], values, strict=True))


def test_the_sum_over_models_is_the_total_of_the_session_exactly() -> None:
    sessions = sessions_of([many_calls(Random(7), 500)], RECORD_TIME)
    [window] = sessions.windows.values()
    row = stored(window)

    assert isinstance(by_model := row["total_cost_by_model"], dict)
    assert sum(by_model.values()) == row["total_cost"] == sum(Decimal(t["total_cost"]) for t in sessions.turns["s"])
    assert row["total_cost"] > Decimal(1)
    assert sum(window["total_tokens_by_model"].values()) == window["total_tokens"]


def test_a_call_of_a_model_without_a_price_is_counted_and_costs_neither_something_nor_nothing() -> None:
    sessions = sessions_of([many_calls(Random(7), 500)], RECORD_TIME)
    [window] = sessions.windows.values()
    unpriced = sum(
        1
        for item in many_calls(Random(7), 500).resource_spans[0].scope_spans[0].spans
        if (names := {each.key: each.value for each in item.attributes})["gen_ai.request.model"].string_value
        == "nobody-knows-it"
        and "gen_ai.usage.cost" not in names
    )

    assert window["unpriced_call_count"] == unpriced > 0
    assert window["llm_call_count"] == 500


def test_a_prompt_version_that_changes_inside_a_session_is_billed_to_the_turns_that_ran_under_it() -> None:
    told = {"session.id": "s", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    calls = [("7", 1_000, 100), ("8", 2_000, 50), ("8", 400, 30)]
    spans = [
        span(
            trace_id=number,
            start=T0 + number * SECOND,
            attributes=told
            | {
                "session.prompt_version": version,
                "gen_ai.usage.input_tokens": prompt,
                "gen_ai.usage.output_tokens": completion,
            },
        )
        for number, (version, prompt, completion) in enumerate(calls, start=1)
    ]
    sessions = sessions_of([request(*spans)], RECORD_TIME)

    assert [(turn["session_attributes"], Decimal(turn["total_cost"])) for turn in sessions.turns["s"]] == [
        ({"session.prompt_version": version}, dollars("gpt-4o", prompt, completion))
        for version, prompt, completion in calls
    ]
    assert sessions.windows["s"]["session_attributes"] == {"session.prompt_version": "8"}
