"""Which spans are model calls, and what they used and cost."""

import math
from decimal import Decimal
from typing import Any

import pytest

from services.shared.model.span import PICODOLLARS, ModelCall, SpanFacts
from services.shared.otlp.numbers import MAX_COUNT
from services.shared.otlp.span_kind import KINDS, MODEL_CALLS, Kind
from services.shared.semconv import TABLE, Meaning
from tests.support.extraction import attributes_give, call_of, extraction_of
from tests.support.otlp import request, span

LLM = {"openinference.span.kind": "LLM"}
USAGE = {"llm.model_name": "gpt-4o", "llm.token_count.prompt": 10, "llm.token_count.completion": 3}
WORDS = [(name, word, kind) for name, words in KINDS.items() for word, kind in words.items()]


@pytest.mark.parametrize(("name", "word", "kind"), WORDS, ids=[f"{name}={word}" for name, word, _ in WORDS])
def test_a_span_counts_when_its_kind_is_a_model_call_compared_without_case(name: str, word: str, kind: Kind) -> None:
    for text in (word, word.upper(), f" {word.title()} "):
        facts = attributes_give({name: text} | USAGE)
        assert (facts.call is not None) == (kind in MODEL_CALLS)
        assert facts.is_tool_call == (kind is Kind.TOOL)


def test_an_unknown_kind_is_no_model_call_whatever_usage_it_repeats() -> None:
    assert call_of({"openinference.span.kind": "NEW"} | USAGE) is None
    assert call_of({"openinference.span.kind": "UNKNOWN"} | USAGE) is None
    assert call_of({"gen_ai.operation.name": "create_memory"} | USAGE) is None


def test_the_first_convention_that_is_present_decides() -> None:
    assert call_of({"gen_ai.operation.name": "chat", "openinference.span.kind": "CHAIN"} | USAGE) is None
    assert call_of({"gen_ai.operation.name": "invoke_agent", "openinference.span.kind": "llm"} | USAGE) is not None
    assert call_of({"gen_ai.operation.name": "chat", "openinference.span.kind": ""} | USAGE) is not None
    assert call_of({"llm.request.type": "chat", "traceloop.span.kind": "workflow"} | USAGE) is None


@pytest.mark.parametrize("missing", ["llm.model_name", "usage"])
def test_a_span_without_any_kind_counts_when_it_has_a_model_and_usage(missing: str) -> None:
    attributes: dict[str, Any] = dict(USAGE)
    assert call_of(attributes) is not None
    for name in [missing] if missing != "usage" else ["llm.token_count.prompt", "llm.token_count.completion"]:
        del attributes[name]
    assert call_of(attributes) is None


def test_a_model_call_without_usage_is_a_call_whose_tokens_are_absent() -> None:
    assert call_of(LLM) == ModelCall()


COUNTED = [
    (Meaning.PROMPT_TOKENS, "prompt"),
    (Meaning.COMPLETION_TOKENS, "completion"),
    (Meaning.TOTAL_TOKENS, "total"),
    (Meaning.CACHE_READ_TOKENS, "cache_read"),
    (Meaning.CACHE_WRITE_TOKENS, "cache_write"),
    (Meaning.REASONING_TOKENS, "reasoning"),
]
COUNTED_NAMES = [(name, part) for meaning, part in COUNTED for name in TABLE[meaning].names]


def under(name: str, value: object) -> dict[str, Any]:
    """The attribute of that name; of `a{b}` the attribute `a` with a JSON object."""
    attribute, _, key = name.removesuffix("}").partition("{")
    return {attribute: f'{{"{key}": {value}}}'} if key else {name: value}


@pytest.mark.parametrize(("name", "part"), COUNTED_NAMES, ids=[f"{name}" for name, _ in COUNTED_NAMES])
def test_every_name_of_the_table_is_counted(name: str, part: str) -> None:
    call = call_of(LLM | under(name, 17))

    assert call is not None
    assert getattr(call, part) == 17


@pytest.mark.parametrize(("meaning", "part"), COUNTED)
def test_the_same_usage_under_several_names_counts_once_by_precedence(meaning: Meaning, part: str) -> None:
    names = [name for name in TABLE[meaning].names if "{" not in name]
    attributes = {name: 100 + index for index, name in enumerate(names)}

    for given in (attributes, dict(reversed(attributes.items()))):
        call = call_of(LLM | given)
        assert call is not None
        assert getattr(call, part) == 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (" 7 ", 7),
        ("7.0", 7),
        ("+7", 7),
        (MAX_COUNT, MAX_COUNT),
        (MAX_COUNT + 1, None),
        (2**63 - 1, None),
        (-1, None),
        ("-1", None),
        (-1.0, None),
        (7.5, None),
        ("7.5", None),
        ("7_000", None),
        ("\u0667", None),
        ("1e3", None),
        ("9" * 100, None),
        ("", None),
        ("many", None),
        (True, None),
        (math.nan, None),
        (math.inf, None),
        (1e300, None),
        ([7], None),
        ({"a": 7}, None),
        (b"7", None),
        (None, None),
    ],
    ids=repr,
)
def test_a_token_count_is_a_whole_number_of_any_type_and_otherwise_absent(value: object, expected: int | None) -> None:
    call = call_of(LLM | {"llm.token_count.prompt": value})

    assert call is not None
    assert call.prompt == expected


def test_an_unusable_count_falls_through_to_the_next_name() -> None:
    call = call_of(LLM | {"gen_ai.usage.input_tokens": -1, "llm.token_count.prompt": 5})

    assert call is not None
    assert call.prompt == 5


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ({"prompt": 10, "completion": 3}, 13),
        ({"prompt": 10, "completion": 3, "total": 15}, 15),
        ({"prompt": 10}, 10),
        ({"completion": 3}, 3),
        ({"total": 15}, 15),
        ({"total": 0, "prompt": 1}, 0),
        ({}, None),
    ],
)
def test_a_total_that_is_absent_is_prompt_plus_completion(given: dict[str, int], total: int | None) -> None:
    call = call_of(LLM | {f"llm.token_count.{part}": count for part, count in given.items()})

    assert call is not None
    assert call.total == total


@pytest.mark.parametrize(
    ("value", "dollars"),
    [
        (0.0038975, "0.0038975"),
        ("0.0038975", "0.0038975"),
        (2, "2"),
        (0, "0"),
        (0.1, "0.1"),
        ("1e-12", "0.000000000001"),
        ("0.0000000000004", "0"),
        ("999999999.999999999999", "999999999.999999999999"),
        ("1000000000", None),
        (-0.1, None),
        ("-0", "0"),
        (math.nan, None),
        (math.inf, None),
        ("NaN", None),
        ("1e999999999", None),
        ("1e-999999999", "0"),
        ("0." + "1" * 100, None),
        ("$1", None),
        (True, None),
        ([1], None),
    ],
    ids=repr,
)
def test_money_is_exact_in_decimal_and_absent_when_it_cannot_be(value: object, dollars: str | None) -> None:
    call = call_of(LLM | {"llm.cost.total": value})

    assert call is not None
    assert call.total_cost == (None if dollars is None else int(Decimal(dollars) * PICODOLLARS))


@pytest.mark.parametrize(
    ("attributes", "costs"),
    [
        ({}, (None, None, None)),
        ({"llm.cost.total": 3}, (None, None, 3)),
        ({"llm.cost.prompt": 1, "llm.cost.completion": 2}, (1, 2, 3)),
        ({"llm.cost.prompt": 1, "llm.cost.completion": 2, "llm.cost.total": 4}, (1, 2, 4)),
        ({"llm.cost.prompt": 1, "gen_ai.usage.cost": 9}, (1, None, 1)),
        ({"gen_ai.usage.cost": 9}, (None, None, 9)),
        ({"gen_ai.usage.cost": 9, "langfuse.observation.cost_details": '{"input": 1, "output": 2}'}, (1, 2, 9)),
        ({"langfuse.observation.cost_details": '{"input": 1, "output": 2}'}, (1, 2, 3)),
        ({"langfuse.observation.cost_details": '{"input": 1, "output": 2, "total": 4}'}, (1, 2, 4)),
        ({"langfuse.observation.cost_details": {"total": 4}}, (None, None, 4)),
        ({"langfuse.observation.cost_details": "[1]"}, (None, None, None)),
        ({"langfuse.observation.cost_details": "{broken"}, (None, None, None)),
    ],
)
def test_cost_is_the_first_total_or_sum_of_parts_of_the_table(
    attributes: dict[str, Any], costs: tuple[int | None, int | None, int | None]
) -> None:
    call = call_of(LLM | attributes)

    assert call is not None
    expected = tuple(None if cost is None else cost * PICODOLLARS for cost in costs)
    assert (call.prompt_cost, call.completion_cost, call.total_cost) == expected


@pytest.mark.parametrize("name", TABLE[Meaning.MODEL].names)
def test_every_name_of_a_model_is_read(name: str) -> None:
    call = call_of(LLM | {name: " m "})

    assert call is not None
    assert call.model == "m"


def test_the_model_that_answered_comes_before_the_one_that_was_asked_for() -> None:
    call = call_of(LLM | {"gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06"})

    assert call is not None
    assert call.model == "gpt-4o-2024-08-06"


def test_terminal_colours_in_a_model_are_removed() -> None:
    call = call_of(LLM | {"model": "\x1b[1;34mclaude\x1b[0m"})

    assert call is not None
    assert call.model == "claude"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250_000_000),
        ({"gen_ai.response.time_to_first_chunk": "0.25"}, 250_000_000),
        ({"ai.response.msToFirstChunk": 12.5}, 12_500_000),
        ({"langfuse.observation.completion_start_time": "2025-06-15T15:06:40.500Z"}, 500_000_000),
        ({"langfuse.observation.completion_start_time": '"2025-06-15T17:06:41+02:00"'}, 1_000_000_000),
        ({"langfuse.observation.completion_start_time": "2025-06-15T15:06:39Z"}, None),
        ({"langfuse.observation.completion_start_time": "soon"}, None),
        ({"langfuse.observation.completion_start_time": 7}, None),
        ({"gen_ai.response.time_to_first_chunk": -1}, None),
        ({"gen_ai.response.time_to_first_chunk": "1e99"}, None),
        ({}, None),
    ],
)
def test_time_to_first_token_is_a_duration_in_ns_whatever_its_unit(
    attributes: dict[str, Any], expected: int | None
) -> None:
    assert attributes_give(attributes).time_to_first_token == expected


def tokens_of(attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> tuple[int | None, ...]:
    """Prompt, completion and total of a model call."""
    [group] = extraction_of(request(span(attributes=LLM | {"session.id": "s"} | attributes), resource=resource)).groups
    [facts] = group.items
    assert isinstance(facts, SpanFacts)
    assert facts.call is not None
    return facts.call.prompt, facts.call.completion, facts.call.total


LANGFUSE = "langfuse.observation.usage_details"
OPENLIT = {"telemetry.sdk.name": "openlit"}
CLAUDE = {"gen_ai.system": "anthropic", "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 9}
CACHED = {"gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.usage.cache_creation.input_tokens": 30}


@pytest.mark.parametrize(
    ("attributes", "resource", "tokens"),
    [
        (CLAUDE | CACHED, None, (900, 9, 909)),
        (CLAUDE | CACHED, OPENLIT, (1330, 9, 1339)),
        (CLAUDE | CACHED | {"gen_ai.usage.total_tokens": 909}, OPENLIT, (1330, 9, 1339)),
        (CLAUDE | CACHED | {"gen_ai.usage.total_tokens": 1339}, OPENLIT, (1330, 9, 1339)),
        (CLAUDE, OPENLIT, (900, 9, 909)),
        (CLAUDE | CACHED | {"gen_ai.system": "openai"}, OPENLIT, (900, 9, 909)),
        (CLAUDE | CACHED | {"gen_ai.usage.input_tokens": 20}, None, (450, 9, 459)),
        ({LANGFUSE: '{"input": 5, "output": 2, "input_cache_read": 100, "total": 107}'}, None, (105, 2, 107)),
        ({LANGFUSE: '{"input": 5, "output": 2, "output_reasoning": 3}'}, None, (5, 5, 10)),
        (
            {LANGFUSE: '{"prompt_tokens": 50, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 40}}'},
            None,
            (50, 2, 52),
        ),
        ({"input_tokens": 3, "output_tokens": 1, "cache_read_tokens": 2}, None, (5, 1, 6)),
    ],
)
def test_prompt_tokens_include_cached_ones_and_completions_reasoning_whoever_counts(
    attributes: dict[str, Any], resource: dict[str, Any] | None, tokens: tuple[int, int, int]
) -> None:
    assert tokens_of(attributes, resource) == tokens


def test_a_tool_call_has_the_name_of_its_tool_or_of_its_span_and_a_call_its_provider() -> None:
    tool = {"openinference.span.kind": "TOOL"}

    assert attributes_give(tool | {"tool.name": "lookup"}).tool == "lookup"
    assert attributes_give(tool).tool == "chat"
    assert attributes_give({"gen_ai.tool.name": "lookup"} | LLM).tool == ""
    call = call_of({"gen_ai.provider.name": "openai"} | LLM)
    assert call is not None
    assert call.provider == "openai"
