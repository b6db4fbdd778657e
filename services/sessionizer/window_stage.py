"""The `window` stage: records of `session_spans` in; rollups, live updates and changed states out.

what is due, spans ─► what is to be done with each session                       (sweep, take)
session by session: spans to its windows, what closed ─► rollups ─► states       (prepare, flush)

Position, version and time are those of every stage with states (`keyed_stage.py`).
"""

from collections import Counter
from collections.abc import Iterable

from services.sessionizer import publication
from services.sessionizer.agenda import Agenda
from services.sessionizer.engine.catch_up import catch_up
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_IDENTITIES, Effects, Now, Session
from services.sessionizer.engine.watermark import PartitionTime
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.keyed_stage import Instant, KeyedStage
from services.sessionizer.stage import Flush, Moment, Output
from services.sessionizer.table import SessionTable
from services.shared.model.live import LiveUpdate
from services.shared.records import rollups
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, decode

try:
    from services.sessionizer.engine._fold import catch_up as catch_up_compiled
    from services.shared.records._session_spans import PackedSpans, packed_spans
except ImportError:  # not built, or switched off
    _IS_COMPILED = False
else:
    _IS_COMPILED = True

SWEPT_WINDOWS = 100
"""Windows that one slice of a sweep finds due at most."""
SWEPT_BYTES = 1 << 20
"""About how many bytes it makes the next flush write before it ends, when windows are large."""
WORKED_SPANS = 500
"""Spans after which a slice of a flush ends; it goes on to the end of a session's part of a record."""

_BYTES_A_DELETION = 150  # of a state


def window_stage(
    policy: Policy,
    *,
    partition: int,
    rollups_topic: str,
    rollups_partitions: int,
    epoch: int = 1,
    is_watched: bool = False,
    max_identities: int = MAX_IDENTITIES,
    swept_windows: int = SWEPT_WINDOWS,
    compiled: bool = True,
) -> "KeyedStage[SpansRecord | PackedSpans]":
    """The stage of one partition. `fold` raises what `session_spans.decode` raises for a record that is not ours.

    `is_watched`: there is a live view to be told of every change (`Flush.live`). `compiled`: records may be applied
    without making objects of them, where that is built; it shows in nothing but the speed.
    """
    compiled = compiled and _IS_COMPILED
    windows = Windows(
        policy,
        topic=rollups_topic,
        partition=partition % rollups_partitions,
        is_watched=is_watched,
        max_identities=max_identities,
        swept_windows=swept_windows,
        compiled=compiled,
    )
    return KeyedStage(windows, _read if compiled else decode, source_timeout=policy.source_timeout, epoch=epoch)


def _read(value: bytes) -> "PackedSpans | SpansRecord | WatermarkRecord":
    return packed_spans(value) or decode(value)


class Windows:
    """The windows of one partition. See `KeyedStates` for the contract of each method."""

    def __init__(
        self,
        policy: Policy,
        *,
        topic: str,
        partition: int,
        is_watched: bool,
        max_identities: int,
        swept_windows: int,
        compiled: bool,
    ) -> None:
        self._policy, self._topic, self._partition, self._is_watched = policy, topic, partition, is_watched
        self._max_identities, self._swept_windows = max_identities, swept_windows
        self._catch_up = catch_up_compiled if compiled else catch_up
        self._table, self._agenda, self._effects = SessionTable(), Agenda(), Effects()
        self._outputs: list[Output] = []
        self._removed: dict[bytes, list[Window]] = {}
        self._retracted: dict[bytes, dict[str, bytes]] = {}  # by session: what the live view keeps of absorbed windows
        self._live: list[LiveUpdate] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._backlog = 0

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._table.restore(entries)

    def restored(self, watermark: int) -> None:
        """Nothing is left to do."""

    def snapshot(self) -> Iterable[tuple[bytes, bytes]]:
        return self._table.snapshot()

    # Records and time: noted down

    def take(self, content: "SpansRecord | PackedSpans", at: Instant) -> None:
        self._agenda.add(content, Now(at.version, at.watermark, self._policy, self._max_identities))

    def sweep(self, at: Instant, ahead: "SpansRecord | PackedSpans | None") -> bool:
        """Find what the watermark has passed. Only what is closed and published is deleted at once."""
        agenda, touched = self._agenda, set(ahead.names) if ahead else set[bytes]()
        agenda.sweep((at.version, at.watermark), touched)
        enough = self.backlog + SWEPT_BYTES
        for _ in range(self._swept_windows):
            held = self._table.next_due(at.watermark, agenda.sessions)
            if held is None:
                agenda.swept()
                return True
            # A live view is told which of its windows are gone, and what it was shown of them.
            if not self._is_watched and self._table.expire(held):
                self._backlog += _BYTES_A_DELETION
                self._counts["spanloom_windows_expired_total", ""] += 1
            elif held.name not in touched:
                agenda.wake(held.name, self._table.size(held))
            if self.backlog > enough:
                break
        return False

    # What comes of it

    def see(self, session: Session, now: Now) -> None:
        """Publish what a record did besides changing windows."""
        effects = self._effects
        for _, window in effects.absorbed:  # of this session, as everything in the effects
            self._retract(session, window, now.version)
        for name, value in publication.annotation_records(effects.annotated, now.version):
            self._outputs.append(Output(self._topic, self._partition, name, value))
        for _, window in effects.given_up:
            window.settle()
            self.close(window, now.version, now.watermark)
            self.expire(session, window, now.watermark)
            self._counts["spanloom_windows_given_up_total", ""] += 1
        effects.absorbed, effects.annotated, effects.given_up = [], [], []

    def close(self, window: Window, version: int, watermark: int) -> None:
        """Count it where it is closed now, or open again."""
        was_closed = window.is_closed
        if window.pass_time(version, watermark):
            self._counts["spanloom_windows_closed_total", window.close_reason.value] += 1
        self._table.windows.open += was_closed - window.is_closed

    def expire(self, session: Session, window: Window, watermark: int) -> None:
        """The window has left its session for good: publish what is not published of it, delete its state."""
        if window.version != window.emitted:
            self._emit(session, window, publication.rollup(session.key, window, window.emitted), watermark)
        self._leave(session, window)
        self._counts["spanloom_windows_expired_total", ""] += 1

    def _retract(self, session: Session, window: Window, version: int) -> None:
        """A merge ended the window: delete what was published of it."""
        if window.emitted != NEVER:
            key = session.key
            turns = [publication.turn_deletion(key, window, turn.trace_id, version) for turn in window.turns.all()]
            retraction = rollups.window_json(publication.retraction(key, window, version))
            self._publish(session, rollups.rollup_records(retraction, [rollups.turn_json(turn) for turn in turns]))
            if self._is_watched:
                self._retracted.setdefault(session.name, {})[window.id.hex()] = retraction
        self._leave(session, window)

    def _leave(self, session: Session, window: Window) -> None:
        """The window is held no longer."""
        self._table.remove(session, window)
        if self._is_watched and window.shown != NEVER:
            self._removed.setdefault(session.name, []).append(window)

    # Flush

    @property
    def backlog(self) -> int:
        return self._agenda.backlog + self._backlog

    @property
    def gauges(self) -> dict[str, float]:
        return {"spanloom_open_windows": self._table.windows.open, "spanloom_held_windows": self._table.windows.count}

    def prepare(self, moment: Moment, time: PartitionTime) -> bool:
        """Work on some of the sessions that wait, publish and store them."""
        if not self._table.is_storing:
            for name in self._table.unsent() if moment.drain else ():
                self._agenda.wake(name)
            self._table.begin_store(self._agenda.sessions)
        enough = self._worked + WORKED_SPANS
        return self._table.store(
            lambda session: self._work(session, enough, moment, time.watermark), self._policy.snapshot_interval
        )

    def flush(self, moment: Moment, time: PartitionTime) -> Flush:
        while not self.prepare(moment, time):
            pass
        effects, self._effects = self._effects, Effects()
        self._table.windows.count += effects.opened
        self._table.windows.open += effects.opened
        for outcome, count in effects.outcomes.items():
            if count:
                self._counts["spanloom_windowed_spans_total", outcome] += count
        flush = Flush(self._outputs, self._table.take_changes(), self._live, self._counts)
        self._agenda.clear()
        self._removed, self._retracted, self._live = {}, {}, []
        self._outputs, self._counts, self._backlog = [], Counter(), 0
        return flush

    @property
    def _worked(self) -> int:
        """Spans that sessions took in since the last flush."""
        return self._effects.added + self._effects.duplicates

    def _work(self, session: Session, enough: int, moment: Moment, watermark: int) -> bool:
        """Bring a session up to date and publish it. False: there is more than `enough` to do."""
        waiting, sweeps = self._agenda.sessions[session.name], self._agenda.sweeps_for(session.name)
        if not self._catch_up(session, waiting, sweeps, self._effects, self, enough - self._worked):
            return False
        if self._is_watched:
            self._show_changes(session, moment, watermark)
        else:
            self._publish_changes(session, moment, watermark)
        return True

    def _publish_changes(self, session: Session, moment: Moment, watermark: int) -> None:
        """Publish the windows that are due."""
        for window in session.windows:
            if self._is_due(window, moment, watermark):
                self._emit(session, window, publication.rollup(session.key, window, window.emitted), watermark)

    def _is_due(self, window: Window, moment: Moment, watermark: int) -> bool:
        """Whether something of it must be published now."""
        return window.version != window.emitted and (
            moment.drain or window.is_due(watermark, self._policy.snapshot_interval)
        )

    def _show_changes(self, session: Session, moment: Moment, watermark: int) -> None:
        """Publish the windows that are due, and tell the live view what it has not been shown yet, if anything."""
        windows, turns = self._retracted.pop(session.name, {}), dict[str, bytes]()
        for window in session.windows:
            is_due = self._is_due(window, moment, watermark)
            is_news = window.version != window.shown
            if is_due or is_news:
                known = min(window.emitted if is_due else window.shown, window.shown if is_news else window.emitted)
                edition = publication.edition(session.key, window, known)
                if is_news:
                    id_ = window.id.hex()
                    windows[id_] = edition.totals
                    turns |= {f"{id_}/{turn.trace_id.hex()}": data for turn, data in edition.since(window.shown)}
                    window.shown, window.is_stored = window.version, False
                if is_due:
                    self._emit(session, window, edition.records(window.emitted), watermark)
        gone = self._removed.pop(session.name, [])
        if windows or gone:
            first_seen_at = min(window.first_seen_at for window in [*session.windows, *gone])
            removed = tuple(window.id.hex() for window in gone)
            self._live.append(LiveUpdate(*session.key, first_seen_at, windows, turns, removed))

    def _emit(self, session: Session, window: Window, records: list[bytes], watermark: int) -> None:
        """Publish a rollup: the totals, with the turns that changed since the last one."""
        self._publish(session, records)
        window.emitted, window.emitted_at = window.version, watermark
        window.is_owed = window.is_stored = False

    def _publish(self, session: Session, records: list[bytes]) -> None:
        for value in records:
            self._outputs.append(Output(self._topic, self._partition, session.name, value))
