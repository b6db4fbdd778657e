"""Values inside a JSON attribute, found by a path: `metadata{requester_metadata.session_id}`."""

from collections.abc import Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from services.shared.otlp.values import from_json, plain

Path = tuple[str, ...]
"""Keys from outside to inside. Empty: the value itself."""


def split(name: str) -> tuple[str, Path]:
    """The attribute and the path of a name as tables and settings write it."""
    if not name.endswith("}") or "{" not in name:
        return name, ()
    attribute, _, keys = name[:-1].partition("{")
    return attribute, tuple(keys.split("."))


def document_of(value: AnyValue) -> object:
    """The value; of text the JSON in it, `None` for text that is none."""
    held = plain(value)
    return from_json(held) if isinstance(held, str) else held


def member_of(document: object, path: Sequence[str]) -> object:
    """What the path leads to, `None` for nothing. A member with dots in its key comes before a way through maps."""
    for depth in range(len(path), 0, -1):
        if isinstance(document, dict) and (key := ".".join(path[:depth])) in document:
            rest = path[depth:]
            found = document[key]
            return member_of(from_json(found) if rest and isinstance(found, str) else found, rest) if rest else found
    return None if path else document
