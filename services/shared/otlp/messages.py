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
    if isinstance(document, list):
        messages = [
            (text_of(message.get("role")), _content(message)) for message in document if isinstance(message, dict)
        ]
        if chosen := _last(messages, role):
            return chosen
    return text or text_of(document) or None


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
