"""`spanloom demo`: hold conversations, and where an API is named read them back and compare."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from services.demo.check import ShownSession, differences
from services.demo.conversations import CONVERSATIONS, HeldConversation
from services.demo.reading import SessionReader
from services.demo.report import session_table
from services.demo.traffic import hold
from services.shared.clock import Clock, SystemClock
from services.shared.errors import TransientError

_POLL = 0.2  # seconds
_HTTP_TIMEOUT = 10.0


def run(
    *,
    endpoint: str,
    project: str,
    api_url: str | None,
    until_closed: bool,
    patience: float,
    echo: Callable[[str], None],
) -> int:
    """Hold the conversations once. With `api_url`, also print the sessions; 1 unless they are what was held.

    `until_closed`: wait for the sessions to be closed too. `patience`: seconds to wait for that,
    and for the sessions to appear. Raises `SpanloomError` when a server does not answer.
    """
    clock = SystemClock()
    began = datetime.fromtimestamp(clock.now() / 1e9, UTC)
    held = hold(CONVERSATIONS, endpoint=endpoint, project=project, run=uuid4().hex[:6])
    turns = sum(len(talk.turns) for talk in held)
    echo(f"held {len(held)} conversations of {turns} turns in project {project}, and sent their spans to {endpoint}")
    if api_url is None:
        return 0
    echo(f"waiting until the sessions are {'closed' if until_closed else 'there'}")
    with httpx.Client(base_url=api_url, timeout=_HTTP_TIMEOUT) as client:
        reader = SessionReader(client, project)
        shown = _await(reader, held, began, until_closed=until_closed, patience=patience, clock=clock)
    order = [talk.session_id for talk in held]
    shown.sort(key=lambda session: order.index(session.session_id) if session.session_id in order else len(order))
    echo("")
    for line in session_table(shown):
        echo(line)
    echo("")
    found = differences(held, shown)
    for line in found:
        echo(line)
    if not found:
        echo("These are the conversations that were held: same turns, tokens and texts.")
    return 1 if found else 0


def _await(
    reader: SessionReader,
    held: Sequence[HeldConversation],
    began: datetime,
    *,
    until_closed: bool,
    patience: float,
    clock: Clock,
) -> list[ShownSession]:
    """The sessions since `began`, as soon as they are what was held, or when patience ends."""
    deadline = clock.monotonic() + patience
    while True:
        is_last = clock.monotonic() > deadline
        try:
            shown = reader.sessions_since(began)
        except TransientError:
            if is_last:
                raise
        else:
            closed = all(session.state == "closed" for session in shown) or not until_closed
            if is_last or (closed and not differences(held, shown)):
                return shown
        time.sleep(_POLL)
