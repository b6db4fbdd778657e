"""What a span with status code ERROR says about it."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.otlp.values import plain, plain_map, text_of
from services.shared.semconv import TABLE, Meaning


def error_text(span: Span) -> str:
    """Status message, else the first `exception` event, else an attribute; "" if the span says nothing."""
    if message := span.status.message:
        return message
    for event in span.events:
        if event.name == "exception":
            said = plain_map(event.attributes)
            if text := text_of(said.get("exception.message")) or text_of(said.get("exception.type")):
                return text
    by_name = {item.key: item.value for item in span.attributes}
    for name in TABLE[Meaning.ERROR_TEXT].names:
        if name in by_name and (text := text_of(plain(by_name[name]))):
            return text
    return ""
