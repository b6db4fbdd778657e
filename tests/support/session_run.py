"""One session in one partition, for case lists: spans and watermarks in, windows out. Times in ns after `T0`."""

from collections.abc import Iterable
from itertools import count, permutations
from typing import Any

from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_IDENTITIES
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.support.spans import SECOND, T0, facts, span_id, trace_id
from tests.support.stage_run import Published, Row, StageRun

GAP = 30 * SECOND
LATENESS = 60 * SECOND
POLICY = Policy(
    gap=GAP, allowed_lateness=LATENESS, max_duration=1_000 * SECOND, max_spans=10, snapshot_interval=10 * SECOND
)
KEY = SessionKey("shop", "s1")

_numbers = count(1_000)


def span(trace: int, start: int, end: int | None = None, *, number: int | None = None, **more: Any) -> SpanFacts:
    """A span [start, end] of a trace, by default of no length; its id is new unless `number` says which."""
    stop = start if end is None else end
    return facts(trace, next(_numbers) if number is None else number, T0 + start, T0 + stop, **more)


def end_of(at: int, *, trace: int = 99, number: int = 99) -> SessionEnd:
    """An explicit end at `at`, carried by a span of another session."""
    return SessionEnd(T0 + at, trace_id(trace), span_id(number))


class SessionRun:
    """Feeds one session key; each `add` is one record of the log."""

    def __init__(self, policy: Policy = POLICY, key: SessionKey = KEY, *, max_identities: int = MAX_IDENTITIES) -> None:
        self.stage_run = StageRun(policy, max_identities=max_identities)
        self.key = key

    def add(self, *items: SpanFacts | SessionEnd, key: SessionKey | None = None) -> int:
        """One record with these items. Returns its version."""
        record = SpansRecord((SpanGroup(key or self.key, T0, items),))
        return self.stage_run.epoch << 48 | self.stage_run.fold(T0, record)

    def add_each(self, items: Iterable[SpanFacts | SessionEnd]) -> None:
        """A record for each of them."""
        for item in items:
            self.add(item)

    def pass_time(self, watermark: int) -> int:
        """The only source moves the watermark. Returns the record's version."""
        record = WatermarkRecord("spans/0", T0 + watermark, 1)
        return self.stage_run.epoch << 48 | self.stage_run.fold(T0, record)

    def flush(self, *, drain: bool = False) -> Published:
        return self.stage_run.flush(drain=drain)

    @property
    def windows(self) -> list[Row]:
        """After a drain: every window that was published and not retracted, by its start."""
        self.flush(drain=True)
        rows = [row for row in self.stage_run.tables.windows.values() if not row["is_deleted"]]
        return sorted(rows, key=lambda row: (row["window_start"], row["opened_at"], row["version"]))

    @property
    def window(self) -> Row:
        [row] = self.windows
        return row

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Start and end of each of them."""
        return [(row["window_start"] - T0, row["window_end"] - T0) for row in self.windows]

    def turns(self, window: Row) -> list[int]:
        """The traces of a window, by number."""
        names = self.stage_run.tables.living_turns()
        return sorted(int(trace, 16) for of, trace in names if of == window["window_id"])

    def outcome(self, name: str) -> int:
        """How many spans or ends had this outcome."""
        self.flush()
        return self.stage_run.counts["spanloom_windowed_spans_total", name]


def window_of(*spans: SpanFacts) -> Row:
    run = SessionRun()
    run.add_each(spans)
    return run.window


def turn_of(*spans: SpanFacts) -> Row:
    run = SessionRun()
    run.add_each(spans)
    run.flush()
    [turn] = run.stage_run.tables.living_turns().values()
    return turn


def same_in_any_order(spans: list[SpanFacts]) -> Row:
    """The window, identity and version apart, which must not depend on the order of arrival."""
    own = {"window_id", "version", "opened_at"}
    rows = [
        {name: value for name, value in window_of(*order).items() if name not in own} for order in permutations(spans)
    ]
    assert all(row == rows[0] for row in rows)
    return rows[0]
