"""What must not be kept: attributes dropped, hashed or masked by name, content by one switch, text by pattern.

The one implementation of privacy: `route`, the span sink and the gateway change a decoded request with
it before anything else reads it, so that nothing of theirs can tell what the policy forbids.

A rule is `action:name`. Names are attribute names without case, `*` is any text, and a name covers
what is beneath it: `metadata.user` is the attribute of that name, `metadata.user.email`, and the
member `user` of the map or JSON text `metadata`. The first rule that fits decides.
"""

import hmac
import json
import re
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.otlp.content import CONTENT_EVENTS, CONTENT_NAMES, EVALUATIONS, EVENT_NAMES
from services.shared.otlp.identity import id_of
from services.shared.otlp.values import plain, text_of, to_json

MASK = "[masked]"
HASHED = "hmac:"
STATUS_MESSAGE = "status.message"
"""The name by which rules find a span's status message."""

_MAX_NAMES = 4096
_MAX_DEPTH = 48
"""Of maps, lists and JSON in JSON; what is deeper is masked unread."""

_HASH_LENGTH = 32
_IS_HASHED = re.compile(rf"{HASHED}[0-9a-f]{{{_HASH_LENGTH}}}")
_KEY = re.compile(r'"\s*:')
_WORD = re.compile(r"[\w.-]+")
_JSON_SPACE = " \t\r\n"


class Action(StrEnum):
    """What becomes of an attribute."""

    KEEP = "keep"
    DROP = "drop"
    HASH = "hash"
    """HMAC-SHA256 of its text, so that equal values stay equal. A value that is such a hash stays as it is."""
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Rule:
    """See the module."""

    action: Action
    name: str


def parse_rule(text: str) -> Rule:
    """`action:name`. Raises `ValueError`."""
    action, _, name = text.partition(":")
    name = name.strip()
    if action.strip() not in set(Action) or not name:
        raise ValueError(f"{text!r} is no rule; write for example drop:user.email, hash:user.id or mask:*.api_key")
    return Rule(Action(action.strip()), name)


class Redaction:
    """A policy. Two with the same arguments do the same, wherever they run."""

    def __init__(
        self, rules: Iterable[Rule] = (), *, key: str = "", values: str = "", capture_content: bool = True
    ) -> None:
        """`values`: a regular expression; what it finds in any text is masked. `key`: of hashes."""
        named = list(rules)
        if not capture_content:
            named += [Rule(Action.DROP, name) for name in CONTENT_NAMES]
        self._rules = [(rule.action, _Pattern(rule.name)) for rule in named]
        self._key = key.encode()
        self._values = re.compile(values) if values else None
        self._capture_content = capture_content
        self._actions: dict[str, Action | None] = {}

    def apply(self, request: TracesData) -> None:
        """Change every attribute, name and message of the request that the policy is about."""
        for resource_spans in request.resource_spans:
            self._attributes("", resource_spans.resource.attributes, 0)
            for scope_spans in resource_spans.scope_spans:
                self._attributes("", scope_spans.scope.attributes, 0)
                for span in scope_spans.spans:
                    self._span(span)

    def _span(self, span: Span) -> None:
        self._attributes("", span.attributes, 0)
        if self._values is not None:
            span.name = self._values.sub(MASK, span.name)
        for event in span.events:
            if not self._capture_content and _is_message(event.name):
                _keep_only(event.attributes, (item for item in event.attributes if item.key in EVENT_NAMES))
            self._attributes("", event.attributes, 0)
            if self._values is not None:
                event.name = self._values.sub(MASK, event.name)
        for link in span.links:
            self._attributes("", link.attributes, 0)
        if message := span.status.message:
            span.status.message = text_of(self._named(STATUS_MESSAGE, message, 0))

    def _attributes(self, path: str, attributes: MutableSequence[KeyValue], depth: int) -> None:
        dropped = []
        for index, item in enumerate(attributes):
            name = path + item.key
            if self._values is not None:
                item.key = self._found(item.key)
            match self._action(name):
                case None:
                    self._value(name, item.value, depth)
                case Action.DROP:
                    dropped.append(index)
                case Action.HASH:
                    _replace(item.value, self._hashed(plain(item.value)))
                case Action.MASK:
                    item.value.string_value = MASK
        for index in reversed(dropped):
            del attributes[index]

    def _value(self, path: str, value: AnyValue, depth: int) -> None:
        """Look for names and patterns inside a value that no rule names."""
        if depth > _MAX_DEPTH:
            value.string_value = MASK
            return
        match value.WhichOneof("value"):
            case "string_value":
                text = value.string_value
                if (changed := self._text(path, text, depth)) != text:
                    value.string_value = changed
            case "kvlist_value":
                self._attributes(f"{path}.", value.kvlist_value.values, depth + 1)
            case "array_value":
                for item in value.array_value.values:
                    self._value(path, item, depth + 1)

    def _named(self, path: str, value: Any, depth: int) -> Any:  # noqa: ANN401 - JSON; None: dropped
        match self._action(path):
            case None:
                return self._plain(path, value, depth)
            case Action.HASH:
                return self._hashed(value)
            case Action.MASK:
                return MASK
            case Action.DROP:
                return None
            case Action.KEEP:
                return value

    def _plain(self, path: str, value: Any, depth: int) -> Any:  # noqa: ANN401 - JSON
        if depth > _MAX_DEPTH:
            return MASK
        match value:
            case str():
                return self._text(path, value, depth)
            case list():
                return [self._plain(path, item, depth + 1) for item in value]
            case dict():
                return dict(self._members(path, value, depth + 1))
            case _:
                return value

    def _members(self, path: str, members: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
        for key, value in members.items():
            name = f"{path}.{key}"
            if self._action(name) is not Action.DROP:
                yield self._found(key), self._named(name, value, depth)

    def _text(self, path: str, text: str, depth: int) -> str:
        """A text that no rule names: JSON is looked into, also JSON in JSON."""
        first = text.lstrip(_JSON_SPACE)[:1]
        if not first or first not in '{["':
            return self._found(text)
        document = _from_json(text)
        if document is None:
            return MASK if self._may_name(path, text) else self._found(text)
        changed = self._plain(path, document, depth + 1)
        # Of a key that is there twice only the last is in the document, but both are in the text.
        if changed == document and len(_KEY.findall(text)) <= _count_keys(document):
            return text
        return to_json(changed)

    def _found(self, text: str) -> str:
        return text if self._values is None else self._values.sub(MASK, text)

    def _may_name(self, path: str, text: str) -> bool:
        """Whether a text that begins like JSON and is none (cut off, say) has a word that a rule may be about."""
        below = [
            pattern for action, pattern in self._rules if action is not Action.KEEP and pattern.may_fit_below(path)
        ]
        return bool(below) and any(
            pattern.last.fullmatch(word) for word in set(_WORD.findall(text.casefold())) for pattern in below
        )

    def _action(self, name: str) -> Action | None:
        """`None`: no rule names it."""
        if name in self._actions:
            return self._actions[name]
        folded = name.casefold()
        found = next((action for action, pattern in self._rules if pattern.fits(folded)), None)
        if len(self._actions) < _MAX_NAMES:
            self._actions[name] = found
        return found

    def _hashed(self, value: object) -> Any:  # noqa: ANN401 - text, or a list of texts
        """Of a list each item. A session id is hashed as it is read: trimmed, out of its quotes."""
        if isinstance(value, list):
            return [self._hashed(to_json(item) if isinstance(item, list) else item) for item in value]
        text = read if type(read := id_of(value)) is str else text_of(value)
        if not text or _IS_HASHED.fullmatch(text):
            return text
        return HASHED + hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256").hex()[:_HASH_LENGTH]


class _Pattern:
    """A name, perhaps with stars, and all that is beneath it. What it is asked about is folded."""

    def __init__(self, name: str) -> None:
        name = name.casefold()
        self._whole = re.compile(rf"{_expression(name)}(\..*)?", re.DOTALL)
        self._head, star, _ = name.partition("*")
        self._is_open = bool(star)
        self.last = re.compile(_expression(name.rpartition(".")[2]))
        """The last of its dotted parts."""

    def fits(self, name: str) -> bool:
        return self._whole.fullmatch(name) is not None

    def may_fit_below(self, path: str) -> bool:
        """Whether it can fit a member of what has this name."""
        path = f"{path.casefold()}."
        return self._head.startswith(path) or (self._is_open and path.startswith(self._head))


def _expression(name: str) -> str:
    return ".*".join(re.escape(part) for part in name.split("*"))


def _is_message(event: str) -> bool:
    return event.startswith(CONTENT_EVENTS) and not event.startswith(EVALUATIONS)


def _keep_only(attributes: MutableSequence[KeyValue], kept: Iterable[KeyValue]) -> None:
    copies = [KeyValue(key=item.key, value=item.value) for item in kept]
    del attributes[:]
    attributes.extend(copies)


def _replace(value: AnyValue, by: Any) -> None:  # noqa: ANN401 - text, or a list of texts
    if isinstance(by, str):
        value.string_value = by
        return
    value.Clear()
    value.array_value.SetInParent()
    for item in by:
        _replace(value.array_value.values.add(), item)


def _from_json(text: str) -> Any:  # noqa: ANN401 - JSON
    """`None` for what is no JSON. NaN and infinities are read: many writers have them."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None


def _count_keys(value: Any) -> int:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return len(value) + sum(map(_count_keys, value.values()))
    if isinstance(value, list):
        return sum(map(_count_keys, value))
    return 0
