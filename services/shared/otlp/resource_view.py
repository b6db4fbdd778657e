"""What a resource says of all its spans, and what its spans share: session keys, dimensions."""

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from services.shared.model.outcome import Note
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions
from services.shared.otlp import plan
from services.shared.otlp.dimensions import bounded, flat, name_of
from services.shared.otlp.identity import id_of, read_id
from services.shared.otlp.json_path import Path, document_of, member_of
from services.shared.otlp.plan import Collected, Plans, read_attributes, read_members
from services.shared.otlp.rules import Rules
from services.shared.otlp.values import plain, text_of
from services.shared.semconv import CACHE_APART_SDKS, TABLE, Meaning

DEFAULT_PROJECT = "default"

_Entries = tuple[tuple[str, str], ...]
_Candidates = list[tuple[int, KeyValue]]


class SourcedKey(NamedTuple):
    """A session key and the attribute its id came from."""

    key: SessionKey
    attribute: str


class ResourceView:
    """One resource of one record, read once."""

    def __init__(self, resource: Resource, rules: Rules, plans: Plans) -> None:
        by_name = {item.key: item.value for item in resource.attributes}
        self.project = _project(by_name, rules)
        self.service = name_of(plain(by_name["service.name"])) or "" if "service.name" in by_name else ""
        self.values: list[Any] = [None] * plan.SLOTS
        """What slots hold that a span does not fill."""
        self._session_names, self._session_paths = plans.session_names, plans.session_paths
        self._keys: dict[str, SourcedKey] = {}
        self._maps: dict[str, _Entries] = {}
        self._dimensions: dict[tuple[Any, ...], tuple[Dimensions, bool]] = {}
        self._session: _Entries = ()
        self._metadata: _Entries = ()
        self._own: SourcedKey | None = None
        self._notes: Counter[Note] = Counter()
        ranks = [plan.UNSET] * plan.SLOTS
        collected = read_attributes(resource.attributes, plans.resources, self.values, ranks)
        candidates, self._session, self._metadata = self._take_apart(collected, self.values, ranks)
        self._own = self._first_usable(candidates, self._notes)
        self.values[plan.ANNOTATION] = None
        if "telemetry.sdk.name" in by_name and by_name["telemetry.sdk.name"].string_value in CACHE_APART_SDKS:
            self.values[plan.CACHE_APART] = True

    @property
    def own(self) -> tuple[SourcedKey | None, Counter[Note]]:
        """The session that its spans are of where they name none, and what is noted of each such span."""
        return self._own, self._notes

    def session_of(self, rank: int, value: AnyValue) -> tuple[SourcedKey | None, Counter[Note]]:
        """What one attribute with a session id says, the name of which has this rank; and what is noted of it."""
        notes: Counter[Note] = Counter()
        return self._first_usable([(rank, KeyValue(value=value))], notes), notes

    def read(
        self, collected: Collected, values: list[Any], ranks: list[int], notes: Counter[Note]
    ) -> tuple[SourcedKey | None, Dimensions]:
        """The session key that the span or its resource names, and the span's dimensions. Adds to `notes`.

        Members of JSON objects go into `values` and `ranks`.
        """
        session, metadata = self._session, self._metadata
        if len(collected) == 1 and collected[0][0] == plan.SESSION:
            own = self._first_usable([collected[0][1:]], notes)
        elif collected:
            candidates, session, metadata = self._take_apart(collected, values, ranks)
            own = self._first_usable(candidates, notes)
        else:
            own = None
        if own is None:
            own = self._own
            if self._notes:
                notes.update(self._notes)
        who = (
            values[plan.USER],
            values[plan.ENVIRONMENT],
            values[plan.AGENT],
            values[plan.TAGS],
            session,
            metadata,
            values[plan.CONVERSATION],
        )
        found = self._dimensions.get(who)
        if found is None:
            found = self._dimensions[who] = self._make_dimensions(*who)
        if found[1]:
            notes[Note.DIMENSIONS_CUT] += 1
        return own, found[0]

    def _make_dimensions(
        self,
        user: str | None,
        environment: str | None,
        agent: str | None,
        tags: tuple[str, ...] | None,
        session: _Entries,
        metadata: _Entries,
        conversation: str | None,
    ) -> tuple[Dimensions, bool]:
        """Dimensions, and whether something had to be cut."""
        tags = tags or ()
        kept_tags = tuple(tag for tag, _ in bounded((tag, "") for tag in tags))
        kept_session, kept_metadata = tuple(bounded(session)), tuple(bounded(metadata))
        is_cut = (kept_tags, kept_session, kept_metadata) != (tags, session, metadata)
        return Dimensions(
            user or "",
            environment or "",
            self.service,
            agent or "",
            kept_tags,
            kept_session,
            kept_metadata,
            conversation or "",
        ), is_cut

    def _first_usable(self, candidates: _Candidates, notes: Counter[Note]) -> SourcedKey | None:
        if len(candidates) > 1:
            candidates.sort(key=itemgetter(0))
        for rank, item in candidates:
            text = item.value.string_value
            name = self._session_names[rank]
            known = self._keys.get(text) if text else None
            if known is not None and known.attribute == name:
                return known
            path = self._session_paths[rank]
            found = _id_inside(item.value, path) if path else read_id(item.value)
            if found is None:
                continue
            if isinstance(found, Note):
                notes[found] += 1
                continue
            sourced = SourcedKey(SessionKey(self.project, found), name)
            if "\0" in found:
                notes[Note.NUL_CHARACTER] += 1
            elif text:
                self._keys[text] = sourced
            return sourced
        return None

    def _take_apart(
        self, collected: Collected, values: list[Any], ranks: list[int]
    ) -> tuple[_Candidates, _Entries, _Entries]:
        """Session id candidates, session attributes, metadata. What annotates goes into its slot."""
        candidates: _Candidates = []
        session: dict[str, str] = {}
        session_ranks: dict[str, int] = {}
        metadata: list[tuple[int, _Entries]] = []
        for slot, detail, item in collected:
            match slot:
                case plan.SESSION:
                    candidates.append((detail, item))
                case plan.SESSION_ATTRIBUTE:
                    name, rank, path = detail
                    found = member_of(document_of(item.value), path) if path else plain(item.value)
                    if rank <= session_ranks.get(name, plan.OWN_RANK) and (found is not None or not path):
                        session[name], session_ranks[name] = text_of(found), rank
                case plan.METADATA:
                    rank, key = detail
                    metadata.append((rank, ((key, text_of(plain(item.value))),) if key else self._map(item.value)))
                case plan.MEMBERS:
                    read_members(detail, item.value, values, ranks)
                case plan.ANNOTATION:
                    values[plan.ANNOTATION] = [*(values[plan.ANNOTATION] or ()), (detail, item.value)]
        return (
            candidates,
            tuple(sorted((dict(self._session) | session).items())) if session else self._session,
            self._with_resource(metadata) if metadata else self._metadata,
        )

    def _map(self, value: AnyValue) -> _Entries:
        """The entries of a whole map, sorted. Spans of a trace repeat the same JSON text."""
        text = value.string_value
        known = self._maps.get(text) if text else None
        if known is None:
            known = tuple(sorted(flat(text or plain(value))))
            if text:
                self._maps[text] = known
        return known

    def _with_resource(self, metadata: list[tuple[int, _Entries]]) -> _Entries:
        if len(metadata) == 1 and not self._metadata:
            return metadata[0][1]
        merged = dict(self._metadata)
        for _, entries in sorted(metadata, key=itemgetter(0), reverse=True):
            merged.update(entries)
        return tuple(sorted(merged.items()))


def _id_inside(value: AnyValue, path: Path) -> str | Note | None:
    """The id that a path leads to, or why it is none; `None` where the path leads to nothing."""
    document = document_of(value)
    if not isinstance(document, dict):
        return Note.PATH_UNREADABLE
    found = member_of(document, path)
    return None if found is None else id_of(found)


def _project(by_name: dict[str, AnyValue], rules: Rules) -> str:
    names: Iterable[str] = (*TABLE[Meaning.PROJECT].names, *rules.project_attributes)
    for name in names:
        if name in by_name and not isinstance(found := read_id(by_name[name]), Note):
            return found
    return DEFAULT_PROJECT
