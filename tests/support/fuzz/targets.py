"""What is called with mutated bytes, and what must come of it: a value, or the error that is documented.

Each target gives the name of its outcome for the figures; anything but its documented error is a fault.
"""

from collections.abc import Callable, Mapping

from services.sessionizer import meta, resolve_state, state
from services.shared.errors import PermanentError
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import extract
from services.shared.otlp.rows import span_rows
from services.shared.otlp.rules import Resolve, Rules
from services.shared.records import rollups, session_spans, trace_spans
from services.sink.rows import Unreadable, rollup_rows
from tests.support.both_routes import BothRoutes
from tests.support.otlp import HOUR, T0

Target = Callable[[bytes], str]

_PLAIN = Rules()
_OTHER = Rules(
    session_id_attributes=("metadata.user", "session.id"),
    project_attributes=("service.namespace",),
    resolve=Resolve.ALWAYS,
)
_TRACE_ID = bytes(range(16))


def _request(value: bytes) -> str:
    """As `route` and the span sink read a record, with one set of rules or another."""
    request = decode_request(value)
    if isinstance(request, DeadLetter):
        assert request.detail
        return f"dead letter: {request.reason}"
    rules = _OTHER if len(value) % 2 else _PLAIN
    extraction = extract(request, T0, rules)
    for _ in span_rows(request, T0, rules, roots_only=False):
        pass
    if extraction.groups:
        record = session_spans.encode_spans(extraction.groups)
        if len(value) % 8 == 0:
            assert session_spans.decode(record) == session_spans.SpansRecord(tuple(extraction.groups))
    return "facts" if extraction.latest_end is not None else "no span"


_ROUTES = BothRoutes(_OTHER)


def _route(value: bytes) -> str:
    """Compiled and in Python: the same outputs."""
    _ROUTES.fold(value)
    counts = _ROUTES.flush()
    return "record" if counts["spanloom_records_total", "decoded"] else "dead letter"


def _session_spans(value: bytes) -> str:
    try:
        record = session_spans.decode(value)
    except session_spans.UnreadableRecordError:
        return "refused"
    if isinstance(record, session_spans.WatermarkRecord):
        return "watermark"
    return "spans"


def _trace_spans(value: bytes) -> str:
    try:
        record = trace_spans.decode(value)
    except session_spans.UnreadableRecordError:
        return "refused"
    return "watermark" if isinstance(record, session_spans.WatermarkRecord) else "traces"


def _rollups(value: bytes) -> str:
    rows = rollup_rows(value, T0)
    return "dead letter" if isinstance(rows, Unreadable) else "rows"


def _live(value: bytes) -> str:
    try:
        rollups.decode(value)
    except rollups.UnreadableRollupError:
        return "refused"
    return "object"


def _stable(decode: Callable[[bytes], object], encode: Callable[[object], bytes]) -> Target:
    """What is read is written, and read again as the same.

    Bytes whose fields have other types than a worker writes may be read all the same: nobody looks at
    each field, and nobody else writes there. They have no bytes to compare.
    """

    def target(value: bytes) -> str:
        try:
            found = decode(value)
        except PermanentError:
            return "refused"
        try:
            written = encode(found)
        except (TypeError, ValueError, AttributeError, OverflowError):
            return "other types"
        assert encode(decode(written)) == written
        return "round trip"

    return target


def _head(value: bytes) -> object:
    window = state.decode_head(bytes(8), value)
    return window, state.deadline(value), bool(window.turns.pages)


TARGETS: Mapping[str, tuple[str, Target]] = {
    "decoder": ("request", _request),
    "route": ("request", _route),
    "session_spans": ("spans", _session_spans),
    "trace_spans": ("traces", _trace_spans),
    "sink": ("rollups", _rollups),
    "rollups": ("rollups", _live),
    "head": ("head", _stable(_head, lambda found: state.encode_head(found[0], found[1], whole=found[2]))),  # type: ignore[index]  # a triple
    "page": ("page", _stable(state.decode_page, state.encode_page)),  # type: ignore[arg-type]  # of what it decodes
    "set": ("set", _stable(state.decode_set, state.encode_set)),  # type: ignore[arg-type]  # as above
    "meta": ("meta", _stable(lambda value: meta.decode_meta(value, HOUR), meta.encode_meta)),  # type: ignore[arg-type]  # as above
    "trace": (
        "trace",
        _stable(lambda value: resolve_state.decode_wait(_TRACE_ID, value), resolve_state.encode_wait),  # type: ignore[arg-type]  # as above
    ),
    "segment": (
        "segment",
        _stable(
            lambda value: resolve_state.decode_segment(_TRACE_ID, value),
            lambda found: resolve_state.encode_segment(*found),  # type: ignore[misc]  # a pair
        ),
    ),
}
"""By name: the kind of corpus, and what is called."""

SHARES: Mapping[str, int] = {"decoder": 50, "head": 10, "page": 10, "set": 4, "meta": 4, "trace": 4, "segment": 4}
"""Of 100 inputs; the others share the rest."""
