"""Trace, span and parent ids as spans carry them."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE_ID_SIZE, SPAN_ID_SIZE = 16, 8
NO_TRACE_ID, NO_SPAN_ID = bytes(TRACE_ID_SIZE), bytes(SPAN_ID_SIZE)


def is_valid_id(trace_id: bytes, span_id: bytes) -> bool:
    """16 and 8 bytes, not all zero. Without that a span is nobody's and cannot be told from its copies."""
    return (
        len(trace_id) == TRACE_ID_SIZE
        and len(span_id) == SPAN_ID_SIZE
        and trace_id != NO_TRACE_ID
        and span_id != NO_SPAN_ID
    )


def parent_of(span: Span) -> bytes:
    """The parent's id; empty at a root. Zeros are none, and so is an id of wrong length."""
    parent_id = span.parent_span_id
    return parent_id if len(parent_id) == SPAN_ID_SIZE and parent_id != NO_SPAN_ID else b""
