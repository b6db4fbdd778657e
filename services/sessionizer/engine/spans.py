"""The spans of a turn that the engine must remember: identities, and model calls that may turn out to be counted twice.

Two instrumentations of one call give a model call directly under a model call, with the same
prompt and completion tokens. The rule here is the same in any order of arrival: a model call
counts unless a model call that is its direct child, in the same turn, carries the same tokens.
So of nested twins the innermost counts.
"""

from collections.abc import Callable

from services.shared.model.span import ModelCall

_ID_BYTES = 8
_CALL_BYTES = 80  # about what a call's entry takes besides its model's name
_CHILD_BYTES = 24

Twin = tuple[bytes, int, int]
"""(span id, prompt, completion): a call, as its direct child with the same tokens names it."""


class SpanSet:
    """Spans of one turn. `weight` is about its encoded size in bytes."""

    __slots__ = ("calls", "children", "ids", "weight")

    def __init__(
        self,
        ids: bytes = b"",
        calls: dict[Twin, ModelCall] | None = None,
        children: set[Twin] | None = None,
        weight: int = 0,
    ) -> None:
        self.ids = ids
        """Span ids, one after the other."""
        self.calls = {} if calls is None else calls
        """Calls that count and could have a twin below them."""
        self.children = set() if children is None else children
        """What calls say of their parents, for parents that come later."""
        self.weight = weight

    def has(self, span_id: bytes) -> bool:
        at = self.ids.find(span_id)
        while at > 0 and at % _ID_BYTES:
            at = self.ids.find(span_id, at + 1)
        return at >= 0

    def add(self, span_id: bytes) -> None:
        self.ids += span_id
        self.weight += _ID_BYTES

    def add_call(self, twin: Twin, call: ModelCall) -> bool:
        """Whether the call counts: no child of it is known to be its twin."""
        if twin in self.children:
            return False
        self._put(twin, call)
        return True

    def add_child(self, parent: Twin) -> ModelCall | None:
        """Remember a call under `parent`. Returns the parent's call where that is its twin and counted until now."""
        if parent in self.children:
            return None
        self.children.add(parent)
        self.weight += _CHILD_BYTES
        call = self.calls.pop(parent, None)
        if call is not None:
            self.weight -= _call_weight(call)
        return call

    def divide(self, is_second: Callable[[bytes], bool]) -> "tuple[SpanSet, SpanSet]":
        """Two sets of everything here, by what `is_second` says of its name (`span_name`, `twin_name`)."""
        halves = SpanSet(), SpanSet()
        for at in range(0, len(self.ids), _ID_BYTES):
            span_id = self.ids[at : at + _ID_BYTES]
            halves[is_second(span_id)].add(span_id)
        for twin, call in self.calls.items():
            halves[is_second(twin_name(twin))]._put(twin, call)  # noqa: SLF001 - the same class
        for parent in self.children:
            half = halves[is_second(twin_name(parent))]
            half.children.add(parent)
            half.weight += _CHILD_BYTES
        return halves

    def _put(self, twin: Twin, call: ModelCall) -> None:
        self.calls[twin] = call
        self.weight += _call_weight(call)


def twin_name(twin: Twin) -> bytes:
    """What decides which set knows of a call and of its twins. Of a span as such, its id does."""
    return b"%b%d/%d" % twin


def _call_weight(call: ModelCall) -> int:
    return _CALL_BYTES + (len(call.model) if call.model.isascii() else 4 * len(call.model))
