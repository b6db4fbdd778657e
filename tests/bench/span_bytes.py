"""Spans as bytes with holes: a span is made by filling in ids, times and its session, not by building a message.

So a million spans of load take seconds. What comes out is what the protobuf library would write (test_figures.py).
"""

from collections.abc import Callable, Iterable, Mapping

from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.otlp import resource_spans

SpanMaker = Callable[[bytes, bytes, bytes, int, int, bytes, bytes, bytes | None], bytes]
"""Trace id, span id, parent, start, end, session, user and text to one span with its frame, a part of `ScopeSpans`."""

_TRACE, _SPAN, _PARENT = b"\xf1" * 16, b"\xf2" * 8, b"\xf3" * 8
_START, _END = b"\xf4" * 8, b"\xf5" * 8
_TEXTS = frozenset({"input.value", "output.value"})
_SPAN_OF_SCOPE = b"\x12"  # ScopeSpans.spans
_SCOPE_OF_RESOURCE = b"\x12"  # ResourceSpans.scope_spans
_RESOURCE_OF_REQUEST = b"\x0a"  # TracesData.resource_spans


def span_maker(template: Span, session: str, user: str, *, is_root: bool) -> SpanMaker:
    """Makes spans like `template`. A root ignores the parent; a template without `session` ignores the session.

    `session` and `user` are the placeholders in the template's attributes, in this order, as long as what replaces
    them. A text replaces input and output, of which it has the first bytes; without one they are the template's.
    """
    span = Span()
    span.CopyFrom(template)
    span.trace_id, span.span_id, span.parent_span_id = _TRACE, _SPAN, b"" if is_root else _PARENT
    span.start_time_unix_nano, span.end_time_unix_nano = int.from_bytes(_START), int.from_bytes(_END)
    data = _framed(_SPAN_OF_SCOPE, span.SerializeToString())
    before_trace, data = _cut(data, _TRACE)
    before_span, data = _cut(data, _SPAN)
    before_parent, data = (b"", data) if is_root else _cut(data, _PARENT)
    before_start, data = _cut(data, _START)
    before_end, data = _cut(data, _END)
    names_session = session.encode() in data
    before_session, rest = _cut(data, session.encode()) if names_session else (b"", data)
    before_user, rest = _cut(rest, user.encode())
    around = _around_texts(rest, template)
    empty = b""

    def make(
        trace_id: bytes,
        span_id: bytes,
        parent: bytes,
        start: int,
        end: int,
        session: bytes,
        user: bytes,
        text: bytes | None = None,
    ) -> bytes:
        return empty.join(
            (
                before_trace,
                trace_id,
                before_span,
                span_id,
                before_parent,
                empty if is_root else parent,
                before_start,
                start.to_bytes(8, "little"),
                before_end,
                end.to_bytes(8, "little"),
                before_session,
                session if names_session else empty,
                before_user,
                user,
                rest if text is None else b"".join(before + text[:length] for before, length in around),
            )
        )

    return make


def _around_texts(data: bytes, template: Span) -> list[tuple[bytes, int]]:
    """What stands before each text of the template, with the length of the text, and what stands after the last."""
    around = []
    for item in template.attributes:
        if item.key in _TEXTS:
            text = item.value.string_value.encode()
            before, data = _cut(data, text)
            around.append((before, len(text)))
    return [*around, (data, 0)]


class ResourceHead:
    """What stands before the spans of one resource with one scope."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        group = resource_spans([], resource=resource)
        self._resource = _framed(b"\x0a", _bytes(group.resource))
        self._scope = _framed(b"\x0a", _bytes(group.scope_spans[0].scope))

    def request(self, spans: Iterable[bytes]) -> bytes:
        """These spans as one `ResourceSpans` of a request; requests are such pieces one after another."""
        scoped = b"".join((self._scope, *spans))
        return _framed(_RESOURCE_OF_REQUEST, self._resource + _framed(_SCOPE_OF_RESOURCE, scoped))


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _framed(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _cut(data: bytes, marker: bytes) -> tuple[bytes, bytes]:
    before, found, after = data.partition(marker)
    assert found, f"the template has no place for {marker!r}"
    return before, after
