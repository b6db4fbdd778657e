"""Arrivals: the spans of one trace that came together, as bytes that are kept until their session is known.

`_arrivals.pyx` makes them of the bytes of a record, and passes them on, without making spans; what it makes is equal to
the byte.
"""

from collections.abc import Iterable

from services.shared.model.session_key import SessionKey
from services.shared.records.trace_spans import WaitingGroup, WaitingSpan, decode_waits, encode_waiting

try:
    from services.shared.records import _arrivals
except ImportError:  # not built, or switched off
    _arrivals = None  # type: ignore[assignment]  # instead of a module

Arrival = tuple[bytes, int, int, bytes]
"""Trace, record time, number of spans, and what `encode_waiting` gives of them."""


def arrivals(waiting: Iterable[WaitingGroup]) -> list[Arrival]:
    """The spans of each trace in each group, in their order."""
    found: list[Arrival] = []
    for group in waiting:
        by_trace: dict[bytes, list[WaitingSpan]] = {}
        for span in group.spans:
            by_trace.setdefault(span.facts.session_trace, []).append(span)
        for trace_id, spans in by_trace.items():
            part = WaitingGroup(group.project, group.record_time, tuple(spans))
            found.append((trace_id, group.record_time, len(spans), encode_waiting(part)))
    return found


def decode_arrivals(packed: bytes) -> list[Arrival]:
    """Of the fields of a record of `trace_spans` behind its bindings. Raises what `trace_spans.decode` raises."""
    found = None if _arrivals is None else _arrivals.divide(packed)
    return arrivals(decode_waits(packed)) if found is None else found


def pass_on(chunks: object, key: SessionKey, data: bytes) -> bool:
    """Add the spans of an arrival to the chunks of their session's partition. False, and nothing: not in this way."""
    return _arrivals is not None and _arrivals.pass_on(chunks, key, data)
