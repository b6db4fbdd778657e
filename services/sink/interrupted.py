"""Embedded mode after a kill: windows that ClickHouse knows as open and whose state is gone.

Epochs are the high bits of versions (design: semantics, "Identity and version").
"""

from services.shared.clickhouse import ClickHouse
from services.shared.model.rollup import CloseReason, WindowState

_EPOCH_SHIFT = 48
_OPEN = "state = {open:String} AND bitShiftRight(version, {shift:UInt8}) < {epoch:UInt64}"


def highest_epoch(client: ClickHouse) -> int:
    """The highest epoch of any stored version; 0 in an empty database."""
    rows = client.query(
        """
        SELECT bitShiftRight(greatest(
            (SELECT max(version) FROM session_windows),
            (SELECT max(version) FROM session_turns)), {shift:UInt8}) AS epoch
        """,
        {"shift": _EPOCH_SHIFT},
    )
    return int(rows[0]["epoch"])


def close_interrupted(client: ClickHouse, epoch: int) -> int:
    """Close every window that is open with an epoch below `epoch`, and return how many.

    Each is written again as closed (`interrupted`) at the version `epoch << 48`, all else as it
    was: nothing that the worker writes in this epoch is lower. Doing it again changes nothing.
    """
    parameters = {"shift": _EPOCH_SHIFT, "epoch": epoch, "open": WindowState.OPEN.value}
    counted = client.query(f"SELECT count() AS n FROM session_windows FINAL WHERE {_OPEN}", parameters)  # noqa: S608 - ours
    if count := int(counted[0]["n"]):
        client.command(
            f"""
            INSERT INTO session_windows
            SELECT * REPLACE (
                bitShiftLeft({{epoch:UInt64}}, {{shift:UInt8}}) AS version,
                {{closed:String}} AS state,
                {{reason:String}} AS close_reason)
            FROM (SELECT * FROM session_windows FINAL WHERE {_OPEN})
            """,  # noqa: S608 - no value is part of the text
            {**parameters, "closed": WindowState.CLOSED.value, "reason": CloseReason.INTERRUPTED.value},
        )
    return count
