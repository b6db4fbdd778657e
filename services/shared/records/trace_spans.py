"""The records of `trace_spans`: what one partition of traces must know to find the session of each.

Spans that name no session, bindings (this trace is of that session), and watermarks of the source
partitions, in one log. Within a record bindings come first, so that no span waits for a
binding beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from services.shared.records.packed import array_of, pack, unpack
from services.shared.records.session_spans import (
    UnreadableRecordError,
    WatermarkRecord,
    pack_dimensions,
    pack_item,
    unpack_item,
)

FORMAT = 1
_TRACES, _WATERMARK = 0, 1
_TRACE_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class WaitingSpan:
    """A span that names no session. `previous_id`: the session of its own project that it ends; empty: none."""

    facts: SpanFacts
    previous_id: str = ""


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Spans of one project out of one record of `otlp_spans`, in their order there.

    `record_time` is that record's timestamp (ns).
    """

    project: str
    record_time: int
    spans: tuple[WaitingSpan, ...]


@dataclass(frozen=True, slots=True)
class BindingGroup:
    """One record of `otlp_spans` says that these traces are of this session."""

    key: SessionKey
    record_time: int
    traces: tuple[bytes, ...]


TraceGroup = WaitingGroup | BindingGroup


@dataclass(frozen=True, slots=True)
class TracesRecord:
    bindings: tuple[BindingGroup, ...]
    waiting: tuple[WaitingGroup, ...]


def trace_partition(trace_id: bytes, count: int) -> int:
    """The partition of `trace_spans` this trace belongs to, of `count`."""
    return crc32(trace_id) % count


def encode_watermark(record: WatermarkRecord) -> bytes:
    return pack([FORMAT, _WATERMARK, record.source, record.watermark, record.sources])


def encode_traces(groups: Iterable[TraceGroup]) -> bytes:
    """One record's value, of any size (see `span_chunks`)."""
    bindings: list[Any] = []
    waiting: list[Any] = []
    dimensions: dict[Dimensions, int] = {}
    for group in groups:
        if isinstance(group, BindingGroup):
            bindings.append([*group.key, group.record_time, b"".join(group.traces)])
        else:
            waiting.append(_pack_waiting(group, dimensions))
    return pack([FORMAT, _TRACES, bindings, [pack_dimensions(d) for d in dimensions], waiting])


def assemble(bindings: Sequence[bytes], table: Sequence[bytes], waiting: Sequence[bytes]) -> bytes:
    """What `encode_traces` gives, of parts that are packed already."""
    return array_of([pack(FORMAT), pack(_TRACES), array_of(bindings), array_of(table), array_of(waiting)])


def decode(value: bytes) -> TracesRecord | WatermarkRecord:
    """Raises `UnreadableRecordError` for anything this module does not write."""
    try:
        fields = unpack(value)
        _check_format(fields[0])
        if fields[1] == _WATERMARK:
            return WatermarkRecord(fields[2], fields[3], fields[4])
        return TracesRecord(
            tuple(
                BindingGroup(SessionKey(project, session_id), time, _divide(traces))
                for project, session_id, time, traces in fields[2]
            ),
            _unpack_all_waiting(*fields[3:]),
        )
    except UnreadableRecordError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable(value, error) from error


def decode_time(value: bytes) -> WatermarkRecord | bytes:
    """A record of traces stays as it is, to be decoded by whoever takes it. Raises what `decode` raises."""
    if value.startswith(TRACES_HEAD):
        return value
    content = decode(value)
    return content if isinstance(content, WatermarkRecord) else value


def decode_waits(packed: bytes) -> tuple[WaitingGroup, ...]:
    """The fields of a record of traces behind its bindings. Raises what `decode` raises."""
    try:
        return _unpack_all_waiting(*unpack(_TWO_FIELDS + packed))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable(packed, error) from error


def _check_format(form: int) -> None:
    if form != FORMAT:
        raise UnreadableRecordError(f"trace_spans record has format {form}, this worker reads {FORMAT}: upgrade it")


def _unreadable(value: bytes, error: Exception) -> UnreadableRecordError:
    return UnreadableRecordError(f"trace_spans record of {len(value)} bytes is not one of ours: {error!r:.200}")


def encode_waiting(group: WaitingGroup) -> bytes:
    """One group by itself, for the state of a trace."""
    dimensions: dict[Dimensions, int] = {}
    packed = _pack_waiting(group, dimensions)
    return pack([[pack_dimensions(d) for d in dimensions], packed])


def decode_waiting(data: bytes) -> WaitingGroup:
    """Inverse of `encode_waiting`."""
    dimensions, packed = unpack(data)
    return _unpack_waiting(packed, [Dimensions(*d) for d in dimensions])


def halves_of_waiting(group: WaitingGroup) -> tuple[WaitingGroup, WaitingGroup]:
    """The group as two, of which neither is empty."""
    assert len(group.spans) > 1, "the decoder bounds every part of a span: one always fits"
    middle = len(group.spans) // 2
    first, second = group.spans[:middle], group.spans[middle:]
    return WaitingGroup(group.project, group.record_time, first), WaitingGroup(group.project, group.record_time, second)


def _pack_waiting(group: WaitingGroup, dimensions: dict[Dimensions, int]) -> list[Any]:
    return [
        group.project,
        group.record_time,
        [pack_item(span.facts, dimensions) for span in group.spans],
        {place: span.previous_id for place, span in enumerate(group.spans) if span.previous_id},
    ]


def _unpack_all_waiting(table: Any, waiting: Any) -> tuple[WaitingGroup, ...]:  # noqa: ANN401 - what msgpack gives
    dimensions = [Dimensions(*d) for d in table]
    return tuple(_unpack_waiting(group, dimensions) for group in waiting)


def _unpack_waiting(fields: Any, table: list[Dimensions]) -> WaitingGroup:  # noqa: ANN401 - what msgpack gives
    project, record_time, items, previous = fields
    spans = []
    for place, item in enumerate(items):
        facts = unpack_item(item, table)
        if not isinstance(facts, SpanFacts):
            raise TypeError("an explicit end among the spans that wait")
        spans.append(WaitingSpan(facts, previous.get(place, "")))
    return WaitingGroup(project, record_time, tuple(spans))


def _divide(traces: bytes) -> tuple[bytes, ...]:
    if len(traces) % _TRACE_ID_BYTES:
        raise ValueError(f"{len(traces)} bytes of trace ids")
    return tuple(traces[at : at + _TRACE_ID_BYTES] for at in range(0, len(traces), _TRACE_ID_BYTES))


TRACES_HEAD = pack([FORMAT, _TRACES, (), (), ()])[:-3]
"""What a record of traces begins with; its bindings follow."""
_TWO_FIELDS = pack([(), ()])[:-2]
