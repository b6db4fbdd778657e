"""One turn: what the spans of one trace add up to inside one window."""

from services.sessionizer.engine.said import Said
from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.usage import Sums
from services.sessionizer.engine.who import MAX_NAME
from services.shared.model.span import NO_DIMENSIONS, PREVIEW_LENGTH, SpanFacts

Ordered = tuple[int, bytes, str]
"""A text and whose it is: (time, span id, text). Compared, the later is the greater; ties go by span id."""

_PLAIN_BYTES = 200  # about what a turn takes besides its texts and spans


class Turn:
    """The closed interval [start, end] from the first start to the last end of its spans in the window.

    `settled` is the interval that the window's totals hold already; None for a new turn.
    `spans` is empty where they are kept outside of the turn (`TurnStore.spilled`).
    """

    __slots__ = (
        "end",
        "error_count",
        "first_token",
        "input",
        "input_below",
        "model",
        "output",
        "output_below",
        "root",
        "said",
        "settled",
        "span_count",
        "spans",
        "start",
        "tool_call_count",
        "trace_id",
        "usage",
        "version",
    )

    def __init__(self, trace_id: bytes, start: int, end: int) -> None:
        self.trace_id = trace_id
        self.start = start
        self.end = end
        self.settled: tuple[int, int] | None = None
        self.version = -1
        self.span_count = 0
        self.error_count = 0
        self.tool_call_count = 0
        self.usage = Sums()
        self.root: Ordered | None = None  # of several roots the earliest
        self.input: Ordered | None = None  # of the roots that have one, the earliest start
        self.output: Ordered | None = None  # of the roots that have one, the latest end
        self.input_below: Ordered | None = None  # the same of other spans, as long as the roots have none
        self.output_below: Ordered | None = None
        self.said = Said()
        self.model: Ordered | None = None  # of the model calls that name one, the latest end
        self.first_token: tuple[int, bytes, int] | None = None  # of the model calls that have one, the earliest start
        self.spans = SpanSet()

    def add(self, span: SpanFacts) -> None:
        """Grow to cover the span and take its facts; usage and identity are counted apart."""
        self.start = min(self.start, span.start)
        self.end = max(self.end, span.end)
        self.span_count += 1
        if span.is_error:
            self.error_count += 1
        if span.is_tool_call:
            self.tool_call_count += 1
        if not span.parent_id:
            self._add_root(span)
        elif span.input or span.output:
            self._add_below(span)
        if span.dimensions is not NO_DIMENSIONS:
            self.said.hear(span.dimensions, span.end, span.span_id)
        if span.call is not None:
            self._add_call(span, span.call.model)

    def _add_root(self, span: SpanFacts) -> None:
        started, ended = (span.start, span.span_id), (span.end, span.span_id)
        if self.root is None or started < self.root[:2]:
            self.root = (*started, span.name[:MAX_NAME])
        if span.input:
            self.input_below = None
            if self.input is None or started < self.input[:2]:
                self.input = (*started, span.input[:PREVIEW_LENGTH])
        if span.output:
            self.output_below = None
            if self.output is None or ended > self.output[:2]:
                self.output = (*ended, span.output[:PREVIEW_LENGTH])

    def _add_below(self, span: SpanFacts) -> None:
        started, ended = (span.start, span.span_id), (span.end, span.span_id)
        if span.input and self.input is None and (self.input_below is None or started < self.input_below[:2]):
            self.input_below = (*started, span.input[:PREVIEW_LENGTH])
        if span.output and self.output is None and (self.output_below is None or ended > self.output_below[:2]):
            self.output_below = (*ended, span.output[:PREVIEW_LENGTH])

    def _add_call(self, span: SpanFacts, model: str) -> None:
        if model and (self.model is None or (span.end, span.span_id) > self.model[:2]):
            self.model = (span.end, span.span_id, model[:MAX_NAME])
        if span.time_to_first_token is not None:
            first_token = (span.start, span.span_id, span.time_to_first_token)
            if self.first_token is None or first_token < self.first_token:
                self.first_token = first_token

    @property
    def weight(self) -> int:
        """About the encoded size, bytes."""
        size = _PLAIN_BYTES + self.spans.weight + self.said.weight
        for text in (self.root, self.input, self.output, self.model, self.input_below, self.output_below):
            if text is not None:
                size += len(text[2]) if text[2].isascii() else 4 * len(text[2])
        return size
