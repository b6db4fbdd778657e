"""The totals of a window: sums, sets and last writers over its spans.

All of it is bounded, so that no head and no rollup comes near the 512 KB of a record
(decisions/0003-bounds-of-a-window.md): texts by length, collections by bytes.
"""

from services.sessionizer.engine import usage
from services.sessionizer.engine.intervals import Intervals
from services.sessionizer.engine.names import Names, json_size
from services.shared.model.span import PREVIEW_LENGTH, Dimensions, ModelCall, SpanFacts

MAX_NAME = 256
"""Characters kept of a name: of a span, model, user, service, agent, environment, key."""
MAX_TEXT = 1024
"""Characters kept of a tag or of the value of a key."""
NAME_BYTES = 16 << 10
"""Bytes of JSON for all users of a window, all services, all agents, all tags."""
ENTRY_BYTES = 32 << 10
"""Bytes of JSON for all models, all `session.*` attributes, all metadata."""

_NUMBERS_OF_ENTRY = 32
_NUMBERS_OF_MODEL = 128
_MAPS_OF_MODEL = 5  # rollups name a model in a list and in four maps

Writer = tuple[int, bytes, bytes]
"""(time, trace id, span id): whose value it is. The greater one is later; ties go by ids."""
Written = tuple[Writer, str]

MODEL_SUMS = 4
"""By model: total tokens, prompt tokens, completion tokens, total cost; then how many calls carry each."""


class Totals:
    """Everything a window adds up. Order of spans does not matter, but for the limits of `Intervals`."""

    __slots__ = (
        "active", "agents", "environment", "error_count", "error_turn_count", "first_input", "last_error",
        "last_output", "latency", "metadata", "models", "said", "services", "session", "span_count", "tags",
        "tool_call_count", "turn_count", "usage", "users",
    )  # fmt: skip

    def __init__(self) -> None:
        self.turn_count = self.span_count = self.error_count = self.error_turn_count = self.tool_call_count = 0
        self.usage = [0] * usage.LENGTH
        self.models: Names[list[int]] = Names(ENTRY_BYTES)  # with `2 * MODEL_SUMS` sums each
        self.users: Names[None] = Names(NAME_BYTES)
        self.services: Names[None] = Names(NAME_BYTES)
        self.agents: Names[None] = Names(NAME_BYTES)
        self.tags: Names[None] = Names(NAME_BYTES)
        self.session: Names[Written] = Names(ENTRY_BYTES)
        self.metadata: Names[Written] = Names(ENTRY_BYTES)
        self.environment: Written | None = None
        self.first_input: Written | None = None
        self.last_output: Written | None = None
        self.last_error: Written | None = None
        self.active = Intervals()
        self.latency: dict[int, int] = {}
        self.said: dict[int, tuple[Writer, Dimensions]] = {}  # by the record at hand; of equal ones the last writer

    def add(self, span: SpanFacts) -> None:
        """Count a span that is no duplicate. Usage of its model call is counted apart (`count_call`)."""
        self.span_count += 1
        if span.is_tool_call:
            self.tool_call_count += 1
        writer = (span.end, span.trace_id, span.span_id)
        if span.is_error:
            self.error_count += 1
            if span.error and (self.last_error is None or writer > self.last_error[0]):
                self.last_error = (writer, span.error[:PREVIEW_LENGTH])
        if not span.parent_id:
            self._add_root(span, writer)
        if span.call is not None and span.call.model:
            self._sums_of(span.call.model)
        said = self.said.get(id(span.dimensions))  # spans of one record share them
        if said is None or writer > said[0]:
            self.said[id(span.dimensions)] = (writer, span.dimensions)

    def settle(self) -> None:
        """After a record: count in what its spans said of users, tags, metadata and so on."""
        for writer, said in self.said.values():
            self._add_dimensions(said, writer)
        self.said.clear()

    def _add_root(self, span: SpanFacts, writer: Writer) -> None:
        started = (span.start, span.trace_id, span.span_id)
        if span.input and (self.first_input is None or started < self.first_input[0]):
            self.first_input = (started, span.input[:PREVIEW_LENGTH])
        if span.output and (self.last_output is None or writer > self.last_output[0]):
            self.last_output = (writer, span.output[:PREVIEW_LENGTH])

    def _add_dimensions(self, said: Dimensions, writer: Writer) -> None:
        if said.user_id:
            _add_name(self.users, said.user_id, MAX_NAME)
        if said.service:
            _add_name(self.services, said.service, MAX_NAME)
        if said.agent:
            _add_name(self.agents, said.agent, MAX_NAME)
        for tag in said.tags:
            _add_name(self.tags, tag, MAX_TEXT)
        if said.environment and (self.environment is None or writer > self.environment[0]):
            self.environment = (writer, said.environment[:MAX_NAME])
        for name, value in said.session:
            _write(self.session, name, value, writer)
        for name, value in said.metadata:
            _write(self.metadata, name, value, writer)

    def count_call(self, call: ModelCall, sign: int) -> None:
        """Add a model call's usage (sign 1) or take it out again (sign -1). Its span was added before."""
        usage.count(self.usage, call, sign)
        sums = self._sums_of(call.model) if call.model else None
        if sums is None:
            return
        for at, amount in enumerate((call.total, call.prompt, call.completion, call.total_cost)):
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
        for name in ("users", "services", "agents", "tags"):
            getattr(self, name).absorb(getattr(other, name))
        self.models.absorb(other.models)
        for model, sums in other.models.values.items():
            if model in self.models:
                mine = self.models.values.get(model, [0] * len(sums))
                self.models.values[model] = [a + b for a, b in zip(mine, sums, strict=True)]
        for kept, others in ((self.session, other.session), (self.metadata, other.metadata)):
            kept.absorb(others)
            for name, written in others.values.items():
                if name in kept:
                    kept.values[name] = max(kept.values.get(name, written), written)
        inputs = [written for written in (self.first_input, other.first_input) if written is not None]
        self.first_input = min(inputs, default=None)
        for name in ("environment", "last_output", "last_error"):
            both = [written for written in (getattr(self, name), getattr(other, name)) if written is not None]
            setattr(self, name, max(both, default=None))


def _add_name(names: Names[None], name: str, length: int) -> None:
    if name not in names.sizes:
        name = name[:length]
        names.admit(name, json_size(name))


def _write(entries: Names[Written], name: str, value: str, writer: Writer) -> None:
    """The last writer by event time has its value kept; the largest value counts for the size."""
    held = entries.values.get(name)
    if held is None or held[1] != value:
        name, value = name[:MAX_NAME], value[:MAX_TEXT]
        if not entries.admit(name, 2 * json_size(name) + json_size(value) + _NUMBERS_OF_ENTRY):
            return
        held = entries.values.get(name)
    if held is None or writer > held[0]:
        entries.values[name] = (writer, value)
