"""Builders of OTLP export requests, as protobuf messages, protobuf bytes and OTLP JSON.

    request(span(trace_id=1, span_id=1, attributes={"session.id": "a"}))

is one resource with one span. Times are integer nanoseconds; `T0` is a moment in 2025, `SECOND`
and `MINUTE` are to add to it. Ids may be small integers (padded to their length) or bytes.
"""

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
T0 = 1_750_000_000 * SECOND
"""2025-06-15 15:06:40 UTC."""


def any_value(value: Any) -> AnyValue:
    """The AnyValue of a Python value: str, bool, int, float, bytes, list, dict; `None` is no value at all."""
    result = AnyValue()
    match value:
        case None:
            pass
        case AnyValue():
            result.CopyFrom(value)
        case bool():
            result.bool_value = value
        case str():
            result.string_value = value
        case int():
            result.int_value = value
        case float():
            result.double_value = value
        case bytes():
            result.bytes_value = value
        case Mapping():
            result.kvlist_value.SetInParent()
            result.kvlist_value.values.extend(key_values(value))
        case _:
            result.array_value.SetInParent()
            result.array_value.values.extend(any_value(item) for item in value)
    return result


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def trace_bytes(trace_id: int | bytes) -> bytes:
    return trace_id if isinstance(trace_id, bytes) else trace_id.to_bytes(16, "big")


def span_bytes(span_id: int | bytes) -> bytes:
    return span_id if isinstance(span_id, bytes) else span_id.to_bytes(8, "big")


def event(name: str, *, at: int = T0, attributes: Mapping[str, Any] | None = None) -> Span.Event:
    return Span.Event(name=name, time_unix_nano=at, attributes=key_values(attributes or {}))


def span(
    *,
    trace_id: int | bytes = 1,
    span_id: int | bytes = 1,
    parent_id: int | bytes = b"",
    start: int = T0,
    end: int | None = None,
    name: str = "chat",
    attributes: Mapping[str, Any] | None = None,
    is_error: bool = False,
    status_message: str = "",
    events: Iterable[Span.Event] = (),
    links: Iterable[tuple[int, int]] = (),
) -> Span:
    """One span; it lasts a second unless `end` says otherwise."""
    result = Span(
        trace_id=trace_bytes(trace_id),
        span_id=span_bytes(span_id),
        parent_span_id=span_bytes(parent_id),
        start_time_unix_nano=start,
        end_time_unix_nano=start + SECOND if end is None else end,
        name=name,
        attributes=key_values(attributes or {}),
        events=events,
        links=[Span.Link(trace_id=trace_bytes(trace), span_id=span_bytes(linked)) for trace, linked in links],
    )
    result.status.SetInParent()  # the Collector always writes it
    result.status.message = status_message
    if is_error:
        result.status.code = Status.StatusCode.STATUS_CODE_ERROR
    return result


def resource_spans(
    spans: Iterable[Span], *, resource: Mapping[str, Any] | None = None, scope: str = "test"
) -> ResourceSpans:
    return ResourceSpans(
        resource=Resource(attributes=key_values(resource or {})),
        scope_spans=[ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)],
    )


def request(*spans: Span, resource: Mapping[str, Any] | None = None) -> TracesData:
    """An export request of one resource."""
    return TracesData(resource_spans=[resource_spans(spans, resource=resource)])


def request_of(*resources: ResourceSpans) -> TracesData:
    """An export request of several resources."""
    return TracesData(resource_spans=resources)


def to_protobuf(data: TracesData) -> bytes:
    """As the Collector's `otlp_proto` writes it."""
    return data.SerializeToString()


def to_json(data: TracesData, *, numbers_as_text: bool = True) -> bytes:
    """As the Collector's `otlp_json` writes it; 64-bit integers as text or, with the flag off, as numbers."""
    return orjson.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes_json(group.resource.attributes, numbers_as_text)},
                    "scopeSpans": [
                        {
                            "scope": {"name": scoped.scope.name, "version": scoped.scope.version},
                            "spans": [span_json(item, numbers_as_text=numbers_as_text) for item in scoped.spans],
                        }
                        for scoped in group.scope_spans
                    ],
                }
                for group in data.resource_spans
            ]
        }
    )


def span_json(item: Span, *, numbers_as_text: bool = True) -> dict[str, Any]:
    """One span as an OTLP JSON object, to be spoilt by a test."""
    number: type[str | int] = str if numbers_as_text else int
    return {
        "traceId": item.trace_id.hex(),
        "spanId": item.span_id.hex(),
        "parentSpanId": item.parent_span_id.hex(),
        "name": item.name,
        "kind": int(item.kind),
        "startTimeUnixNano": number(item.start_time_unix_nano),
        "endTimeUnixNano": number(item.end_time_unix_nano),
        "attributes": _attributes_json(item.attributes, numbers_as_text),
        "events": [
            {
                "timeUnixNano": number(moment.time_unix_nano),
                "name": moment.name,
                "attributes": _attributes_json(moment.attributes, numbers_as_text),
            }
            for moment in item.events
        ],
        "status": _status_json(item),
    }


def _attributes_json(attributes: Iterable[KeyValue], numbers_as_text: bool) -> list[dict[str, Any]]:
    return [{"key": item.key, "value": _value_json(item.value, numbers_as_text)} for item in attributes]


def _value_json(value: AnyValue, numbers_as_text: bool) -> dict[str, Any]:
    held = value.WhichOneof("value")
    result: Any
    match held:
        case None:
            return {}
        case "int_value":
            result = str(value.int_value) if numbers_as_text else value.int_value
        case "double_value":
            result = _double_json(value.double_value)
        case "bytes_value":
            result = base64.b64encode(value.bytes_value).decode()
        case "array_value":
            result = {"values": [_value_json(item, numbers_as_text) for item in value.array_value.values]}
        case "kvlist_value":
            result = {"values": _attributes_json(value.kvlist_value.values, numbers_as_text)}
        case _:
            result = getattr(value, held)
    word, _, kind = held.partition("_")
    return {word + kind.capitalize(): result}


def encodings(data: TracesData) -> Sequence[bytes]:
    """The same request in every form that a record may have."""
    protobuf, json = to_protobuf(data), to_json(data)
    return protobuf, json, to_json(data, numbers_as_text=False), gzip.compress(protobuf), gzip.compress(json)


def _double_json(value: float) -> float | str:
    if value != value:  # noqa: PLR0124 - the one value that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _status_json(item: Span) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if item.status.code:
        status["code"] = int(item.status.code)
    if item.status.message:
        status["message"] = item.status.message
    return status
