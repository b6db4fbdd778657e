"""The `window` stage: records of `session_spans` in; rollups, live updates and changed states out.

record ─► time ─► what is due ─► spans to their windows ─► what closed      (fold)
changed windows ─► turns, totals, retractions ─► states ─► meta             (flush)
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter

from services.sessionizer import publication, state
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import MAX_IDENTITIES, Now, Session, close_or_open, is_expired
from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime
from services.sessionizer.engine.window import NEVER, Window
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.sessionizer.table import SessionTable, WindowName
from services.shared.model.live import LiveUpdate
from services.shared.model.rollup import TurnRollup
from services.shared.model.session_key import SessionKey
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
        now = Now(
            self._version,
            self._time.watermark,
            self._policy,
            self._opened,
            self._absorbed,
            max_identities=self._max_identities,
        )
        touched: dict[bytes, Session] = {}
        for group in record.groups:
            name = group.key.encode()
            session = touched[name] = self._table.session(name)
            now.record_time = group.record_time
            for item in group.items:
                now.position += 1
                session.take(item, now)
            self._backlog += _BYTES_A_SPAN * len(group.items)
        for session in touched.values():
            for window in session.windows:
                if window.version == self._version:
                    window.settle()
                    self._close_or_open(session, window)
                    self._file(session, window)
        for outcome, count in now.outcomes.items():
            self._counts["spanloom_windowed_spans_total", outcome] += count

    def _opened(self) -> None:
        self._table.held += 1
        self._table.open += 1

    def _absorbed(self, session: Session, window: Window) -> None:
        """A merge ended the window: retract what was published of it."""
        self._leave(session, window)
        if window.emitted != NEVER:
            deletions = [
                publication.turn_deletion(session.key, window, turn.trace_id, self._version)
                for turn in window.turns.all()
            ]
            self._publish(session.key, window, deletions)
            retraction = rollups.encode_window(publication.retraction(session.key, window, self._version))
            self._output(session.key, retraction)
            self._retracted.setdefault(session.name, {})[window.id.hex()] = retraction

    def _close_or_open(self, session: Session, window: Window) -> None:
        was_closed = window.is_closed
        gap = self._policy.gap_for(session.key.project)
        close_or_open(window, self._version, self._time.watermark, self._policy, gap)
        if window.is_closed and not was_closed:
            self._table.open -= 1
            self._counts["spanloom_windows_closed_total", window.close_reason.value] += 1
        elif was_closed and not window.is_closed:
            self._table.open += 1

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
        window.filed = None
        self._close_or_open(session, window)
        if is_expired(window, self._time.watermark):
            self._expire(session, window)
            return
        if window.is_due(self._time.watermark, self._policy.snapshot_interval):
            self._due.add((session.name, window.id))
        self._file(session, window)  # due or not: when it closes and expires may not depend on when a flush comes

    def _expire(self, session: Session, window: Window) -> None:
        if window.version != window.emitted:
            self._emit(session, window)
        session.windows.remove(window)
        self._leave(session, window)
        self._counts["spanloom_windows_expired_total", ""] += 1

    def _leave(self, session: Session, window: Window) -> None:
        """The window is held no longer."""
        self._table.held -= 1
        self._table.open -= not window.is_closed
        self._table.remove(session, window)
        if window.shown != NEVER:
            self._removed.setdefault(session.name, []).append(window)

    def _file(self, session: Session, window: Window) -> None:
        deadline = window.deadline(self._policy.snapshot_interval)
        if window.filed is None or deadline < window.filed:
            self._table.wheel.file(deadline, (session.name, window.id))
            window.filed = deadline

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
        for name in [*self._due, *(self._table.unsent() if moment.drain else ())]:
            self._table.window(name)  # decodes it
        live: list[LiveUpdate] = []
        for session in sorted(self._table.loaded, key=attrgetter("name")):
            for window in session.windows:
                if window.is_due(self._time.watermark, self._policy.snapshot_interval) or (
                    moment.drain and window.version != window.emitted
                ):
                    self._emit(session, window)
                self._file(session, window)
            live += self._live_updates(session)
        live += [_removal(SessionKey.decode(name), windows) for name, windows in self._removed.items()]
        changes = self._table.store(self._policy.snapshot_interval)
        if self._has_news:
            changes.append((state.META_KEY, self._meta_record()))
        flush = Flush(self._outputs, changes, live, self._counts)
        self._due.clear()
        self._removed, self._retracted = {}, {}
        self._outputs, self._counts, self._backlog, self._has_news = [], Counter(), 0, False
        return flush

    def _emit(self, session: Session, window: Window) -> None:
        """Publish the turns that changed since the last time, then the totals."""
        turns = [publication.turn_rollup(session.key, window, turn) for turn in window.changed_turns(window.emitted)]
        self._publish(session.key, window, turns)
        self._output(session.key, rollups.encode_window(publication.window_rollup(session.key, window)))
        window.emitted, window.emitted_at = window.version, self._time.watermark
        window.is_stored = False

    def _publish(self, key: SessionKey, window: Window, turns: list[TurnRollup]) -> None:
        for value in rollups.encode_turns(key.project, key.session_id, window.id.hex(), turns):
            self._output(key, value)

    def _output(self, key: SessionKey, value: bytes) -> None:
        self._outputs.append(Output(self._topic, self._partition, key.encode(), value))

    def _live_updates(self, session: Session) -> list[LiveUpdate]:
        """What readers of the live view have not been shown yet."""
        changed = [window for window in session.windows if window.version != window.shown]
        gone = self._removed.pop(session.name, [])
        if not changed and not gone:
            return []
        key = session.key
        windows = {w.id.hex(): rollups.window_json(publication.window_rollup(key, w)) for w in changed}
        windows |= self._retracted.pop(session.name, {})
        turns = {
            f"{w.id.hex()}/{turn.trace_id.hex()}": rollups.turn_json(publication.turn_rollup(key, w, turn))
            for w in changed
            for turn in w.changed_turns(w.shown)
        }
        for window in changed:
            window.shown = window.version
            window.is_stored = False
        first_seen_at = min(window.first_seen_at for window in [*changed, *gone])
        removed = tuple(window.id.hex() for window in gone)
        return [LiveUpdate(key.project, key.session_id, first_seen_at, windows, turns, removed)]

    def _meta_record(self) -> bytes:
        return state.encode_meta(state.Meta(self._epoch, self._position, self._time))


def _removal(key: SessionKey, windows: list[Window]) -> LiveUpdate:
    first_seen_at = min(window.first_seen_at for window in windows)
    return LiveUpdate(key.project, key.session_id, first_seen_at, removed=tuple(w.id.hex() for w in windows))
