"""The `window` stage: records of `session_spans` in; rollups, live updates and changed states out.

what is due ─► spans to their windows ─► what closed               (sweep, take)
changed windows ─► turns, totals, retractions ─► states            (flush)

Position, version and time are those of every stage with states (`keyed_stage.py`).
"""

from collections import Counter
from collections.abc import Iterable

from services.sessionizer import publication
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_IDENTITIES, Effects, Now, Session
from services.sessionizer.engine.watermark import PartitionTime
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.held_windows import Held
from services.sessionizer.keyed_stage import Instant, KeyedStage
from services.sessionizer.stage import Flush, Moment, Output
from services.sessionizer.table import SessionTable
from services.shared.model.live import LiveUpdate
from services.shared.records import rollups
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, decode

try:
    from services.sessionizer.engine._fold import finish, fold
    from services.shared.records._session_spans import PackedSpans, packed_spans
except ImportError:  # not built, or switched off
    _IS_COMPILED = False
else:
    _IS_COMPILED = True

SWEPT_WINDOWS = 100
"""Windows that one slice of a sweep closes or deletes at most."""
SWEPT_BYTES = 1 << 20
"""About how many bytes it makes the next flush write before it ends, when windows are large."""

_BYTES_A_SPAN = 400  # of states and rollups, about; for the backlog only
_BYTES_A_DELETION = 150  # of a state
_BYTES_A_WINDOW = 3_000  # of a rollup, its copy for the live view and the meta of both, about
_DECODED_PER_BYTE = 4  # so much may be decoded for a byte that waits to be written: memory must not grow either
_COPIES_OF_A_HEAD = 3  # what is in it goes to the changelog, the rollup and the live view


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
    ) -> None:
        self._policy, self._topic, self._partition, self._is_watched = policy, topic, partition, is_watched
        self._max_identities, self._swept_windows = max_identities, swept_windows
        self._table = SessionTable()
        self._swept_last: list[Held] = []  # due in this sweep, of sessions that its record will change
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

    # Records

    def take(self, content: "SpansRecord | PackedSpans", at: Instant) -> None:
        now = Now(at.version, at.watermark, self._policy, self._max_identities)
        effects = Effects()
        if isinstance(content, SpansRecord):
            touched = self._apply(content, now, effects)
        else:
            touched = fold(content, self._table.session, now, effects)
        self._backlog += _BYTES_A_SPAN * now.position
        self._table.windows.count += effects.opened
        self._table.windows.open += effects.opened
        for session, window in effects.absorbed:
            self._retract(session, window, at)
        for name, value in publication.annotation_records(effects.annotated, at.version):
            self._outputs.append(Output(self._topic, self._partition, name, value))
        for session, window in effects.given_up:
            self._backlog += _BYTES_A_WINDOW
            window.settle()
            self._close_or_open(window, at)
            self._expire(session, window, at.watermark)
            self._counts["spanloom_windows_given_up_total", ""] += 1
        if isinstance(content, SpansRecord):
            self._finish(touched, at)
        else:
            interval = self._policy.snapshot_interval
            finish(touched, now, interval, self._table.file, lambda window: self._close_or_open(window, at))
        for outcome, count in effects.outcomes.items():
            if count:
                self._counts["spanloom_windowed_spans_total", outcome] += count

    def _apply(self, content: SpansRecord, now: Now, effects: Effects) -> dict[bytes, Session]:
        """Returns the sessions it was for, by name."""
        touched: dict[bytes, Session] = {}
        for name, group in zip(content.names, content.groups, strict=True):
            session = touched[name] = self._table.session(name)
            now.record_time = group.record_time
            for item in group.items:
                now.position += 1
                session.take(item, now, effects)
        return touched

    def _finish(self, touched: dict[bytes, Session], at: Instant) -> None:
        for session in touched.values():
            for window in session.windows:
                if window.version == at.version:
                    window.settle()
                    self._close_or_open(window, at)
                    self._file(session, window)

    def _retract(self, session: Session, window: Window, at: Instant) -> None:
        """A merge ended the window: delete what was published of it."""
        if window.emitted != NEVER:
            key, version = session.key, at.version
            turns = [publication.turn_deletion(key, window, turn.trace_id, version) for turn in window.turns.all()]
            retraction = rollups.window_json(publication.retraction(key, window, version))
            self._publish(session, rollups.rollup_records(retraction, [rollups.turn_json(turn) for turn in turns]))
            if self._is_watched:
                self._retracted.setdefault(session.name, {})[window.id.hex()] = retraction
        self._leave(session, window)

    def _close_or_open(self, window: Window, at: Instant) -> None:
        was_closed = window.is_closed
        if window.pass_time(at.version, at.watermark):
            self._counts["spanloom_windows_closed_total", window.close_reason.value] += 1
        self._table.windows.open += was_closed - window.is_closed

    # Time

    def sweep(self, at: Instant, ahead: "SpansRecord | PackedSpans | None") -> bool:
        """Close, expire and publish what the watermark has passed, window by window."""
        touched = set(ahead.names) if ahead else set[bytes]()
        enough = self._backlog + SWEPT_BYTES
        for _ in range(self._swept_windows):
            held = self._table.next_due(at.watermark, self._policy.snapshot_interval)
            if held is None:
                self._pass_time(self._swept_last, at)
                self._swept_last = []
                return True
            if held.name in touched:
                self._swept_last.append(held)
            else:
                self._pass_time([held], at)
            if self._backlog > enough:
                break
        return False

    def _pass_time(self, due: Iterable[Held], at: Instant) -> None:
        for held in due:
            # A live view is told which of its windows are gone, and what it was shown of them.
            if not self._is_watched and self._table.expire(held):
                self._backlog += _BYTES_A_DELETION
                self._counts["spanloom_windows_expired_total", ""] += 1
                continue
            self._backlog += _BYTES_A_WINDOW + _COPIES_OF_A_HEAD * self._table.size(held)
            session, window = self._table.window(held)
            self._close_or_open(window, at)
            if window.has_expired(at.watermark):
                session.windows.remove(window)
                self._expire(session, window, at.watermark)
            else:
                self._file(session, window)  # when it closes and expires may not depend on when a flush comes

    def _expire(self, session: Session, window: Window, watermark: int) -> None:
        """The window has left its session for good: publish what is not published of it, delete its state."""
        if window.version != window.emitted:
            self._emit(session, window, publication.rollup(session.key, window, window.emitted), watermark)
        self._leave(session, window)
        self._counts["spanloom_windows_expired_total", ""] += 1

    def _leave(self, session: Session, window: Window) -> None:
        """The window is held no longer."""
        self._table.remove(session, window)
        if self._is_watched and window.shown != NEVER:
            self._removed.setdefault(session.name, []).append(window)

    def _file(self, session: Session, window: Window) -> None:
        self._table.file(session, window, window.deadline(self._policy.snapshot_interval))

    # Flush

    @property
    def backlog(self) -> int:
        return self._backlog + self._table.decoded // _DECODED_PER_BYTE

    @property
    def gauges(self) -> dict[str, float]:
        return {"spanloom_open_windows": self._table.windows.open, "spanloom_held_windows": self._table.windows.count}

    def prepare(self, moment: Moment, time: PartitionTime) -> bool:
        """Publish and store some of the sessions that changed."""
        if moment.drain and not self._table.is_storing:
            for name in self._table.unsent():
                self._table.session(name)
        show = self._show_changes if self._is_watched else self._publish_changes
        return self._table.store(self._policy.snapshot_interval, lambda session: show(session, moment, time.watermark))

    def flush(self, moment: Moment, time: PartitionTime) -> Flush:
        while not self.prepare(moment, time):
            pass
        flush = Flush(self._outputs, self._table.take_changes(), self._live, self._counts)
        self._removed, self._retracted, self._live = {}, {}, []
        self._outputs, self._counts, self._backlog = [], Counter(), 0
        return flush

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
