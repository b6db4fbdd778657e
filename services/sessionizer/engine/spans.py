"""The spans of a turn that the engine must remember: identities, and model calls that may turn out to be counted twice.

Two instrumentations of one call give a model call directly under a model call, with the same
prompt and completion tokens. The rule here is the same in any order of arrival: a model call
counts unless a model call that is its direct child, in the same turn, carries the same tokens.
So of nested twins the innermost counts.
"""

from collections.abc import Callable

from services.shared.model.span import ModelCall

_ID_BYTES = 8
_CALL_BYTES = 64  # about what a call's entry takes besides its model's name


class SpanSet:
    """Spans of one turn. `weight` is about its encoded size in bytes."""

    __slots__ = ("calls", "children", "ids", "weight")

    def __init__(
        self,
        ids: bytes = b"",
        calls: dict[bytes, ModelCall] | None = None,
        children: set[tuple[bytes, int, int]] | None = None,
        weight: int = 0,
    ) -> None:
        self.ids = ids
        """Span ids, one after the other."""
        self.calls = {} if calls is None else calls
        """Calls that count and could have a twin below them, by span id."""
        self.children = set() if children is None else children
        """(parent id, prompt, completion) of calls, for parents that come later."""
        self.weight = weight

    def has(self, span_id: bytes) -> bool:
        at = self.ids.find(span_id)
        while at > 0 and at % _ID_BYTES:
            at = self.ids.find(span_id, at + 1)
        return at >= 0

    def add(self, span_id: bytes) -> None:
        self.ids += span_id
        self.weight += _ID_BYTES

    def add_call(self, span_id: bytes, call: ModelCall) -> bool:
        """Whether the call counts: no twin of it is known to be its child."""
        if call.prompt is None or call.completion is None:
            return True
        if (span_id, call.prompt, call.completion) in self.children:
            return False
        self.calls[span_id] = call
        self.weight += _CALL_BYTES + 4 * len(call.model)
        return True

    def add_child(self, parent_id: bytes, call: ModelCall) -> ModelCall | None:
        """Remember a call under `parent_id`. Returns the parent's call where that counted until now and is its twin."""
        if call.prompt is None or call.completion is None:
            return None
        self.children.add((parent_id, call.prompt, call.completion))
        self.weight += _CALL_BYTES // 2
        parent = self.calls.get(parent_id)
        if parent is None or (parent.prompt, parent.completion) != (call.prompt, call.completion):
            return None
        return self.calls.pop(parent_id)

    def spread(self, set_of: "Callable[[bytes], SpanSet]") -> None:
        """Hand everything to the sets that `set_of` names by span id."""
        for at in range(0, len(self.ids), _ID_BYTES):
            span_id = self.ids[at : at + _ID_BYTES]
            set_of(span_id).add(span_id)
        for span_id, call in self.calls.items():
            target = set_of(span_id)
            target.calls[span_id] = call
            target.weight += _CALL_BYTES + 4 * len(call.model)
        for child in self.children:
            target = set_of(child[0])
            target.children.add(child)
            target.weight += _CALL_BYTES // 2
