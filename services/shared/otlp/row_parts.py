"""What the compiled writer of span rows (`_rows.pyx`) asks Python, and remembers: all that needs the span model.

Each answer follows from the definition, `rows.py`. Texts go out as UTF-8.
"""

from collections import Counter

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.model.outcome import Note
from services.shared.otlp import plan
from services.shared.otlp.dimensions import read_name
from services.shared.otlp.identity import read_id
from services.shared.otlp.model_call import span_kind
from services.shared.otlp.plan import plans_for
from services.shared.otlp.resource_view import ResourceView
from services.shared.otlp.rows import RowReader, SpanRow, is_stored, texts_of
from services.shared.otlp.rules import Rules
from services.shared.otlp.span_kind import Kind

ACTION_NONE, ACTION_KIND, ACTION_SESSION, ACTION_SESSION_PATH, ACTION_ODD = range(1, 6)
"""What an attribute of some name tells of a row besides itself; `ODD`: something that only `RowReader` reads."""

_LENGTH_DELIMITED = 2


class RowParts:
    """For one set of rules, without redaction."""

    def __init__(self, rules: Rules, *, roots_only: bool) -> None:
        assert rules.redaction is None, "what redaction leaves of a span is not on the wire"
        self._rules, self._plans, self._roots_only = rules, plans_for(rules), roots_only
        self.max_future = rules.max_future

    def resource(self, data: bytes) -> tuple[object, bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
        """For `row`; project, service, session id ("": none), attributes. Raises `DecodeError`."""
        resource = Resource.FromString(data)
        view = ResourceView(resource, self._rules, self._plans)
        sourced, _ = view.read([], view.values[:], [plan.UNSET] * plan.SLOTS, Counter[Note]())
        session = "" if sourced is None else sourced.key.session_id
        texts = texts_of(resource.attributes)
        entries = [(name.encode(), text.encode()) for name, text in texts.items()]
        return (view, texts), view.project.encode(), view.service.encode(), session.encode(), entries

    def scope(self, data: bytes) -> tuple[InstrumentationScope, bytes, bytes]:
        """For `row`; name, version. Raises `DecodeError`."""
        scope = InstrumentationScope.FromString(data)
        return scope, scope.name.encode(), scope.version.encode()

    def row(
        self, span: bytes, resource: tuple[ResourceView, dict[str, str]], scope: InstrumentationScope, record_time: int
    ) -> SpanRow | None:
        """The row of one span, if it has one. Raises `DecodeError` where the record as a whole would."""
        request = TracesData.FromString(_field(1, _field(2, _field(2, span))))  # as deep as it was
        [resource_spans] = request.resource_spans
        [scope_spans] = resource_spans.scope_spans
        [message] = scope_spans.spans
        if not is_stored(message, roots_only=self._roots_only):
            return None
        view, texts = resource
        return RowReader(view, texts, scope, self._plans, self._rules, record_time).row(message)

    def action(self, name: str) -> tuple[int, int]:
        """What to do with an attribute of this name, and the rank of what it tells."""
        place = self._plans.children[name]
        places = [] if place is None else place[2] if place[0] == plan.SEVERAL else [place]
        actions = []
        for slot, rank, detail in places:
            if slot == plan.KIND:
                actions.append((ACTION_KIND, rank))
            elif slot == plan.SESSION:
                actions.append((ACTION_SESSION_PATH if self._plans.session_paths[detail] else ACTION_SESSION, detail))
            elif slot == plan.MEMBERS and any(member.slot == plan.KIND for member in detail):
                actions.append((ACTION_ODD, 0))
        match actions:
            case []:
                return ACTION_NONE, 0
            case [action]:
                return action
            case _:
                return ACTION_ODD, 0

    def kind(self, rank: int, value: bytes) -> bytes | None:
        """The kind that the value of an attribute of this rank means; `None`: it does not count."""
        word = read_name(AnyValue.FromString(value))
        if word is None:
            return None
        values: list[str | None] = [None] * plan.SLOTS
        ranks = [plan.UNSET] * plan.SLOTS
        values[plan.KIND], ranks[plan.KIND] = word, rank
        return (span_kind(values, ranks) or Kind.UNKNOWN).value.encode()

    def session_id(self, value: bytes) -> bytes | None:
        """The id that a value is, `None` for none."""
        found = read_id(AnyValue.FromString(value))
        return None if isinstance(found, Note) else found.encode()


def _field(number: int, content: bytes) -> bytes:
    """A field of a message on the wire."""
    size, head = len(content), bytearray([number << 3 | _LENGTH_DELIMITED])
    while size > 0x7F:  # noqa: PLR2004 - seven bits a byte
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content
