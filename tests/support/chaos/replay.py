"""What one `window` stage makes of the log of a keyed partition when nothing ever fails."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.sessionizer.stage import InputRecord, Moment, Stage
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records import rollups
from services.shared.records.session_spans import SpanGroup, encode_spans
from tests.support.kafka.log import LogRecord

_LAST = Moment(now=0, caught_up=False, drain=True)

Windows = dict[str, Mapping[str, Any]]
"""Rows of windows by id."""


def restored(stage: Stage, changelog: Sequence[LogRecord]) -> int:
    """Bring a stage to where the changelog ends; the position it has then."""
    stage.restore((record.key or b"", record.value) for record in changelog)
    return stage.restored() or 0


def replayed(stage: Stage, log: Iterable[LogRecord]) -> Windows:
    """The windows that are left when a new stage has read this log."""
    for record in log:
        stage.fold(InputRecord(record.offset, record.timestamp, record.key, record.value))
    return _published(stage)


def probed(stage: Stage, offset: int, probe: bytes) -> Windows:
    """Every window that `probe` changes, all totals and counters told.

    Two stages are in the same state when they tell the same after the same record.
    """
    stage.fold(InputRecord(offset, 0, None, probe))
    return _published(stage)


def probe_of(facts: Iterable[tuple[SessionKey, SpanFacts]]) -> bytes:
    """A record with one new span in each turn."""
    spans: dict[SessionKey, dict[bytes, SpanFacts]] = {}
    for key, span in facts:
        spans.setdefault(key, {})[span.trace_id] = replace(span, span_id=b"\xff" * 8, ends_at=())
    return encode_spans([SpanGroup(key, 0, tuple(of_key.values())) for key, of_key in spans.items()])


def _published(stage: Stage) -> Windows:
    windows: Windows = {}
    for output in stage.flush(_LAST).outputs:
        row = rollups.decode(output.value)
        if row["type"] == "window":
            windows[row["window_id"]] = row
    return {name: row for name, row in windows.items() if not row["is_deleted"]}
