"""The totals of a window: sums, sets and last writers over its spans.

All of it is bounded, so that no head and no rollup comes near the 512 KB of a record
(decisions/0003-bounds-of-a-window.md): texts by length, collections by bytes.
"""

from typing import Self

from services.sessionizer.engine.intervals import Intervals
from services.sessionizer.engine.names import Names, json_size
from services.sessionizer.engine.usage import ModelSums, Sums
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


class Totals(Who):
    """Everything a window adds up. Order of spans does not matter, but for the limits of `Intervals`.

    `*_below`: texts of spans that are no roots, as long as there is no root that has one.
    """

    __slots__ = (
        "active", "error_count", "error_turn_count", "first_input", "first_input_below", "last_error", "last_output",
        "last_output_below", "latency", "models", "providers", "said", "span_count", "tool_call_count", "tools",
        "turn_count", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(NAME_BYTES, ENTRY_BYTES)
        self.turn_count = self.span_count = self.error_count = self.error_turn_count = self.tool_call_count = 0
        self.usage = Sums()
        self.models = Names(ENTRY_BYTES)  # with their `ModelSums`
        self.providers = Names(NAME_BYTES)  # with their models
        self.tools = Names(NAME_BYTES)  # with the number of calls
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
        if span.input:
            self.first_input_below = None
            if self.first_input is None or started < self.first_input[0]:
                self.first_input = (started, span.input[:PREVIEW_LENGTH])
        if span.output:
            self.last_output_below = None
            if self.last_output is None or writer > self.last_output[0]:
                self.last_output = (writer, span.output[:PREVIEW_LENGTH])

    def _add_below(self, span: SpanFacts, writer: Writer) -> None:
        started = (span.start, span.trace_id, span.span_id)
        is_first = self.first_input_below is None or started < self.first_input_below[0]
        if span.input and self.first_input is None and is_first:
            self.first_input_below = (started, span.input[:PREVIEW_LENGTH])
        is_last = self.last_output_below is None or writer > self.last_output_below[0]
        if span.output and self.last_output is None and is_last:
            self.last_output_below = (writer, span.output[:PREVIEW_LENGTH])

    def forget_below(self) -> None:
        """Of totals put together: where a root has a text nobody will ever see another span's."""
        if self.first_input is not None:
            self.first_input_below = None
        if self.last_output is not None:
            self.last_output_below = None

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
        self.usage.count(call, sign)
        sums = self._sums_of(call.model) if call.model else None
        if sums is not None:
            sums.count(call, sign)

    def _sums_of(self, model: str) -> ModelSums | None:
        """The sums of a model; None when it is not among the models kept, and never will be."""
        name = model[:MAX_NAME]
        sums: ModelSums | None = self.models.values.get(name)
        if sums is None and self.models.admit(name, _MAPS_OF_MODEL * json_size(name) + _NUMBERS_OF_MODEL):
            sums = self.models.values[name] = ModelSums()
        return sums

    def amounts_by_model(self, of: str) -> dict[str, int]:
        """One of the sums of `ModelSums`, over the models whose calls carry it."""
        models, carriers = sorted(self.models.values.items()), f"{of}_calls"
        return {model: getattr(sums, of) for model, sums in models if getattr(sums, carriers)}

    def count_latency(self, index: int, sign: int) -> None:
        """Count a turn whose duration is in this bucket (sign 1), or no longer (sign -1)."""
        left = self.latency.get(index, 0) + sign
        if left:
            self.latency[index] = left
        else:
            del self.latency[index]

    def absorb(self, other: Self) -> None:
        """Add everything of another window's totals; both are settled."""
        for name in ("turn_count", "span_count", "error_count", "error_turn_count", "tool_call_count"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.usage.absorb(other.usage)
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
                self.models.values.setdefault(model, ModelSums()).absorb(sums)
        for name in ("first_input", "first_input_below"):
            inputs = [written for written in (getattr(self, name), getattr(other, name)) if written is not None]
            setattr(self, name, min(inputs, default=None))
        for name in ("last_output", "last_output_below", "last_error"):
            both = [written for written in (getattr(self, name), getattr(other, name)) if written is not None]
            setattr(self, name, max(both, default=None))
        self.forget_below()
