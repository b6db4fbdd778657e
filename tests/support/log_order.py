"""The rules that depend on the order of the log, as a plain interpreter of semantics.md.

Read it beside the text: sections "Which window", "Time is data", "Identity and version" and
"Emission". Lists of spans are searched from end to end, totals are computed anew every time, and
nothing is ever encoded.
"""

from dataclasses import dataclass, field

from services.sessionizer.engine.policy import Policy
from services.shared.model.rollup import CloseReason, TurnRollup, WindowRollup
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.records.session_spans import SpansRecord, WatermarkRecord
from tests.support.model_time import ModelTime
from tests.support.model_window import Identity, Window
from tests.support.totals import interval, turns_of


@dataclass
class Retraction:
    """Deletes an absorbed window and its turns, at the version of the merge."""

    window: Window
    version: int


@dataclass
class Emission:
    """What one flush publishes, and what it does to the live view."""

    windows: dict[Window, WindowRollup] = field(default_factory=dict)
    turns: dict[Window, dict[bytes, TurnRollup]] = field(default_factory=dict)
    retractions: list[Retraction] = field(default_factory=list)
    live: dict[Window, WindowRollup] = field(default_factory=dict)
    live_turns: dict[Window, dict[bytes, TurnRollup]] = field(default_factory=dict)
    removed: list[Window] = field(default_factory=list)


class LogOrderModel:
    """One keyed partition: records in, windows held, emissions out."""

    def __init__(self, policy: Policy, *, max_identities: int = 1_000_000) -> None:
        self.policy = policy
        self.max_identities = max_identities
        self.epoch = 1
        self.held: list[Window] = []
        self.outcomes = dict.fromkeys(("added", "duplicate", "late", "end_ignored", "identity_evicted"), 0)
        self.expired = 0
        self._time = ModelTime()
        self._version = self._position = 0
        self._removed: list[Window] = []
        self._retractions: list[Retraction] = []
        self._leaving: list[Window] = []  # expired before their last change went out

    @property
    def watermark(self) -> int:
        return self._time.watermark

    def fold(self, offset: int, timestamp: int, record: SpansRecord | WatermarkRecord) -> None:
        self._version, self._position = self.epoch << 48 | offset, 0
        watermark = record if isinstance(record, WatermarkRecord) else None
        self._time.fold(timestamp, watermark, self.policy.source_timeout)
        self._settle()
        if isinstance(record, SpansRecord):
            for group in record.groups:
                for item in group.items:
                    self._position += 1
                    self._take(group.key, item, group.record_time)
        self._settle()

    # Which window

    def _of(self, key: SessionKey) -> list[Window]:
        return [window for window in self.held if window.key == key]

    def _take(self, key: SessionKey, item: SpanFacts | SessionEnd, record_time: int) -> None:
        identity = item.trace_id, item.span_id
        if isinstance(item, SessionEnd):
            self._end(key, item.at, identity)
            return
        for window in self._of(key):
            if identity in window.identities:
                window.duplicates += 1
                self.outcomes["duplicate"] += 1
                return
        self._add(key, item, record_time)
        self._bound_identities(key)
        if item.name == "session.end":
            self._end(key, item.end, identity)
        for at in item.ends_at:
            self._end(key, at, identity)

    def _add(self, key: SessionKey, span: SpanFacts, record_time: int) -> None:
        gap = self.policy.gap_for(key.project)
        window = self._home(key, span, gap) or self._open(key, span, record_time, gap)
        window.spans.append(span)
        window.identities.add((span.trace_id, span.span_id))
        is_late = self.watermark > span.end + gap
        window.late_spans += is_late
        self.outcomes["late"] += is_late
        self.outcomes["added"] += 1
        window.turn_versions[span.trace_id] = self._version
        if window.ended_at is None:
            turn = interval(turns_of(window.spans)[span.trace_id])
            near = [w for w in self._of(key) if w.is_plain and (w is window or w.distance(turn) <= gap)]
            window = self._merge(near)
        if len(window.spans) >= self.policy.max_spans:
            window.sealed = CloseReason.MAX_SPANS
        elif window.end - window.start >= self.policy.max_duration:
            window.sealed = CloseReason.MAX_DURATION
        self._change(window)

    def _bound_identities(self, key: SessionKey) -> None:
        """Those of the oldest sealed windows go first, then those of the oldest others."""
        windows = sorted(self._of(key), key=lambda window: (not window.sealed, window.opened))
        for window in windows:
            if sum(len(each.identities) for each in windows) > self.max_identities:
                self.outcomes["identity_evicted"] += len(window.identities)
                window.identities.clear()

    def _home(self, key: SessionKey, span: SpanFacts, gap: int) -> Window | None:
        growing = [window for window in self._of(key) if not window.sealed]
        for window in growing:
            if span.trace_id in window.turn_versions:
                return window
        ended = [
            window
            for window in growing
            if window.ended_at is not None
            and span.start <= window.ended_at
            and window.distance((span.start, span.end)) <= gap
        ]
        return min(ended, key=lambda window: window.opened, default=None)

    def _open(self, key: SessionKey, span: SpanFacts, record_time: int, gap: int) -> Window:
        is_late = self.watermark > span.end + gap + self.policy.allowed_lateness
        window = Window(key, (self._version, self._position), span, record_time, is_late)
        self.held.append(window)
        return window

    def _merge(self, windows: list[Window]) -> Window:
        """They become one: the oldest survives, the others are absorbed and retracted."""
        survivor = min(windows, key=lambda window: window.opened)
        for window in windows:
            if window is survivor:
                continue
            survivor.spans += window.spans
            survivor.identities |= window.identities
            survivor.late_spans += window.late_spans
            survivor.duplicates += window.duplicates
            survivor.turn_versions |= dict.fromkeys(window.turn_versions, self._version)
            survivor.has_retractions |= window.has_retractions or window.emitted is not None
            self._leave(window)
            if window.emitted is not None:
                self._retractions.append(Retraction(window, self._version))
        return survivor

    def _end(self, key: SessionKey, at: int, by: Identity) -> None:
        gap = self.policy.gap_for(key.project)
        candidates = [w for w in self._of(key) if w.is_plain and w.start <= at and w.end >= at - gap]
        if not candidates or any(window.ended_by == by for window in self._of(key)):
            self.outcomes["end_ignored"] += 1
            return
        window = max(candidates, key=lambda candidate: candidate.start)
        latest_turn = max(interval(turn)[0] for turn in turns_of(window.spans).values())
        window.ended_at, window.ended_by = max(at, latest_turn), by
        self._change(window)

    def _change(self, window: Window) -> None:
        """The window takes the policy in force when it last changed."""
        window.version = self._version
        window.gap = self.policy.gap_for(window.key.project)
        window.allowed_lateness = self.policy.allowed_lateness
        window.changed_at = self.watermark

    def _settle(self) -> None:
        """After a whole record: what is closed, what is expired."""
        for window in list(self.held):
            was_closed = window.is_closed
            window.is_closed = not window.is_plain or self.watermark > window.end + window.gap
            if window.is_closed and not was_closed:  # closing is a change; the window closes by the policy it has
                window.version, window.changed_at = self._version, self.watermark
            if window.is_closed and (
                self.watermark > max(window.end + window.gap, window.changed_at) + window.allowed_lateness
            ):
                self.expired += 1
                self._leave(window)
                if window.emitted != window.version:
                    self._leaving.append(window)

    def _leave(self, window: Window) -> None:
        self.held.remove(window)
        if window.shown is not None:
            self._removed.append(window)

    # Emission

    def flush(self, *, drain: bool = False) -> Emission:
        emission = Emission(retractions=self._retractions, removed=self._removed)
        for window in [*self._leaving, *self.held]:
            if window.emitted != window.version and (drain or self._is_due(window)):
                emission.windows[window] = window.rollup()
                emission.turns[window] = window.turns(window.emitted)
                window.emitted, window.emitted_at = window.version, self.watermark
                window.emitted_turns |= set(window.turn_versions)
                window.has_retractions = False
        for window in self.held:
            if window.shown != window.version:
                emission.live[window] = window.rollup()
                emission.live_turns[window] = window.turns(window.shown)
                window.shown = window.version
        self._retractions, self._removed, self._leaving = [], [], []
        return emission

    def _is_due(self, window: Window) -> bool:
        """Retractions are part of the rollup of the window that absorbed: readers never miss both."""
        if window.emitted is None or window.is_closed or window.has_retractions:
            return True
        return self.watermark >= window.emitted_at + self.policy.snapshot_interval
