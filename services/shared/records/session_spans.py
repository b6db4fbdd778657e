"""The records of `session_spans`: msgpack arrays, one record for the spans of many sessions.

Two kinds of record share the log, because time is data (design: semantics, "Time is data"):
spans grouped by session key, and watermarks of the source partitions they came from.
Dimensions are written once a record and referred to by index: they are equal on most spans.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from services.shared.model.annotation import Annotation, Scope
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, ModelCall, SessionEnd, SpanFacts
from services.shared.records.packed import array_of, pack, unpack

FORMAT = 2
_READABLE = frozenset({1, FORMAT})  # fields were added at the ends of spans, calls and dimensions
_SPANS, _WATERMARK = 0, 1
_SIZE_OF_SPAN = 14  # with neither tool nor annotations
_SIZE_OF_END = 3  # an explicit end among the spans
IS_ERROR, IS_TOOL_CALL = 1, 2
_ANNOTATION_FIELDS = attrgetter(*Annotation.__dataclass_fields__)


class UnreadableRecordError(ValueError):
    """A record of our own topic that this version cannot read: a bug or a newer writer. Stops the worker."""


@dataclass(frozen=True, slots=True)
class SpanGroup:
    """The items of one session key out of one record of `otlp_spans`, in their order there.

    `record_time` is that record's timestamp (ns).
    """

    key: SessionKey
    record_time: int
    items: tuple[SpanFacts | SessionEnd, ...]


@dataclass(frozen=True, slots=True)
class SpansRecord:
    groups: tuple[SpanGroup, ...]

    @property
    def names(self) -> list[bytes]:
        """Of each group the encoded key."""
        return [group.key.encode() for group in self.groups]


@dataclass(frozen=True, slots=True)
class WatermarkRecord:
    """No earlier event time is expected from `source` (`topic/partition`), one of `sources` in all."""

    source: str
    watermark: int
    sources: int


def encode_watermark(record: WatermarkRecord) -> bytes:
    return pack([FORMAT, _WATERMARK, record.source, record.watermark, record.sources])


def encode_spans(groups: Iterable[SpanGroup]) -> bytes:
    """One record's value, of any size (see `span_chunks`)."""
    dimensions: dict[Dimensions, int] = {}
    packed = [
        [
            group.key.project,
            group.key.session_id,
            group.record_time,
            [pack_item(item, dimensions) for item in group.items],
        ]
        for group in groups
    ]
    return pack([FORMAT, _SPANS, [pack_dimensions(d) for d in dimensions], packed])


def assemble(table: Sequence[bytes], groups: Sequence[bytes]) -> bytes:
    """What `encode_spans` gives, of dimensions and groups that are packed already."""
    return array_of([pack(FORMAT), pack(_SPANS), array_of(table), array_of(groups)])


def decode(value: bytes) -> SpansRecord | WatermarkRecord:
    """Raises `UnreadableRecordError` for anything this module does not write."""
    try:
        fields = unpack(value)
        if fields[0] not in _READABLE:
            message = f"session_spans record has format {fields[0]}, this worker reads up to {FORMAT}: upgrade it"
            raise UnreadableRecordError(message)
        if fields[1] == _WATERMARK:
            return WatermarkRecord(fields[2], fields[3], fields[4])
        table = [Dimensions(*d) for d in fields[2]]
        return SpansRecord(
            tuple(
                SpanGroup(SessionKey(project, session_id), time, tuple(unpack_item(i, table) for i in items))
                for project, session_id, time, items in fields[3]
            )
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        if isinstance(error, UnreadableRecordError):
            raise
        message = f"session_spans record of {len(value)} bytes is not one of ours: {error!r:.200}"
        raise UnreadableRecordError(message) from error


def pack_dimensions(d: Dimensions) -> list[Any]:
    """The fields of one entry of a record's table; `Dimensions(*fields)` is the inverse."""
    return [d.user_id, d.environment, d.service, d.agent, d.tags, d.session, d.metadata, d.conversation_id]


def pack_item(item: SpanFacts | SessionEnd, dimensions: dict[Dimensions, int]) -> list[Any]:
    """The fields of one item, which refer to its dimensions by their place in `dimensions`, where they are added."""
    if isinstance(item, SessionEnd):
        return [item.trace_id, item.span_id, item.at]
    call = item.call
    packed = [
        item.trace_id,
        item.span_id,
        item.parent_id,
        item.start,
        item.end - item.start,
        item.name,
        item.is_error * IS_ERROR + item.is_tool_call * IS_TOOL_CALL,
        dimensions.setdefault(item.dimensions, len(dimensions)),
        None
        if call is None
        else [
            call.model,
            call.prompt,
            call.completion,
            call.total,
            call.cache_read,
            call.cache_write,
            call.reasoning,
            call.prompt_cost,
            call.completion_cost,
            call.total_cost,
            call.provider,
        ],
        item.input,
        item.output,
        item.error,
        item.time_to_first_token,
        item.ends_at,
    ]
    if item.tool or item.annotations:  # few spans have one
        packed += [item.tool, [_ANNOTATION_FIELDS(annotation) for annotation in item.annotations]]
    return packed


def unpack_item(fields: list[Any], table: list[Dimensions]) -> SpanFacts | SessionEnd:
    """Inverse of `pack_item`."""
    if len(fields) == _SIZE_OF_END:
        return SessionEnd(fields[2], fields[0], fields[1])
    tool, annotations = "", tuple[Annotation, ...]()
    if len(fields) > _SIZE_OF_SPAN:
        *fields, tool, packed = fields
        annotations = tuple(Annotation(Scope(scope), *rest) for scope, *rest in packed)
    trace_id, span_id, parent_id, start, length, name, flags, index, call, text_in, text_out, error, ttft, ends = fields
    return SpanFacts(
        trace_id,
        span_id,
        parent_id,
        start,
        start + length,
        name,
        bool(flags & IS_ERROR),
        bool(flags & IS_TOOL_CALL),
        None if call is None else ModelCall(*call),
        table[index],
        text_in,
        text_out,
        error,
        ttft,
        ends,
        tool,
        annotations,
    )
