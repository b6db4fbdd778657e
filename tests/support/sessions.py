"""What a worker makes of export requests: decoded, priced and cut into sessions, with no process around it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.sessionizer.engine.policy import Policy
from services.shared.otlp.facts import extract
from services.shared.otlp.rules import Rules
from services.shared.prices.price_book import price_book
from services.shared.records.session_spans import SpansRecord
from tests.support.otlp import HOUR, MINUTE
from tests.support.stage_run import Row, StageRun

PRICES = price_book("")
POLICY = Policy(
    gap=30 * MINUTE,
    allowed_lateness=HOUR,
    max_duration=24 * HOUR,
    max_spans=50_000,
    snapshot_interval=30 * 10**9,
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """The rows that a sink would store, by session id; of turns in order of their start."""

    windows: dict[str, Row]
    turns: dict[str, list[Row]]


def sessions_of(requests: Iterable[TracesData], record_time: int, **rules: Any) -> Sessions:
    """All requests as one record: a session id on any span of a trace serves the others."""
    data = TracesData()
    for request in requests:
        data.MergeFrom(TracesData.FromString(request.SerializeToString()))
    run = StageRun(POLICY)
    run.fold(record_time, SpansRecord(tuple(extract(data, record_time, Rules(prices=PRICES, **rules)).groups)))
    run.flush(drain=True)
    windows = {row["session_id"]: row for row in run.tables.living_windows().values()}
    assert len(windows) == len(run.tables.living_windows()), "a session in one window"
    turns: dict[str, list[Row]] = {session_id: [] for session_id in windows}
    for row in sorted(run.tables.living_turns().values(), key=lambda row: row["started_at"]):
        turns[row["session_id"]].append(row)
    return Sessions(windows, turns)
