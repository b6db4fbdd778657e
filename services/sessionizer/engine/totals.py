"""The totals of a window: sums, sets and last writers over its spans.

All of it is bounded, so that no head and no rollup comes near the 512 KB of a record
(decisions/0003-bounds-of-a-window.md): texts by length, collections by bytes.
"""

from services.sessionizer.engine import usage
from services.sessionizer.engine.intervals import Intervals
from services.sessionizer.engine.names import Names, json_size
from services.sessionizer.engine.who import MAX_NAME, Who, Writer, Written, add_name
from services.shared.model.span import PREVIEW_LENGTH, Dimensions, ModelCall, SpanFacts

NAME_BYTES = 16 << 10
"""Bytes of JSON for all users of a window, all services, all agents, all conversations, all tags, tools, providers."""
ENTRY_BYTES = 32 << 10
"""Bytes of JSON for all models, all `session.*` attributes, all metadata."""

_NUMBERS_OF_TOOL = 24
_NUMBERS_OF_MODEL = 192
_MAPS_OF_MODEL = 7  # rollups name a model in a list and in six maps
_BETWEEN = "\0"  # a provider and the model that it served

MODEL_SUMS = 6
"""By model: total, prompt and completion tokens, total, prompt and completion cost; then how many calls carry each."""


class Totals(Who):
    """Everything a window adds up. Order of spans does not matter, but for the limits of `Intervals`.

    `*_below`: texts of spans that are no roots, for windows without a root that has one.
    """

    __slots__ = (
        "active", "error_count", "error_turn_count", "first_input", "first_input_below", "last_error", "last_output",
        "last_output_below", "latency", "models", "providers", "said", "span_count", "tool_call_count", "tools",
        "turn_count", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(NAME_BYTES, ENTRY_BYTES)
        self.turn_count = self.span_count = self.error_count = self.error_turn_count = self.tool_call_count = 0
        self.usage = [0] * usage.LENGTH
        self.models: Names[list[int]] = Names(ENTRY_BYTES)  # with `2 * MODEL_SUMS` sums each
        self.providers: Names[None] = Names(NAME_BYTES)  # with their models
        self.tools: Names[int] = Names(NAME_BYTES)  # with the number of calls
        self.first_input: Written | None = None
        self.last_output: Written | None = None
        self.first_input_below: Written | None = None
        self.last_output_below: Written | None = None
        self.last_error: Written | None = None
        self.active = Intervals()
        self.latency: dict[int, int] = {}
        self.said: dict[int, tuple[Writer, Dimensions]] = {}  # by the record at hand; of equal ones the last writer

    def add(self, span: SpanFacts) -> None:
        """Count a span that is no duplicate. Usage of its model call is counted apart (`count_call`)."""
        self.span_count += 1
        if span.is_tool_call:
            self.tool_call_count += 1
            if span.tool:
                self._add_tool(span.tool)
        writer = (span.end, span.trace_id, span.span_id)
        if span.is_error:
            self.error_count += 1
            if span.error and (self.last_error is None or writer > self.last_error[0]):
                self.last_error = (writer, span.error[:PREVIEW_LENGTH])
        if not span.parent_id:
            self._add_root(span, writer)
        elif span.input or span.output:
            self._add_below(span, writer)
        if span.call is not None:
            self._add_names(span.call)
        said = self.said.get(id(span.dimensions))  # spans of one record share them
        if said is None or writer > said[0]:
            self.said[id(span.dimensions)] = (writer, span.dimensions)

    def settle(self) -> None:
        """After a record: count in what its spans said of users, tags, metadata and so on."""
        for writer, said in self.said.values():
            self.hear(said, writer)
        self.said.clear()

    def _add_root(self, span: SpanFacts, writer: Writer) -> None:
        started = (span.start, span.trace_id, span.span_id)
        if span.input and (self.first_input is None or started < self.first_input[0]):
            self.first_input = (started, span.input[:PREVIEW_LENGTH])
        if span.output and (self.last_output is None or writer > self.last_output[0]):
            self.last_output = (writer, span.output[:PREVIEW_LENGTH])

    def _add_below(self, span: SpanFacts, writer: Writer) -> None:
        started = (span.start, span.trace_id, span.span_id)
        if span.input and (self.first_input_below is None or started < self.first_input_below[0]):
            self.first_input_below = (started, span.input[:PREVIEW_LENGTH])
        if span.output and (self.last_output_below is None or writer > self.last_output_below[0]):
            self.last_output_below = (writer, span.output[:PREVIEW_LENGTH])

    def _add_names(self, call: ModelCall) -> None:
        if call.model:
            self._sums_of(call.model)
        if call.provider:
            name = f"{call.provider[:MAX_NAME]}{_BETWEEN}{call.model[:MAX_NAME]}"
            add_name(self.providers, name, len(name))

    def _add_tool(self, tool: str) -> None:
        name = tool[:MAX_NAME]
        if name in self.tools or self.tools.admit(name, json_size(name) + _NUMBERS_OF_TOOL):
            self.tools.values[name] = self.tools.values.get(name, 0) + 1

    @property
    def models_by_provider(self) -> dict[str, list[str]]:
        """The providers of model calls, each with the models it served, as far as calls name them."""
        found: dict[str, list[str]] = {}
        for name in self.providers.sorted:
            provider, _, model = name.partition(_BETWEEN)
            models = found.setdefault(provider, [])
            if model:
                models.append(model)
        return found

    def count_call(self, call: ModelCall, sign: int) -> None:
        """Add a model call's usage (sign 1) or take it out again (sign -1). Its span was added before."""
        usage.count(self.usage, call, sign)
        sums = self._sums_of(call.model) if call.model else None
        if sums is None:
            return
        amounts = (call.total, call.prompt, call.completion, call.total_cost, call.prompt_cost, call.completion_cost)
        for at, amount in enumerate(amounts):
            if amount is not None:
                sums[at] += sign * amount
                sums[MODEL_SUMS + at] += sign

    def _sums_of(self, model: str) -> list[int] | None:
        """The sums of a model; None when it is not among the models kept, and never will be."""
        name = model[:MAX_NAME]
        sums = self.models.values.get(name)
        if sums is None and self.models.admit(name, _MAPS_OF_MODEL * json_size(name) + _NUMBERS_OF_MODEL):
            sums = self.models.values[name] = [0] * (2 * MODEL_SUMS)
        return sums

    def amounts_by_model(self, at: int) -> dict[str, int]:
        """One quantity over the models whose calls carry it."""
        return {model: sums[at] for model, sums in sorted(self.models.values.items()) if sums[MODEL_SUMS + at]}

    def count_latency(self, index: int, sign: int) -> None:
        """Count a turn whose duration is in this bucket (sign 1), or no longer (sign -1)."""
        left = self.latency.get(index, 0) + sign
        if left:
            self.latency[index] = left
        else:
            del self.latency[index]

    def absorb(self, other: "Totals") -> None:
        """Add everything of another window's totals; both are settled."""
        for name in ("turn_count", "span_count", "error_count", "error_turn_count", "tool_call_count"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.usage = [mine + theirs for mine, theirs in zip(self.usage, other.usage, strict=True)]
        for index, count in other.latency.items():
            self.count_latency(index, count)
        self.active.absorb(other.active)
        self.absorb_who(other)
        self.providers.absorb(other.providers)
        self.tools.absorb(other.tools)
        for tool, count in other.tools.values.items():
            if tool in self.tools:
                self.tools.values[tool] = self.tools.values.get(tool, 0) + count
        self.models.absorb(other.models)
        for model, sums in other.models.values.items():
            if model in self.models:
                mine = self.models.values.get(model, [0] * len(sums))
                self.models.values[model] = [a + b for a, b in zip(mine, sums, strict=True)]
        for name in ("first_input", "first_input_below"):
            inputs = [written for written in (getattr(self, name), getattr(other, name)) if written is not None]
            setattr(self, name, min(inputs, default=None))
        for name in ("last_output", "last_output_below", "last_error"):
            both = [written for written in (getattr(self, name), getattr(other, name)) if written is not None]
            setattr(self, name, max(both, default=None))
