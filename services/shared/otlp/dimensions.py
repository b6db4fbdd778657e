"""Tags, metadata and session attributes: flat text, bounded in number and size.

The bounds keep every fact far below the 512 KB of a record, whatever a span carries.
"""

from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from services.shared.otlp.values import from_json, plain, text_of

MAX_ENTRIES = 64
MAX_KEY_LENGTH = 256
MAX_TEXT_LENGTH = 1024
MAX_CHARACTERS = 16_384
"""Of all keys and texts of one span's tags, metadata or session attributes."""


def read_name(value: AnyValue) -> str | None:
    """Short text (a user id, an agent): trimmed, unquoted if it is a JSON string, cut."""
    text = value.string_value
    if text and text.isascii() and text[0] > '"' < text[-1] and len(text) <= MAX_KEY_LENGTH:
        return text  # nothing to trim or unquote: every ASCII space is below the quotation mark
    return name_of(text or plain(value))


def name_of(value: object) -> str | None:
    text = text_of(value).strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and isinstance(content := from_json(text), str):
        text = content.strip()
    return text[:MAX_KEY_LENGTH] or None


def read_tags(value: AnyValue) -> tuple[str, ...] | None:
    """A list, a JSON list or text with commas, without repetition, in order."""
    texts = [item.string_value.strip() for item in value.array_value.values]
    if texts and all(texts):
        return tuple(dict.fromkeys(texts))
    return tags_of(plain(value))


def tags_of(held: object) -> tuple[str, ...] | None:
    if isinstance(held, str):
        parsed = from_json(held) if held.lstrip()[:1] == "[" else None
        held = parsed if isinstance(parsed, list) else held.split(",")
    if not isinstance(held, list):
        held = [held]
    return tuple(dict.fromkeys(tag for item in held if (tag := text_of(item).strip()))) or None


def flat(value: object) -> list[tuple[str, str]]:
    """The members of a map (or of a JSON object in text) as text to text; nothing for other values."""
    if isinstance(value, str):
        value = from_json(value)
    if not isinstance(value, dict):
        return []
    return [(str(key), text_of(item)) for key, item in value.items() if item is not None]


def bounded(entries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first entries that fit, keys and texts cut to their length."""
    result: list[tuple[str, str]] = []
    room = MAX_CHARACTERS
    for key, text in entries:
        entry = key[:MAX_KEY_LENGTH], text[:MAX_TEXT_LENGTH]
        room -= len(entry[0]) + len(entry[1])
        if len(result) == MAX_ENTRIES or room < 0:
            break
        result.append(entry)
    return result
