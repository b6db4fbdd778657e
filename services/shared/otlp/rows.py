"""An export request to rows of the span table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from services.shared.model.outcome import Note
from services.shared.otlp import plan
from services.shared.otlp.ids import is_valid_id, parent_of
from services.shared.otlp.model_call import span_kind
from services.shared.otlp.plan import Plans, plans_for, read_attributes
from services.shared.otlp.resource_view import ResourceView
from services.shared.otlp.rules import Rules
from services.shared.otlp.span_kind import Kind
from services.shared.otlp.times import correct
from services.shared.otlp.values import plain_map, text_of, to_json

MAX_STORED_ATTRIBUTES = 1_000
"""Of one span, in its order. Facts are read from all of them."""

_KINDS = {
    Span.SPAN_KIND_INTERNAL: "INTERNAL",
    Span.SPAN_KIND_SERVER: "SERVER",
    Span.SPAN_KIND_CLIENT: "CLIENT",
    Span.SPAN_KIND_PRODUCER: "PRODUCER",
    Span.SPAN_KIND_CONSUMER: "CONSUMER",
}
_STATUS_CODES = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A valid span as it is stored. Times in ns, corrected as the engine's are; ids in hex.

    `session_id` is what the span itself (or its resource) names, "" if nothing. `kind` is OTLP's
    (`INTERNAL`, `CLIENT`, ..., `UNSPECIFIED`), `span_kind` OpenInference's (`LLM`, `CHAIN`, ...,
    `UNKNOWN`). `attributes` is one JSON object with typed values and flat dotted keys,
    `resource_attributes` and `attribute_texts` map to text (lists and maps as JSON), `events` is a
    JSON array of {name, timestamp (ns, as it came), attributes}.
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
    """Valid spans in the order of the record. Never raises for any decodable request, which redaction changes."""
    if rules.redaction is not None:
        rules.redaction.apply(request)
    plans = plans_for(rules)
    for resource_spans in request.resource_spans:
        resource = ResourceView(resource_spans.resource, rules, plans)
        resource_attributes = texts_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            reader = RowReader(resource, resource_attributes, scope_spans.scope, plans, rules, record_time_ns)
            for span in scope_spans.spans:
                if is_stored(span, roots_only=roots_only):
                    yield reader.row(span)


def is_stored(span: Span, *, roots_only: bool) -> bool:
    """Whether a span has a row."""
    return is_valid_id(span.trace_id, span.span_id) and not (roots_only and parent_of(span))


def texts_of(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """All attributes as text."""
    return _texts(plain_map(attributes))


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes the rows of one scope's spans; holds what these share."""

    resource: ResourceView
    resource_attributes: dict[str, str]
    scope: InstrumentationScope
    plans: Plans
    rules: Rules
    record_time: int

    def row(self, span: Span) -> SpanRow:
        """The row of a span that `is_stored`."""
        values, ranks = self.resource.values[:], [plan.UNSET] * plan.SLOTS
        collected = read_attributes(span.attributes, self.plans.children, values, ranks)
        sourced, _ = self.resource.read(collected, values, ranks, Counter[Note]())
        start, end, _ = correct(
            span.start_time_unix_nano, span.end_time_unix_nano, self.record_time, self.rules.max_future
        )
        attributes = plain_map(islice(span.attributes, MAX_STORED_ATTRIBUTES))
        return SpanRow(
            project=self.resource.project,
            session_id="" if sourced is None else sourced.key.session_id,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=parent_of(span).hex(),
            start=start,
            end=end,
            name=span.name,
            kind=_KINDS.get(span.kind, "UNSPECIFIED"),
            span_kind=(span_kind(values, ranks) or Kind.UNKNOWN).value,
            service=self.resource.service,
            status_code=_STATUS_CODES.get(span.status.code, "UNSET"),
            status_message=span.status.message,
            resource_attributes=self.resource_attributes,
            attributes=to_json(attributes),
            attribute_texts=_texts(attributes),
            events=_events(span.events) if span.events else "[]",
            scope_name=self.scope.name,
            scope_version=self.scope.version,
        )


def _texts(attributes: dict[str, object]) -> dict[str, str]:
    return {name: text_of(value) for name, value in attributes.items()}


def _events(events: Iterable[Span.Event]) -> str:
    return to_json(
        [
            {"name": event.name, "timestamp": event.time_unix_nano, "attributes": plain_map(event.attributes)}
            for event in events
        ]
    )
