"""Messages out of the attributes of stored spans, in every form."""

import json
from typing import Any

import pytest

from services.shared.otlp.chat import Message, ToolCall, messages_in, messages_out, text_in, text_out

CALL = ToolCall("track", '{"order": 1}', "call-1")
OPENINFERENCE = {
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Where?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Wait.",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call-1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "track",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"order": 1}',
    "input.value": "not this",
}
TRACELOOP = {
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be kind.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Where?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Wait.",
    "gen_ai.completion.0.tool_calls.0.id": "call-1",
    "gen_ai.completion.0.tool_calls.0.name": "track",
    "gen_ai.completion.0.tool_calls.0.arguments": '{"order": 1}',
}
GEN_AI = {
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where?"}, {"type": "blob", "content": "AAAA"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "Wait."},
                    {"type": "tool_call", "id": "call-1", "name": "track", "arguments": '{"order": 1}'},
                ],
            }
        ]
    ),
}
OPENAI = {
    "langfuse.observation.input": json.dumps(
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where?"}]}
    ),
    "langfuse.observation.output": json.dumps(
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [{"id": "call-1", "function": {"name": "track", "arguments": '{"order": 1}'}}],
        }
    ),
}


@pytest.mark.parametrize("attributes", [OPENINFERENCE, TRACELOOP, GEN_AI, OPENAI])
def test_every_form_gives_the_same_messages(attributes: dict[str, Any]) -> None:
    assert messages_in(attributes) == [Message("system", "Be kind."), Message("user", "Where?")]
    assert messages_out(attributes) == [Message("assistant", "Wait.", (CALL,))]
    assert (text_in(attributes), text_out(attributes)) == ("Where?", "Wait.")


def test_text_without_messages_is_one_message() -> None:
    attributes = {"input.value": "Where?", "output.value": '{"answer": 1}'}

    assert messages_in(attributes) == [Message("user", "Where?")]
    assert messages_out(attributes) == [Message("assistant", '{"answer": 1}')]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"gen_ai.input.messages": "[", "gen_ai.output.messages": None},
        {"gen_ai.input.messages": 7, "gen_ai.output.messages": [1, None, "x"]},
        {"gen_ai.input.messages": [{"role": 1, "parts": {"a": 1}}], "gen_ai.output.messages": {"messages": [[]]}},
        {"gen_ai.output.messages": [{"tool_calls": [1, {"function": 7}], "content": [None, 7]}]},
    ],
)
def test_anything_can_be_read(attributes: dict[str, Any]) -> None:
    for message in (*messages_in(attributes), *messages_out(attributes)):
        assert isinstance(message.text, str)
