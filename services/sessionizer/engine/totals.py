"""The totals of a window: sums, sets and last writers over its spans."""

from services.sessionizer.engine import usage
from services.sessionizer.engine.intervals import Intervals
from services.shared.model.span import Dimensions, ModelCall, SpanFacts

Writer = tuple[int, bytes, bytes]
"""(time, trace id, span id): whose value it is. The greater one is later; ties go by ids."""
Written = tuple[Writer, str]

MODEL_SUMS = 4
"""By model: total tokens, prompt tokens, completion tokens, total cost; a fifth counts its calls."""


class Totals:
    """Everything a window adds up. Order of spans does not matter, but for the limits of `Intervals`."""

    __slots__ = (
        "active", "agents", "by_model", "environment", "error_count", "error_turn_count", "first_input", "last_error",
        "last_output", "latency", "metadata", "models", "services", "session", "span_count", "tags",
        "tool_call_count", "turn_count", "usage", "users",
    )  # fmt: skip

    def __init__(self) -> None:
        self.turn_count = self.span_count = self.error_count = self.error_turn_count = self.tool_call_count = 0
        self.usage = [0] * usage.LENGTH
        self.by_model: dict[str, list[int]] = {}
        self.models: set[str] = set()
        self.users: set[str] = set()
        self.services: set[str] = set()
        self.agents: set[str] = set()
        self.tags: set[str] = set()
        self.environment: Written | None = None
        self.session: dict[str, Written] = {}
        self.metadata: dict[str, Written] = {}
        self.first_input: Written | None = None
        self.last_output: Written | None = None
        self.last_error: Written | None = None
        self.active = Intervals()
        self.latency: dict[int, int] = {}

    def add(self, span: SpanFacts) -> None:
        """Count a span that is no duplicate. Usage of its model call is counted apart (`count_call`)."""
        self.span_count += 1
        if span.is_tool_call:
            self.tool_call_count += 1
        writer = (span.end, span.trace_id, span.span_id)
        if span.is_error:
            self.error_count += 1
            if span.error and (self.last_error is None or writer > self.last_error[0]):
                self.last_error = (writer, span.error)
        if not span.parent_id:
            self._add_root(span, writer)
        if span.call is not None and span.call.model:
            self.models.add(span.call.model)
        self._add_dimensions(span.dimensions, writer)

    def _add_root(self, span: SpanFacts, writer: Writer) -> None:
        started = (span.start, span.trace_id, span.span_id)
        if span.input and (self.first_input is None or started < self.first_input[0]):
            self.first_input = (started, span.input)
        if span.output and (self.last_output is None or writer > self.last_output[0]):
            self.last_output = (writer, span.output)

    def _add_dimensions(self, said: Dimensions, writer: Writer) -> None:
        if said.user_id:
            self.users.add(said.user_id)
        if said.service:
            self.services.add(said.service)
        if said.agent:
            self.agents.add(said.agent)
        if said.tags:
            self.tags.update(said.tags)
        if said.environment and (self.environment is None or writer > self.environment[0]):
            self.environment = (writer, said.environment)
        for pairs, kept in ((said.session, self.session), (said.metadata, self.metadata)):
            for name, value in pairs:
                if name not in kept or writer > kept[name][0]:
                    kept[name] = (writer, value)

    def count_call(self, call: ModelCall, sign: int) -> None:
        """Add a model call's usage (sign 1) or take it out again (sign -1)."""
        usage.count(self.usage, call, sign)
        if not call.model:
            return
        sums = self.by_model.setdefault(call.model, [0] * (2 * MODEL_SUMS))
        for at, amount in enumerate((call.total, call.prompt, call.completion, call.total_cost)):
            if amount is not None:
                sums[at] += sign * amount
                sums[MODEL_SUMS + at] += sign

    def amounts_by_model(self, at: int) -> dict[str, int]:
        """One quantity over the models whose calls carry it."""
        return {model: sums[at] for model, sums in sorted(self.by_model.items()) if sums[MODEL_SUMS + at]}

    def count_latency(self, index: int, sign: int) -> None:
        left = self.latency.get(index, 0) + sign
        if left:
            self.latency[index] = left
        else:
            del self.latency[index]

    def absorb(self, other: "Totals") -> None:
        """Add everything of another window's totals."""
        self.turn_count += other.turn_count
        self.span_count += other.span_count
        self.error_count += other.error_count
        self.error_turn_count += other.error_turn_count
        self.tool_call_count += other.tool_call_count
        self.usage = [mine + theirs for mine, theirs in zip(self.usage, other.usage, strict=True)]
        for model, sums in other.by_model.items():
            mine = self.by_model.get(model, [0] * (2 * MODEL_SUMS))
            self.by_model[model] = [a + b for a, b in zip(mine, sums, strict=True)]
        for index, count in other.latency.items():
            self.count_latency(index, count)
        self.active.absorb(other.active)
        for name in ("models", "users", "services", "agents", "tags"):
            getattr(self, name).update(getattr(other, name))
        self.first_input = _earlier(self.first_input, other.first_input)
        for name in ("environment", "last_output", "last_error"):
            setattr(self, name, _later(getattr(self, name), getattr(other, name)))
        for mine_written, theirs_written in ((self.session, other.session), (self.metadata, other.metadata)):
            for name, written in theirs_written.items():
                later = _later(mine_written.get(name), written)
                assert later is not None
                mine_written[name] = later


def _earlier(a: Written | None, b: Written | None) -> Written | None:
    return min((w for w in (a, b) if w is not None), default=None)


def _later(a: Written | None, b: Written | None) -> Written | None:
    return max((w for w in (a, b) if w is not None), default=None)
