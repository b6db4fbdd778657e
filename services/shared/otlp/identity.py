"""Session ids and project names as attributes give them."""

import math

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from services.shared.model.outcome import Note
from services.shared.model.session_key import MAX_ID_LENGTH
from services.shared.otlp.values import from_json, plain


def read_id(value: AnyValue) -> str | Note:
    """The id, or why the value is none."""
    return id_of(value.string_value or plain(value))


def id_of(value: object) -> str | Note:
    """Text trimmed, booleans and numbers as JSON writes them; 1 to 256 code points. Else why not.

    Text that is a quoted JSON string is its content. Lists, maps, bytes and numbers that are not
    finite are no id.
    """
    match value:
        case None:
            text = ""
        case str():
            text = value.strip()
            if len(text) > 1 and text[0] == text[-1] == '"' and isinstance(content := from_json(text), str):
                text = content.strip()
        case bool():
            text = "true" if value else "false"
        case int():
            text = str(value)
        case float() if math.isfinite(value):
            text = repr(value)
        case _:
            return Note.SESSION_ID_WRONG_TYPE
    if not text:
        return Note.SESSION_ID_EMPTY
    return text if len(text) <= MAX_ID_LENGTH else Note.SESSION_ID_TOO_LONG
