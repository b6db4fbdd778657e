"""An export request to rows of the span table."""

from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.rules import Rules


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A valid span as it is stored. Times in ns, corrected as the engine's are; ids in hex.

    `session_id` is what the span itself (or its resource) names, "" if nothing. `kind` is OTLP's
    (`INTERNAL`, `CLIENT`, ...), `span_kind` OpenInference's (`LLM`, `CHAIN`, ..., `UNKNOWN`).
    `attributes` is one JSON object with typed values and flat dotted keys, `resource_attributes`
    and `attribute_texts` map to text (lists and maps as JSON), `events` is a JSON array of
    {name, timestamp (ns), attributes}.
    """

    project: str
    session_id: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    name: str
    kind: str
    span_kind: str
    service: str
    status_code: str
    status_message: str
    resource_attributes: dict[str, str]
    attributes: str
    attribute_texts: dict[str, str]
    events: str
    scope_name: str
    scope_version: str


def span_rows(request: TracesData, record_time_ns: int, rules: Rules, *, roots_only: bool) -> Iterator[SpanRow]:
    """Valid spans in the order of the record. Never raises for any decodable request."""
    raise NotImplementedError(request, record_time_ns, rules, roots_only)
