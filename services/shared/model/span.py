"""One span as the engine sees it: facts and previews, no attributes.

Times are integer nanoseconds since the Unix epoch, money is integer picodollars
(1e-12 USD), so that sums are exact. `None` means "absent", which is not zero.
"""

from dataclasses import dataclass

from services.shared.model.annotation import Annotation

PICODOLLARS = 10**12
"""Picodollars in one US dollar."""

PREVIEW_LENGTH = 1024
"""Characters kept of an input, an output or an error text."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What one model call used and cost. Only spans that are a model call have one.

    Prompt tokens include cached ones; `cache_read` and `cache_write` are "of which".
    `total` is filled in by the decoder (prompt + completion where the span names none).
    `total_cost` is `None` for a call without a known price ("unpriced", not free).
    """

    model: str = ""
    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    prompt_cost: int | None = None
    completion_cost: int | None = None
    total_cost: int | None = None
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Who and where: what a span says about its session. Equal on most spans of a trace.

    `session` holds the `session.*` attributes other than `session.id` and
    `session.previous_id`, by full attribute name; `metadata` is flat, text to text.
    """

    user_id: str = ""
    environment: str = ""
    service: str = ""
    agent: str = ""
    tags: tuple[str, ...] = ()
    session: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    conversation_id: str = ""


NO_DIMENSIONS = Dimensions()


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """A valid span, its times already corrected: the closed interval [start, end] in ns.

    `parent_id` is empty at a root. `input` and `output` are previews, kept for roots, and for
    other spans where no root of the trace in the same record has one. `tool` is the name of
    a tool that was called. `ends_at` are the times of `session.end` events on the span (the span named
    `session.end` itself is recognised by its name).
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start: int
    end: int
    name: str = ""
    is_error: bool = False
    is_tool_call: bool = False
    call: ModelCall | None = None
    dimensions: Dimensions = NO_DIMENSIONS
    input: str = ""
    output: str = ""
    error: str = ""
    time_to_first_token: int | None = None
    ends_at: tuple[int, ...] = ()
    tool: str = ""
    annotations: tuple[Annotation, ...] = ()

    @property
    def is_root(self) -> bool:
        return not self.parent_id

    @property
    def session_trace(self) -> bytes:
        """The trace whose session it takes over where it names none.

        Its own; of a root that judges another trace (see `otlp.annotations`), that one: what a judge
        sends later is a trace of its own, in which nothing may name the session.
        """
        if self.annotations and not self.parent_id:
            return next((said.trace_id for said in self.annotations if said.trace_id), self.trace_id)
        return self.trace_id


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """An explicit end of a session by another span's `session.previous_id`: E and its carrier."""

    at: int
    trace_id: bytes
    span_id: bytes
