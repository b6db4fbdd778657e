"""Everything that an installation writes about a request: where a secret must not be found."""

from dataclasses import asdict
from typing import Any

import orjson
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.gateway.body import Export
from services.gateway.records import to_records
from services.sessionizer.pipeline import route_definition
from services.sessionizer.stage import InputRecord, Moment
from services.shared.kafka_topics import topic_specs
from services.shared.otlp.rows import span_rows
from services.shared.otlp.rules import Rules
from services.shared.privacy import redaction_of
from services.shared.settings import Settings
from tests.support.otlp import MINUTE, T0, to_protobuf

RECORD_TIME = T0 + MINUTE


def written(data: TracesData, settings: Settings) -> dict[str, bytes]:
    """By writer: what `route`, the span sink and the gateway make of one request."""
    raw = to_protobuf(data)
    counts = {spec.name: 2 for spec in topic_specs(settings)}
    route = route_definition(settings, counts).build(0)
    route.fold(InputRecord(0, RECORD_TIME, None, raw))
    outputs = route.flush(Moment(RECORD_TIME, caught_up=True)).outputs
    redaction = redaction_of(settings)
    rules = Rules(redaction=redaction)
    rows = [asdict(row) for row in span_rows(TracesData.FromString(raw), RECORD_TIME, rules, roots_only=False)]
    records = to_records(Export(raw, TracesData.FromString(raw)), "", redaction).records
    return {
        "route": b"\0".join(output.value or b"" for output in outputs),
        "span sink": repr(rows).encode(),
        "gateway": b"\0".join(record.value for record in records),
    }


@st.composite
def documents(draw: st.DrawFn, path: tuple[str, ...], secret: Any) -> Any:
    """A value in which what stands at `path` is the secret: maps, JSON texts and JSON in JSON, in any mixture."""
    if not path:
        return secret
    key, *rest = path
    value = {key: draw(documents(tuple(rest), secret)), "other": draw(st.sampled_from([1, "text", None, [1.5], True]))}
    form = draw(st.sampled_from(["map", "json", "list", "quoted", "spaced"]))
    match form:
        case "map":
            return value
        case "list":
            return [value, "more"]
        case _:
            text = orjson.dumps(value).decode()
            if form == "spaced":
                return f" {text}\n"
            return orjson.dumps(text).decode() if form == "quoted" else text
