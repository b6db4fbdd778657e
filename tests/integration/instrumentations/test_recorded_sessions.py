"""Instrumentations of today, recorded as they run: each gives the right session, turns, tokens, text and cost."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from services.demo.model_server import MODEL
from tests.support.instrumentations import Recording, record
from tests.support.otlp import MINUTE
from tests.support.sessions import Sessions, sessions_of

pytestmark = pytest.mark.slow

SESSION = "conversation 7"
QUESTIONS = ("Where is my order AB-1234?", "thank you")
ANSWERS = ("Order AB-1234 is on its way.", "You are welcome. Have a good day!")


@dataclass(frozen=True, slots=True)
class Program:
    """What a program of `programs/` tells besides calls and tokens."""

    name: str
    users: tuple[str, ...] = ("u-7",)
    tool_calls: int = 0  # an instrumentation of a model's client sees none


PROGRAMS = (
    Program("openinference_openai"),
    Program("openinference_langchain", tool_calls=1),
    Program("otel_openai_v2"),  # its root, the application's span, has no text: that of its model calls counts
    Program("traceloop_openai"),
    Program("langfuse_sdk", tool_calls=1),
    Program("pydantic_ai_agent", users=(), tool_calls=1),
)


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def recorded(request: pytest.FixtureRequest) -> tuple[Program, Recording, Sessions]:
    recording = record(request.param.name, SESSION)
    latest = max(
        item.end_time_unix_nano
        for data in recording.requests
        for resource in data.resource_spans
        for scope in resource.scope_spans
        for item in scope.spans
    )
    return request.param, recording, sessions_of(recording.requests, latest + MINUTE)


def test_the_conversation_is_one_session_with_a_turn_for_each_question(
    recorded: tuple[Program, Recording, Sessions],
) -> None:
    program, recording, sessions = recorded
    assert list(sessions.windows) == [SESSION]
    window = sessions.windows[SESSION]

    assert window["turn_count"] == len(QUESTIONS)
    assert window["llm_call_count"] == len(recording.answered) == 3
    assert window["tool_call_count"] == program.tool_calls
    assert window["error_count"] == 0
    assert tuple(window["user_ids"]) == program.users
    assert window["models"] == [MODEL]


def test_tokens_are_those_that_the_model_told_and_cost_is_the_price_of_them(
    recorded: tuple[Program, Recording, Sessions],
) -> None:
    _, recording, sessions = recorded
    window, turns = sessions.windows[SESSION], sessions.turns[SESSION]
    dollars = Decimal(0)
    for usage in recording.answered:
        counted = genai_prices.Usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
        at = datetime.fromtimestamp(window["window_start"] // 10**9, UTC)
        dollars += genai_prices.calc_price(counted, MODEL, provider_id="openai", genai_request_timestamp=at).total_price

    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        told = [usage[name] for usage in recording.answered]
        assert window[name] == sum(told)
        assert [turn[name] for turn in turns] == [told[0] + told[1], told[2]]
    assert window["unpriced_call_count"] == 0
    assert Decimal(window["total_cost"]) == dollars == sum(Decimal(turn["total_cost"]) for turn in turns)


def test_a_turn_says_what_was_asked_and_answered(recorded: tuple[Program, Recording, Sessions]) -> None:
    _, _, sessions = recorded
    said = [(turn["input"], turn["output"]) for turn in sessions.turns[SESSION]]
    expected = zip(QUESTIONS, ANSWERS, strict=True)

    for (text_in, text_out), (question, answer) in zip(said, expected, strict=True):
        assert question in text_in
        assert answer in text_out
