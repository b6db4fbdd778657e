"""Sessions as ClickHouse has them, against what was sent."""

from services.sessionizer.engine.policy import Policy
from services.shared.clickhouse import ClickHouse
from tests.support.comparison import assert_equal_to_reference
from tests.support.reference import reference_windows
from tests.support.traffic import Traffic

_DONE = (
    "SELECT sum(span_count) AS spans, countIf(state = 'open') AS open FROM session_windows FINAL WHERE is_deleted = 0"
)


def are_closed(store: ClickHouse, spans: int) -> bool:
    """Whether so many spans are in windows and none is open. More of them is an error at once."""
    (row,) = store.query(_DONE)
    assert row["spans"] <= spans, f"{row['spans']} spans are counted, {spans} were sent"
    return (row["spans"], row["open"]) == (spans, 0)


def assert_exact(store: ClickHouse, traffic: Traffic, policy: Policy) -> None:
    """Windows and turns are those of the reference model, field by field."""
    windows, turns = store.query("SELECT * FROM session_windows"), store.query("SELECT * FROM session_turns")
    assert_equal_to_reference(reference_windows(traffic.groups(), policy), windows, turns)
