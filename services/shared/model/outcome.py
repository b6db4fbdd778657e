"""What can happen to a record or a span besides being counted once, each under one name.

The names are label values of `spanloom_spans_total` and `spanloom_records_total`, headers of
dead letters and rows of the table in `services/sessionizer/README.md`: a test compares them.
"""

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Why a whole record can never be decoded. None of its spans counts."""

    TRUNCATED = "truncated"
    INVALID_WIRE_TYPE = "invalid_wire_type"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_PROTOBUF = "invalid_protobuf"
    INVALID_JSON = "invalid_json"
    NOT_AN_EXPORT_REQUEST = "not_an_export_request"
    INVALID_GZIP = "invalid_gzip"
    TOO_LARGE = "too_large"


class DropReason(StrEnum):
    """Why one span of a readable record does not count."""

    INVALID_ID = "invalid_id"
    NO_SESSION_ID = "no_session_id"


class Note(StrEnum):
    """What was corrected or remarkable about a span or record that counts all the same."""

    TIME_MISSING = "time_missing"
    TIME_NEGATIVE = "time_negative"
    TIME_BEFORE_2000 = "time_before_2000"
    END_BEFORE_START = "end_before_start"
    TIME_IN_FUTURE = "time_in_future"
    SESSION_ID_EMPTY = "session_id_empty"
    SESSION_ID_TOO_LONG = "session_id_too_long"
    SESSION_ID_WRONG_TYPE = "session_id_wrong_type"  # an array, a map, bytes, not-a-number, an infinity
    INVALID_PARENT_ID = "invalid_parent_id"  # counts as a root
    DIMENSIONS_CUT = "dimensions_cut"  # more tags, metadata or session attributes than are kept
    ANNOTATION_INVALID = "annotation_invalid"  # no name, nothing said, or nobody knows of what
    ANNOTATIONS_CUT = "annotations_cut"  # more annotations on one span than are kept
    PATH_UNREADABLE = "path_unreadable"  # a configured path leads into text that is no JSON
    NUL_CHARACTER = "nul_character"
    MANY_ATTRIBUTES = "many_attributes"
    LARGE_RECORD = "large_record"


class ResolveOutcome(StrEnum):
    """What became of a span that waited for the session of its trace."""

    RESOLVED = "resolved"
    TRACE_SESSION = "trace_session"  # its trace has none, and is one by setting
    NO_SESSION_ID = "no_session_id"
    TOO_MANY_WAITING = "too_many_waiting"


class EngineNote(StrEnum):
    """What the window engine did with a span or an explicit end besides adding it."""

    DUPLICATE = "duplicate"
    LATE = "late"
    END_IGNORED = "end_ignored"
    IDENTITY_EVICTED = "identity_evicted"


class SinkOutcome(StrEnum):
    """What a sink did with a record of which it could not store every row: a dead letter, but for the last one."""

    UNREADABLE = "unreadable"
    INVALID_FIELD = "invalid_field"
    REFUSED_ROW = "refused_row"
    SKIPPED = "skipped"  # undecodable spans, whose dead letter `route` writes
