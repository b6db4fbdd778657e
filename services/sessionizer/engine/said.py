"""What the spans of one turn say of who and where.

Nearly all spans of a turn say the same, so their `Dimensions` are kept as they are, few and
shared; only a turn that says many different things collects them as a window does. What comes
out is the same either way.
"""

from operator import itemgetter

from services.sessionizer.engine.who import Who, Writer
from services.shared.model.span import NO_DIMENSIONS, Dimensions

NAME_BYTES = 2 << 10
"""Bytes of JSON for all users of a turn, all services, all agents, all conversations, all tags."""
ENTRY_BYTES = 4 << 10
"""Bytes of JSON for all `session.*` attributes of a turn, all metadata."""
MAX_FEW = 8
"""Different things said, over which they are collected."""

_LARGEST_CHARACTER = 6  # bytes of JSON
_NUMBERS_OF_ENTRY = 38
_COLLECTED_BYTES = 2 * (5 * NAME_BYTES + 2 * ENTRY_BYTES)

_NOBODY: Writer = (0, b"", b"")

Summary = tuple[list[str], str, list[str], list[str], list[str], list[str], dict[str, str], dict[str, str]]
"""User ids, environment, services, agents, conversations, tags, session attributes, metadata."""


class Said:
    """`few`: what was said, each thing once with its last writer; `many`: all of it, once it is more than a few things.

    `settle` after each record. `weight` is about the encoded size in bytes, and never less than what is bounded.
    """

    __slots__ = ("_last", "_writer", "few", "many", "weight")

    def __init__(self) -> None:
        self.few: list[tuple[Dimensions, Writer]] = []
        self.many: Who | None = None
        self.weight = 0
        self._last = NO_DIMENSIONS
        self._writer = _NOBODY

    def hear(self, said: Dimensions, end: int, span_id: bytes) -> None:
        """A span of the turn said this."""
        writer = (end, b"", span_id)
        if said is self._last:
            self._writer = max(writer, self._writer)
            return
        self.settle()
        self._last, self._writer = said, writer

    def settle(self) -> None:
        """Take in what the last spans said."""
        last, writer = self._last, self._writer
        if last is NO_DIMENSIONS:
            return
        self._last, self._writer = NO_DIMENSIONS, _NOBODY
        if self.many is not None:
            self.many.hear(last, writer)
            return
        for at, (said, known) in enumerate(self.few):
            if said is last or said == last:
                if writer > known:
                    self.few[at] = (last, writer)
                return
        if last == NO_DIMENSIONS:
            return
        self.add(last, writer)
        if len(self.few) > MAX_FEW:
            self.collect()

    def add(self, said: Dimensions, writer: Writer) -> None:
        """One more of the few."""
        self.few.append((said, writer))
        self.weight += weight_of(said)

    def collect(self) -> Who:
        """From now on what is heard is collected."""
        self.many, self.weight = self._collection(), _COLLECTED_BYTES
        self.few = []
        return self.many

    def summary(self) -> Summary:
        """All of it, bounded."""
        if self.many is None and self.weight <= NAME_BYTES:
            return self._short_summary()
        who = self.many or self._collection()
        return (
            who.users.sorted,
            "" if who.environment is None else who.environment[1],
            who.services.sorted,
            who.agents.sorted,
            who.conversations.sorted,
            who.tags.sorted,
            {name: written[1] for name, written in sorted(who.session.values.items())},
            {name: written[1] for name, written in sorted(who.metadata.values.items())},
        )

    def _short_summary(self) -> Summary:
        """Of things so small that none can be over a bound."""
        few = [said for said, _ in sorted(self.few, key=itemgetter(1))]
        session, metadata = dict[str, str](), dict[str, str]()
        for said in few:
            session.update(said.session)
            metadata.update(said.metadata)
        return (
            sorted({said.user_id for said in few if said.user_id}),
            next((said.environment for said in reversed(few) if said.environment), ""),
            sorted({said.service for said in few if said.service}),
            sorted({said.agent for said in few if said.agent}),
            sorted({said.conversation_id for said in few if said.conversation_id}),
            sorted({tag for said in few for tag in said.tags}),
            dict(sorted(session.items())),
            dict(sorted(metadata.items())),
        )

    def _collection(self) -> Who:
        who = Who(NAME_BYTES, ENTRY_BYTES)
        for said, writer in self.few:
            who.hear(said, writer)
        return who


def weight_of(said: Dimensions) -> int:
    """At least the bytes of JSON that all of it takes, as `Who` counts them; that it is bounded so bounds each text."""
    names = (said.user_id, said.environment, said.service, said.agent, said.conversation_id, *said.tags)
    entries = said.session + said.metadata
    text = "".join([*names, *[part for name, value in entries for part in (name, name, value)]])
    is_plain = text.isascii() and text.isprintable() and '"' not in text and "\\" not in text
    characters = len(text) if is_plain else _LARGEST_CHARACTER * len(text)
    return characters + 2 * len(names) + _NUMBERS_OF_ENTRY * len(entries)
