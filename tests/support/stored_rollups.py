"""Rollups in ClickHouse the way they get there: as the JSON of a record, as rows of a sink."""

from collections.abc import Sequence
from itertools import count

from services.shared.clickhouse import ClickHouse
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.records.rollups import encode_turns, encode_window
from services.sink.rows import Unreadable, Values, columns, rollup_rows

_tokens = count()


def insert_rollups(client: ClickHouse, rollups: Sequence[WindowRollup | TurnRollup]) -> None:
    """Each table in one insert."""
    rows: dict[str, list[Values]] = {}
    for rollup in rollups:
        values = (
            [encode_window(rollup)]
            if isinstance(rollup, WindowRollup)
            else encode_turns(rollup.project, rollup.session_id, rollup.window_id, [rollup])
        )
        for value in values:
            converted = rollup_rows(value, 0)
            assert not isinstance(converted, Unreadable), converted
            for table, row in converted:
                rows.setdefault(table, []).append(row)
    for table, values_of_table in rows.items():
        client.insert(table, columns(table, values_of_table), f"test-{next(_tokens)}")


def remove_rollups(client: ClickHouse) -> None:
    """Empty, as after the migrations."""
    for table in ("session_windows", "session_windows_by_session", "session_turns", "projects"):
        client.command(f"TRUNCATE TABLE {table}")
