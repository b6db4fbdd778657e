"""Who and where: the users, services, agents, conversations, tags and so on that spans tell of."""

from typing import Self

from services.sessionizer.engine.names import Names, json_size
from services.shared.model.span import Dimensions

MAX_NAME = 256
"""Characters kept of a name: of a span, model, user, service, agent, environment, key."""
MAX_TEXT = 1024
"""Characters kept of a tag or of the value of a key."""

NUMBERS_OF_ENTRY = 32
"""About what the time of a value takes in JSON, and what stands between."""

Writer = tuple[int, bytes, bytes]
"""(time, trace id, span id): whose value it is. The greater one is later; ties go by ids."""
Written = tuple[Writer, str]


class Who:
    """Collections that are bounded in bytes of JSON, each for itself; the order in which they are told does not matter.

    `name_bytes` bounds each list of names, `entry_bytes` each map.
    """

    __slots__ = ("agents", "conversations", "environment", "metadata", "services", "session", "tags", "users")

    def __init__(self, name_bytes: int, entry_bytes: int) -> None:
        self.users = Names(name_bytes)
        self.services = Names(name_bytes)
        self.agents = Names(name_bytes)
        self.conversations = Names(name_bytes)
        self.tags = Names(name_bytes)
        self.session = Names(entry_bytes)  # of `Written`
        self.metadata = Names(entry_bytes)  # of `Written`
        self.environment: Written | None = None

    def hear(self, said: Dimensions, writer: Writer) -> None:
        """Count in what a span said. Of equal dimensions the last writer is enough."""
        if said.user_id:
            add_name(self.users, said.user_id, MAX_NAME)
        if said.service:
            add_name(self.services, said.service, MAX_NAME)
        if said.agent:
            add_name(self.agents, said.agent, MAX_NAME)
        if said.conversation_id:
            add_name(self.conversations, said.conversation_id, MAX_NAME)
        for tag in said.tags:
            add_name(self.tags, tag, MAX_TEXT)
        if said.environment and (self.environment is None or writer > self.environment[0]):
            self.environment = (writer, said.environment[:MAX_NAME])
        for name, value in said.session:
            write(self.session, name, value, writer)
        for name, value in said.metadata:
            write(self.metadata, name, value, writer)

    def absorb_who(self, other: Self) -> None:
        """Count in all that the other one heard."""
        for name in ("users", "services", "agents", "conversations", "tags"):
            getattr(self, name).absorb(getattr(other, name))
        for kept, others in ((self.session, other.session), (self.metadata, other.metadata)):
            kept.absorb(others)
            for name, written in others.values.items():
                if name in kept:
                    kept.values[name] = max(kept.values.get(name, written), written)
        both = [written for written in (self.environment, other.environment) if written is not None]
        self.environment = max(both, default=None)


def add_name(names: Names, name: str, length: int) -> None:
    """Let a name in, as far as there is room."""
    if name not in names.sizes:
        name = name[:length]
        names.admit(name, json_size(name))


def write(entries: Names, name: str, value: str, writer: Writer) -> None:
    """The last writer by event time has its value kept; the largest value counts for the size."""
    held: Written | None = entries.values.get(name)
    if held is None or held[1] != value:
        name, value = name[:MAX_NAME], value[:MAX_TEXT]
        if not entries.admit(name, 2 * json_size(name) + json_size(value) + NUMBERS_OF_ENTRY):
            return
        held = entries.values.get(name)
    if held is None or writer > held[0]:
        entries.values[name] = (writer, value)
