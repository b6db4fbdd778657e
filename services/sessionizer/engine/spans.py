"""The spans of a turn that the engine must remember: identities, and model calls that may turn out to be counted twice.

Two instrumentations of one call give a model call directly under a model call, with the same
prompt and completion tokens. The rule here is the same in any order of arrival: a model call
counts unless a model call that is its direct child, in the same turn, carries the same tokens.
So of nested twins the innermost counts.
"""

from collections.abc import Callable, Iterator

from services.shared.model.span import ModelCall
from services.shared.records.model_calls import pack_call, unpack_call

_ID_BYTES = 8
_COUNT_BYTES = 5  # of tokens: `otlp.numbers.MAX_COUNT` is less
_TWIN_BYTES = _ID_BYTES + 2 * _COUNT_BYTES
_LENGTH_BYTES = 4
_HEAD_BYTES = _TWIN_BYTES + _LENGTH_BYTES

Twin = bytes
"""Span id, prompt and completion: a call, as its direct child with the same tokens names it (`twin_of`)."""


class SpanSet:
    """Spans of one turn, as bytes that are cheap to add to and are stored as they are.

    `ids`: span ids, one after the other. `calls`: those that count and could have a twin below
    them; of each its `Twin`, the length of what follows (4 bytes, little-endian) and the packed
    call. `children`: what calls say of their parents, one `Twin` after the other, for parents that come later.
    """

    __slots__ = ("calls", "children", "ids")

    def __init__(self, ids: bytes = b"", calls: bytes = b"", children: bytes = b"") -> None:
        self.ids, self.calls, self.children = bytearray(ids), bytearray(calls), bytearray(children)

    @property
    def weight(self) -> int:
        """Its size in bytes."""
        return len(self.ids) + len(self.calls) + len(self.children)

    def has(self, span_id: bytes) -> bool:
        return _holds(self.ids, span_id)

    def add(self, span_id: bytes) -> None:
        self.ids += span_id

    def add_call(self, twin: Twin, call: ModelCall) -> bool:
        """Whether the call counts: no child of it is known to be its twin."""
        if _holds(self.children, twin):
            return False
        self.put_call(twin, pack_call(call))
        return True

    def add_child(self, parent: Twin) -> ModelCall | None:
        """Remember a call under `parent`. Returns the parent's call where that is its twin and counted until now."""
        if _holds(self.children, parent):
            return None
        self.children += parent
        if parent not in self.calls:
            return None
        for twin, start, end in self._calls():
            if twin == parent:
                call = unpack_call(self.calls[start:end])
                del self.calls[start - _HEAD_BYTES : end]
                return call
        return None

    def put_call(self, twin: Twin, packed: bytes) -> None:
        """Remember a call that counts."""
        self.calls += twin + len(packed).to_bytes(_LENGTH_BYTES, "little") + packed

    def packed_calls(self) -> list[tuple[Twin, bytes]]:
        """The calls that count and could have a twin below them, in the order in which they came."""
        return [(twin, bytes(self.calls[start:end])) for twin, start, end in self._calls()]

    def twins_of_children(self) -> list[Twin]:
        """What calls say of their parents, in the order in which they came."""
        return list(_each(self.children, _TWIN_BYTES))

    def divide(self, is_second: Callable[[bytes], bool]) -> "tuple[SpanSet, SpanSet]":
        """Two sets of everything here, by what `is_second` says of its name (`twin_name`; of a span, its id)."""
        first, second = SpanSet(), SpanSet()
        for span_id in _each(self.ids, _ID_BYTES):
            half = second if is_second(span_id) else first
            half.add(span_id)
        for twin, packed in self.packed_calls():
            half = second if is_second(twin_name(twin)) else first
            half.put_call(twin, packed)
        for parent in self.twins_of_children():
            half = second if is_second(twin_name(parent)) else first
            half.children += parent
        return first, second

    def _calls(self) -> Iterator[tuple[Twin, int, int]]:
        """Of each call its twin, and where in `calls` it begins and ends packed."""
        at = 0
        while at < len(self.calls):
            start = at + _HEAD_BYTES
            end = start + int.from_bytes(self.calls[at + _TWIN_BYTES : start], "little")
            yield bytes(self.calls[at : at + _TWIN_BYTES]), start, end
            at = end


def twin_of(span_id: bytes, prompt: int, completion: int) -> Twin:
    """Raises `ValueError` or `OverflowError` for what names no call."""
    if len(span_id) != _ID_BYTES:
        raise ValueError(f"a span id of {len(span_id)} bytes")
    return span_id + prompt.to_bytes(_COUNT_BYTES, "big") + completion.to_bytes(_COUNT_BYTES, "big")


def twin_fields(twin: Twin) -> tuple[bytes, int, int]:
    """Inverse of `twin_of`."""
    prompt, completion = twin[_ID_BYTES : _ID_BYTES + _COUNT_BYTES], twin[_ID_BYTES + _COUNT_BYTES :]
    return twin[:_ID_BYTES], int.from_bytes(prompt, "big"), int.from_bytes(completion, "big")


def twin_name(twin: Twin) -> bytes:
    """What decides which set knows of a call and of its twins. Of a span as such, its id does."""
    return b"%b%d/%d" % twin_fields(twin)


def _holds(items: bytearray, item: bytes) -> bool:
    """Whether it is one of items of its size that follow one another."""
    at = items.find(item)
    while at > 0 and at % len(item):
        at = items.find(item, at + 1)
    return at >= 0


def _each(items: bytearray, size: int) -> Iterator[bytes]:
    return (bytes(items[at : at + size]) for at in range(0, len(items), size))
