"""Previews of inputs and outputs: text as it is, or the message that matters of a list of them."""

import re
from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from services.shared.otlp.values import from_json, plain, text_of

_INDEXED = re.compile(
    r"(?P<list>llm\.input_messages|llm\.output_messages|gen_ai\.prompt|gen_ai\.completion)\.(?P<index>[0-9]{1,6})\."
    r"(?:message\.)?(?P<part>role|content|contents\.[0-9]{1,6}\.message_content\.text)",
    re.ASCII,
)
_LISTS_OF_MESSAGES = ("messages", "contents", "choices")
_INPUT_LISTS = ("llm.input_messages", "gen_ai.prompt")
_OUTPUT_LISTS = ("llm.output_messages", "gen_ai.completion")


def read_text(value: AnyValue) -> str | None:
    return value.string_value or text_or_none(plain(value))


def text_or_none(value: object) -> str | None:
    return text_of(value) or None


def read_input_messages(value: AnyValue) -> str | None:
    """Of a list of messages (GenAI form) the text of the user's last, else of the last. Other values as text."""
    return _preview(value, "user")


def read_output_messages(value: AnyValue) -> str | None:
    """Of a list of messages (GenAI form) the text of the last. Other values as text."""
    return _preview(value, "")


def is_indexed(name: str) -> bool:
    """Whether an attribute of this name is part of an indexed form."""
    return _INDEXED.fullmatch(name) is not None


def indexed_previews(attributes: Iterable[KeyValue]) -> tuple[str, str]:
    """Input and output of the indexed forms of OpenInference and Traceloop (`gen_ai.prompt.0.content`)."""
    lists: dict[str, dict[int, dict[str, str]]] = {}
    for item in attributes:
        match = _INDEXED.fullmatch(item.key)
        if match is None:
            continue
        message = lists.setdefault(match["list"], {}).setdefault(int(match["index"]), {})
        if match["part"] == "role":
            message["role"] = item.value.string_value
        else:
            text = item.value.string_value or text_of(plain(item.value))
            message["content"] = f"{message['content']}\n{text}" if "content" in message else text
    return _pick(lists, _INPUT_LISTS, "user"), _pick(lists, _OUTPUT_LISTS, "")


def _pick(lists: dict[str, dict[int, dict[str, str]]], names: Iterable[str], role: str) -> str:
    for name in names:
        messages = [
            (message.get("role", ""), message.get("content", "")) for _, message in sorted(lists.get(name, {}).items())
        ]
        if text := _last(messages, role):
            return text
    return ""


def _preview(value: AnyValue, role: str) -> str | None:
    text = value.string_value
    document = from_json(text) if text else plain(value)
    if (listed := listed_messages(document)) is not None:
        messages = [
            (text_of(message.get("role")), _content(message)) for message in listed if isinstance(message, dict)
        ]
        if chosen := _last(messages, role):
            return chosen
    return text or text_of(document) or None


def listed_messages(document: object) -> list[object] | None:
    """A list of messages as requests and answers of models hold it, one message, or the list itself."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return None
    for name in _LISTS_OF_MESSAGES:
        if isinstance(found := document.get(name), list):
            return [each.get("message", each) if isinstance(each, dict) else each for each in found]
    if isinstance(content := document.get("content"), dict):
        return [content]
    return [document] if "role" in document else None


def _last(messages: list[tuple[str, str]], role: str) -> str:
    texts = [text for _, text in messages if text]
    of_role = [text for who, text in messages if text and who == role]
    return (of_role or texts or [""])[-1]


def _content(message: dict[str, object]) -> str:
    """`content` (text or parts) or `parts`; of parts the texts, a line each."""
    content = message.get("content", message.get("parts"))
    if not isinstance(content, list):
        return text_of(content)
    return "\n".join(
        text_of(part.get("content", part.get("text")))
        for part in content
        if isinstance(part, dict) and part.get("type", "text") == "text"
    )
