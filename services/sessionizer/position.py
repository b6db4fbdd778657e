"""Where a new owner of a partition goes on reading."""

from typing import NamedTuple

from services.shared.errors import PermanentError


class Position(NamedTuple):
    """The next offset to fold; whether state and group disagreed; how many records are gone unread."""

    position: int
    is_conflict: bool
    expired: int


def choose_position(where: str, *, ours: int | None, committed: int | None, bounds: tuple[int, int]) -> Position:
    """Where the state stands, else where the group stands, else where the log begins.

    `ours` is the position of the meta record, `committed` the group's offset, `bounds` the first
    and the next offset of the log, `where` its name. The state wins: it is of the same transaction
    as what was published. Raises `PermanentError` for a log that ends before the position.
    """
    first, end = bounds
    position = next((known for known in (ours, committed) if known is not None), first)
    if position > end:
        raise PermanentError(
            f"{where} ends at {end}, before our position {position}: the topic was made anew. "
            f"Set SPANLOOM_EPOCH (of trace_spans: SPANLOOM_RESOLVE_EPOCH) higher than before to begin again with the "
            f"states as they are"
        )
    is_conflict = ours is not None and committed is not None and ours != committed
    return Position(max(position, first), is_conflict, max(first - position, 0))
