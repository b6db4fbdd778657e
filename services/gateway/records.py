"""PURE: an export request as records of the spans topic.

A small request goes through in the client's own bytes. A large one, or one that the gateway has to
change (a project, redaction), is encoded anew, in records of at most `PREFERRED` bytes. A span is never
cut; one that is larger than that goes alone, and one over `LARGEST` is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, TracesData

from services.gateway.body import Export
from services.shared.otlp.redaction import Redaction

PREFERRED = 512 << 10
"""Bytes of a record: the embedded broker drops larger ones first, and a Kafka batch holds two."""

LARGEST = (1 << 20) - (4 << 10)
"""Bytes of a record with one large span: what a broker takes by default (1 MB), less its own overhead."""

PROJECT = "openinference.project.name"
_NESTING = 16  # bytes of tags and lengths around one resource, one scope and one span, at most


@dataclass(frozen=True, slots=True)
class Record:
    """One value of the spans topic, and how many spans it carries."""

    value: bytes
    span_count: int


@dataclass(slots=True)
class Records:
    """What to write, in order, and how many spans are too large for any record."""

    records: list[Record] = field(default_factory=list)
    too_large: int = 0


def to_records(export: Export, project: str, redaction: Redaction | None = None) -> Records:
    """`project`: what `x-project-name` says, trimmed; empty: nothing. Changes `export.request`."""
    spans = count_spans(export.request)
    if redaction is not None:
        redaction.apply(export.request)
    if project:
        for resource_spans in export.request.resource_spans:
            _set_project(resource_spans, project)
    elif redaction is None and len(export.data) <= PREFERRED:
        return Records([Record(export.data, spans)] if spans else [])
    result = Records()
    for part, count in _parts(export.request):
        value = part.SerializeToString()
        if len(value) > LARGEST:
            result.too_large += count
        else:
            result.records.append(Record(value, count))
    return result


def count_spans(request: TracesData) -> int:
    return sum(
        len(scope_spans.spans)
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
    )


def _set_project(resource_spans: ResourceSpans, project: str) -> None:
    """The header wins over what is there."""
    attributes = resource_spans.resource.attributes
    others = [attribute for attribute in attributes if attribute.key != PROJECT]
    del attributes[:]
    attributes.extend([*others, KeyValue(key=PROJECT, value=AnyValue(string_value=project))])


def _parts(request: TracesData) -> Iterator[tuple[TracesData, int]]:
    """Requests with the same spans in the same order, each of `PREFERRED` bytes or of one span; and their spans."""
    part, size, count = TracesData(), 0, 0
    for resource_spans in request.resource_spans:
        resource: ResourceSpans | None = None
        resource_size = resource_spans.resource.ByteSize() + len(resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            scope: ScopeSpans | None = None
            scope_size = scope_spans.scope.ByteSize() + len(scope_spans.schema_url)
            for span in scope_spans.spans:
                span_size = span.ByteSize()
                added = span_size + _NESTING
                added += scope_size + _NESTING if scope is None else 0
                added += resource_size + _NESTING if resource is None else 0
                if count and size + added > PREFERRED:
                    yield part, count
                    part, size, count, resource, scope = TracesData(), 0, 0, None, None
                    added = span_size + scope_size + resource_size + 3 * _NESTING
                if resource is None:
                    resource = part.resource_spans.add(schema_url=resource_spans.schema_url)
                    resource.resource.CopyFrom(resource_spans.resource)
                if scope is None:
                    scope = resource.scope_spans.add(schema_url=scope_spans.schema_url)
                    scope.scope.CopyFrom(scope_spans.scope)
                scope.spans.add().CopyFrom(span)
                size += added
                count += 1
    if count:
        yield part, count
