"""The `window` stage: records of `session_spans` in; rollups, live updates and changed states out.

record ─► time ─► what is due ─► spans to their windows ─► what closed      (fold)
changed windows ─► turns, totals, retractions ─► states ─► meta             (flush)
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from services.sessionizer import publication, state
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_IDENTITIES, Effects, Now, Session
from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.sessionizer.table import SessionTable, WindowName
from services.shared.model.live import LiveUpdate
from services.shared.records import rollups
from services.shared.records.session_spans import SpansRecord, WatermarkRecord, decode

_EPOCH_SHIFT = 48
_BYTES_A_SPAN = 400  # of states and rollups, about; for the backlog only


class WindowStage:
    """One partition of sessions. See `Stage` for the contract of each method.

    `epoch` is the least: the one in the meta record wins when it is greater. Raises what
    `session_spans.decode` raises for a record that is not ours.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        partition: int,
        rollups_topic: str,
        rollups_partitions: int,
        epoch: int = 1,
        max_identities: int = MAX_IDENTITIES,
    ) -> None:
        self._policy, self._epoch = policy, epoch
        self._topic, self._partition = rollups_topic, partition % rollups_partitions
        self._max_identities = max_identities
        self._table = SessionTable()
        self._time = PartitionTime(policy.source_timeout)
        self._position = 0
        self._version = 0
        self._swept = NO_WATERMARK
        self._has_news = False
        self._meta: state.Meta | None = None
        self._due: set[WindowName] = set()
        self._outputs: list[Output] = []
        self._removed: dict[bytes, list[Window]] = {}
        self._retracted: dict[bytes, dict[str, bytes]] = {}  # by session: what the live view keeps of absorbed windows
        self._counts: Counter[tuple[str, str]] = Counter()
        self._backlog = 0

    # Recovery

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._table.restore(self._without_meta(entries))

    def restored(self) -> int | None:
        self._table.restored()
        meta = self._meta
        if meta is None:
            return None
        self._time = meta.time
        self._swept = meta.time.watermark
        if meta.epoch < self._epoch:
            self._position = 0
        else:
            self._epoch, self._position = meta.epoch, meta.position
        return self._position

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._table.snapshot()
        yield state.META_KEY, self._meta_record()

    def _without_meta(self, entries: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, bytes | None]]:
        for key, value in entries:
            if key != state.META_KEY:
                yield key, value
            elif value is not None:
                self._meta = state.decode_meta(value, self._policy.source_timeout)

    # Records

    def fold(self, record: InputRecord) -> None:
        assert record.value is not None, "session_spans has no tombstones"
        content = decode(record.value)
        self._version = self._epoch << _EPOCH_SHIFT | record.offset
        self._position = record.offset + 1
        self._has_news = True
        self._time.advance(record.timestamp)
        if isinstance(content, WatermarkRecord):
            self._time.hear(content.source, content.watermark, content.sources)
        self._sweep()
        if isinstance(content, SpansRecord):
            self._add(content)
            self._backlog += len(record.value)

    def _add(self, record: SpansRecord) -> None:
        now = Now(self._version, self._time.watermark, self._policy, self._max_identities)
        effects = Effects()
        touched: dict[bytes, Session] = {}
        for group in record.groups:
            name = group.key.encode()
            session = touched[name] = self._table.session(name)
            now.record_time = group.record_time
            for item in group.items:
                now.position += 1
                session.take(item, now, effects)
            self._backlog += _BYTES_A_SPAN * len(group.items)
        self._table.held += effects.opened
        self._table.open += effects.opened
        for session, window in effects.absorbed:
            self._retract(session, window)
        for session in touched.values():
            for window in session.windows:
                if window.version == self._version:
                    window.settle()
                    self._close_or_open(window)
                    self._file(session, window)
        for outcome, count in effects.outcomes.items():
            if count:
                self._counts["spanloom_windowed_spans_total", outcome] += count

    def _retract(self, session: Session, window: Window) -> None:
        """A merge ended the window: delete what was published of it."""
        if window.emitted != NEVER:
            key, version = session.key, self._version
            turns = [publication.turn_deletion(key, window, turn.trace_id, version) for turn in window.turns.all()]
            retraction = rollups.window_json(publication.retraction(key, window, version))
            self._publish(session, window, [rollups.turn_json(turn) for turn in turns], retraction)
            self._retracted.setdefault(session.name, {})[window.id.hex()] = retraction
        self._leave(session, window)

    def _close_or_open(self, window: Window) -> None:
        was_closed = window.is_closed
        if window.pass_time(self._version, self._time.watermark):
            self._counts["spanloom_windows_closed_total", window.close_reason.value] += 1
        self._table.open += was_closed - window.is_closed

    # Time

    def _sweep(self) -> None:
        """Close, expire and publish what the watermark has passed."""
        watermark = self._time.watermark
        if watermark == self._swept:
            return
        self._swept = watermark
        for name in sorted(set(self._table.wheel.pop(watermark))):  # one order, whatever the wheel's history
            deadline = self._table.deadline(name)
            if deadline is not None and deadline >= watermark:
                self._table.wheel.file(deadline, name)
            elif (found := self._table.window(name)) is not None:
                self._pass_time(*found)

    def _pass_time(self, session: Session, window: Window) -> None:
        self._close_or_open(window)
        if window.has_expired(self._time.watermark):
            self._expire(session, window)
            return
        if window.is_due(self._time.watermark, self._policy.snapshot_interval):
            self._due.add((session.name, window.id))
        self._file(session, window)  # due or not: when it closes and expires may not depend on when a flush comes

    def _expire(self, session: Session, window: Window) -> None:
        if window.version != window.emitted:
            self._emit(session, window, publication.edition(session.key, window, window.emitted))
        session.windows.remove(window)
        self._leave(session, window)
        self._counts["spanloom_windows_expired_total", ""] += 1

    def _leave(self, session: Session, window: Window) -> None:
        """The window is held no longer."""
        self._table.remove(session, window)
        if window.shown != NEVER:
            self._removed.setdefault(session.name, []).append(window)

    def _file(self, session: Session, window: Window) -> None:
        self._table.wheel.file(window.deadline(self._policy.snapshot_interval), (session.name, window.id))

    # Flush

    @property
    def backlog(self) -> int:
        return self._backlog

    @property
    def gauges(self) -> dict[str, float]:
        values: dict[str, float] = {
            "spanloom_open_windows": self._table.open,
            "spanloom_held_windows": self._table.held,
        }
        if self._time.watermark != NO_WATERMARK:
            values["spanloom_watermark_seconds"] = self._time.watermark / 10**9
        return values

    def flush(self, moment: Moment) -> Flush:
        for name in sorted(self._due):
            self._table.window(name)  # it is in use from now on
        for session_name in self._table.unsent() if moment.drain else ():
            self._table.session(session_name)
        live = [update for session in self._table.used if (update := self._publish_changes(session, moment))]
        changes = self._table.store(self._policy.snapshot_interval)
        if self._has_news:
            changes.append((state.META_KEY, self._meta_record()))
        flush = Flush(self._outputs, changes, live, self._counts)
        self._due.clear()
        self._removed, self._retracted = {}, {}
        self._outputs, self._counts, self._backlog, self._has_news = [], Counter(), 0, False
        return flush

    def _publish_changes(self, session: Session, moment: Moment) -> LiveUpdate | None:
        """Publish the windows that are due. Returns what the live view has not been shown yet, if anything."""
        windows, turns = self._retracted.pop(session.name, {}), dict[str, bytes]()
        for window in session.windows:
            is_due = window.is_due(self._time.watermark, self._policy.snapshot_interval) or (
                moment.drain and window.version != window.emitted
            )
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
                    self._emit(session, window, edition)
            self._file(session, window)
        gone = self._removed.pop(session.name, [])
        if not windows and not gone:
            return None
        first_seen_at = min(window.first_seen_at for window in [*session.windows, *gone])
        removed = tuple(window.id.hex() for window in gone)
        return LiveUpdate(*session.key, first_seen_at, windows, turns, removed)

    def _emit(self, session: Session, window: Window, edition: publication.Edition) -> None:
        """A rollup: the turns that changed since the last one, then the totals."""
        self._publish(session, window, [data for _, data in edition.since(window.emitted)], edition.totals)
        window.emitted, window.emitted_at = window.version, self._time.watermark
        window.is_owed = window.is_stored = False

    def _publish(self, session: Session, window: Window, turns: list[bytes], totals: bytes) -> None:
        key = session.key
        for value in (*rollups.turns_records(key.project, key.session_id, window.id.hex(), turns), totals):
            self._outputs.append(Output(self._topic, self._partition, session.name, value))

    def _meta_record(self) -> bytes:
        return state.encode_meta(state.Meta(self._epoch, self._position, self._time))
