"""PURE: sessions as a table in a terminal."""

from collections.abc import Iterator, Sequence

from services.demo.check import ShownSession

_HEADINGS = ("session", "state", "turns", "tokens", "errors", "first question")
_LONGEST = 48


def session_table(sessions: Sequence[ShownSession]) -> Iterator[str]:
    """One line a session under a line of headings, columns aligned."""
    rows = [_HEADINGS, *(_row(session) for session in sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _row(session: ShownSession) -> tuple[str, ...]:
    first = session.turns[0].input if session.turns else ""
    return (
        session.session_id,
        session.state,
        str(session.turn_count),
        str(session.prompt_tokens + session.completion_tokens),
        str(sum(turn.has_error for turn in session.turns)),
        first if len(first) <= _LONGEST else first[: _LONGEST - 1] + "…",
    )
