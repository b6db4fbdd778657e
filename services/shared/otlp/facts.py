"""An export request to facts: session keys, corrected spans, explicit ends."""

from collections import Counter
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.rules import Rules
from services.shared.records.session_spans import SpanGroup


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one record says.

    `groups` by session key in order of first appearance, items in their order in the record.
    `latest_end`: of all valid spans, those without a session included; `None` when there are none.
    `counts` by (metric name, label).
    """

    groups: list[SpanGroup]
    latest_end: int | None
    counts: Counter[tuple[str, str]]


def extract(request: TracesData, record_time_ns: int, rules: Rules) -> Extraction:
    """Never raises for any decodable request. `record_time_ns`: the record's timestamp."""
    raise NotImplementedError(request, record_time_ns, rules)
