"""PURE: whether the sessions that the API shows are the conversations that were held."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from services.demo.conversations import HeldConversation, HeldTurn


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as the API shows it, at the list, the session and its turns."""

    session_id: str
    state: str
    users: tuple[str, ...]
    trace_ids: tuple[str, ...]  # in the list of the project's sessions, by start
    turn_count: int
    prompt_tokens: int
    completion_tokens: int
    turns: tuple[HeldTurn, ...]  # by start


def differences(held: Sequence[HeldConversation], shown: Sequence[ShownSession]) -> list[str]:
    """Every difference, one a line; empty when the sessions are the conversations, no more and no fewer."""
    by_id: Mapping[str, ShownSession] = {session.session_id: session for session in shown}
    found = [f"{talk.session_id} was held and is not shown" for talk in held if talk.session_id not in by_id]
    known = {talk.session_id for talk in held}
    found += [f"{session_id} is shown and was not held" for session_id in by_id if session_id not in known]
    for talk in held:
        if (session := by_id.get(talk.session_id)) is not None:
            found += [f"{talk.session_id}: {text}" for text in _compare(talk, session)]
    return found


def _compare(talk: HeldConversation, session: ShownSession) -> Iterator[str]:
    facts: tuple[tuple[str, object, object], ...] = (
        ("users", (talk.user,), session.users),
        ("traces", tuple(turn.trace_id for turn in talk.turns), session.trace_ids),
        ("turns", len(talk.turns), session.turn_count),
        ("prompt tokens", talk.prompt_tokens, session.prompt_tokens),
        ("completion tokens", talk.completion_tokens, session.completion_tokens),
        ("turns that can be read", len(talk.turns), len(session.turns)),
    )
    for name, expected, actual in facts:
        if actual != expected:
            yield f"{name}: held {expected!r}, shown {actual!r}"
    for number, (turn, shown) in enumerate(zip(talk.turns, session.turns, strict=False), start=1):
        for field in fields(HeldTurn):
            expected, actual = getattr(turn, field.name), getattr(shown, field.name)
            if actual != expected:
                yield f"turn {number}: {field.name}: held {expected!r}, shown {actual!r}"
