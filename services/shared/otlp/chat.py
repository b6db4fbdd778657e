"""PURE: the messages of a stored model call, out of its attributes as a flat JSON object.

The forms: OpenInference's and Traceloop's indexed attributes, the GenAI conventions' lists of
messages with parts, and lists of `{role, content}` as most others write them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.shared.otlp.messages import listed_messages
from services.shared.otlp.values import from_json, text_of

Attributes = Mapping[str, Any]

_INPUT_LISTS = (
    "gen_ai.input.messages",
    "gen_ai.prompt",
    "ai.prompt.messages",
    "ai.prompt",
    "langfuse.observation.input",
)
_OUTPUT_LISTS = ("gen_ai.output.messages", "gen_ai.completion", "langfuse.observation.output")
_TEXTS_IN = ("input.value", "mlflow.spanInputs", "traceloop.entity.input", "langfuse.trace.input", "user_prompt")
_TEXTS_OUT = (
    "output.value",
    "ai.response.text",
    "mlflow.spanOutputs",
    "traceloop.entity.output",
    "langfuse.trace.output",
)
_INDEXED_IN, _INDEXED_OUT = ("llm.input_messages", "gen_ai.prompt"), ("llm.output_messages", "gen_ai.completion")
_INDEX = re.compile(r"([0-9]{1,6})\.(?:message\.)?(.+)", re.ASCII)
_CALL = re.compile(r"tool_calls\.([0-9]{1,6})\.(?:tool_call\.)?(?:function\.)?(name|arguments|id)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks to be called. `arguments` is text, mostly JSON."""

    name: str
    arguments: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def messages_in(attributes: Attributes) -> list[Message]:
    """What the model was sent, in order; of attributes without a list of messages, their text as the user's."""
    return _messages(attributes, _INDEXED_IN, _INPUT_LISTS, _TEXTS_IN, "user")


def messages_out(attributes: Attributes) -> list[Message]:
    """What the model answered."""
    return _messages(attributes, _INDEXED_OUT, _OUTPUT_LISTS, _TEXTS_OUT, "assistant")


def text_in(attributes: Attributes) -> str:
    """The input of any span: the text of the user's last message, else of the last."""
    messages = messages_in(attributes)
    of_user = [message.text for message in messages if message.text and message.role == "user"]
    return (of_user or [message.text for message in messages if message.text] or [""])[-1]


def text_out(attributes: Attributes) -> str:
    """The output of any span: the text of the last message."""
    return ([message.text for message in messages_out(attributes) if message.text] or [""])[-1]


def _messages(
    attributes: Attributes, indexed: Sequence[str], lists: Sequence[str], texts: Sequence[str], role: str
) -> list[Message]:
    for name in indexed:
        if found := _indexed(attributes, f"{name}.", role):
            return found
    for name in (*lists, *texts):
        if name in attributes and (found := _listed(attributes[name], role)):
            return found
    for name in (*texts, *lists):
        if text := text_of(attributes.get(name)):
            return [Message(role, text)]
    return []


def _indexed(attributes: Attributes, prefix: str, role: str) -> list[Message]:
    by_index: dict[int, dict[str, Any]] = {}
    for name in sorted(attributes):
        if name.startswith(prefix) and (match := _INDEX.fullmatch(name[len(prefix) :])):
            by_index.setdefault(int(match[1]), {})[match[2]] = attributes[name]
    return [_of_fields(fields, role) for _, fields in sorted(by_index.items())]


def _of_fields(fields: Mapping[str, Any], role: str) -> Message:
    calls: dict[int, dict[str, str]] = {}
    texts = [text_of(fields["content"])] if "content" in fields else []
    for name, value in fields.items():
        if match := _CALL.fullmatch(name):
            calls.setdefault(int(match[1]), {})[match[2]] = text_of(value)
        elif name.startswith("contents.") and name.endswith(".text"):
            texts.append(text_of(value))
    return Message(
        text_of(fields.get("role")) or role,
        "\n".join(texts),
        tuple(
            ToolCall(call.get("name", ""), call.get("arguments", ""), call.get("id", ""))
            for _, call in sorted(calls.items())
        ),
    )


def _listed(value: object, role: str) -> list[Message]:
    document = from_json(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    listed = listed_messages(document)
    if listed is None:
        return []
    found = [_of_object(each, role) for each in listed if isinstance(each, dict)]
    return [message for message in found if message.text or message.tool_calls]


def _of_object(message: Mapping[str, Any], role: str) -> Message:
    content = message.get("content", message.get("parts"))
    parts: list[Any] = content if isinstance(content, list) else [content]
    calls = [*_calls(message.get("tool_calls") or ()), *_calls(part for part in parts if _is_call(part))]
    return Message(text_of(message.get("role")) or role, "\n".join(filter(None, map(_text, parts))), tuple(calls))


def _is_call(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ("tool_call", "tool-call", "tool_use")


def _text(part: object) -> str:
    if not isinstance(part, dict):
        return text_of(part)
    if part.get("type", "text") != "text":
        return ""
    return text_of(part.get("content", part.get("text")))


def _calls(found: Iterable[Any]) -> list[ToolCall]:
    calls = []
    for call in found:
        if not isinstance(call, dict):
            continue
        function = call.get("function") if isinstance(call.get("function"), dict) else call
        assert isinstance(function, dict)
        name = text_of(function.get("name", function.get("toolName")))
        arguments = next((function[key] for key in ("arguments", "args", "input") if key in function), None)
        calls.append(ToolCall(name, text_of(arguments), text_of(call.get("id", call.get("toolCallId")))))
    return calls
