"""What real instrumentation makes of the demo's conversations: the demo is only worth something if this holds."""

from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.demo.conversations import CONVERSATIONS, HeldConversation
from services.demo.traffic import hold
from tests.support.otlp_receiver import Receiver

Traffic = tuple[tuple[HeldConversation, ...], list[Span], Receiver]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    with Receiver().listening() as receiver:
        held = hold(CONVERSATIONS, endpoint=receiver.endpoint, project="shop", run="1")
    spans = [
        span
        for request in receiver.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return held, spans, receiver


def _attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


def test_every_turn_is_one_trace_whose_root_has_the_question_and_the_answer(traffic: Traffic) -> None:
    held, spans, _ = traffic
    roots = {span.trace_id.hex(): _attributes(span) for span in spans if not span.parent_span_id}

    assert {
        trace_id: (root["session.id"], root["input.value"], root["output.value"]) for trace_id, root in roots.items()
    } == {turn.trace_id: (talk.session_id, turn.input, turn.output) for talk in held for turn in talk.turns}


def test_every_span_names_its_session_its_user_and_its_project(traffic: Traffic) -> None:
    held, spans, receiver = traffic
    users = {talk.session_id: talk.user for talk in held}
    resources = [resource.resource for request in receiver.requests for resource in request.resource_spans]

    assert all(users[_attributes(span)["session.id"]] == _attributes(span)["user.id"] for span in spans)
    assert all(
        "shop" in [pair.value.string_value for pair in resource.attributes if pair.key == "openinference.project.name"]
        for resource in resources
    )


def test_tokens_of_the_model_calls_are_those_the_model_server_reported(traffic: Traffic) -> None:
    held, spans, _ = traffic
    tokens: Counter[str] = Counter()
    for span in spans:
        attributes = _attributes(span)
        if attributes["openinference.span.kind"] == "LLM":
            tokens[attributes["session.id"]] += attributes.get("llm.token_count.total", 0)

    assert tokens == {talk.session_id: talk.prompt_tokens + talk.completion_tokens for talk in held}


def test_tool_calls_and_model_calls_have_spans_under_their_turn(traffic: Traffic) -> None:
    held, spans, _ = traffic
    kinds = Counter((span.trace_id.hex(), _attributes(span)["openinference.span.kind"]) for span in spans)

    for turn in (turn for talk in held for turn in talk.turns):
        assert (kinds[turn.trace_id, "LLM"], kinds[turn.trace_id, "TOOL"]) == (turn.llm_calls, turn.tool_calls)
    assert sum(turn.tool_calls for talk in held for turn in talk.turns) > 0


def test_the_model_call_that_failed_is_the_only_error(traffic: Traffic) -> None:
    held, spans, _ = traffic
    failed = [span.trace_id.hex() for span in spans if span.status.code == Status.STATUS_CODE_ERROR]

    assert failed == [turn.trace_id for talk in held for turn in talk.turns if turn.has_error]
    assert len(failed) == 1
