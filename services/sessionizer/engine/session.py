"""READ THIS FIRST of the engine: the rules of one session key.

Which window a span belongs to, what merges, what seals, what an explicit end does, when a
window closes and when it expires. States and time come in as arguments; nothing here does I/O.
"""

from operator import attrgetter

from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.trace_filter import trace_hash
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.window import Window, window_id
from services.shared.model.outcome import EngineNote
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts

MAX_IDENTITIES = 1_000_000
"""Identities held for one session key; over that, those of its oldest sealed windows go first, then of the oldest."""

MAX_WINDOWS = 100
"""Windows held for one session key; over that, closed ones are given up early: sealed first, oldest first."""

_END_SPAN = "session.end"
_ADDED = "added"


class Now:
    """What the items of a record are applied with: its version, the watermark, the policy.

    `record_time` is the timestamp of the record of `otlp_spans` that the item was in, `position` the item's place
    in the record of `session_spans`.
    """

    __slots__ = ("max_identities", "max_windows", "policy", "position", "record_time", "version", "watermark")

    def __init__(
        self,
        version: int,
        watermark: int,
        policy: Policy,
        max_identities: int = MAX_IDENTITIES,
        max_windows: int = MAX_WINDOWS,
    ) -> None:
        self.version, self.watermark, self.policy = version, watermark, policy
        self.max_identities, self.max_windows = max_identities, max_windows
        self.record_time = self.position = 0


class Effects:
    """What applying a record did besides changing windows.

    `absorbed` windows and those `given_up` left their session; they still have their turns. `annotated`: spans that
    were added and carry annotations, with the timestamp of their record of `otlp_spans`.
    """

    __slots__ = (
        "absorbed", "added", "annotated", "duplicates", "ends_ignored", "evicted", "given_up", "late", "opened",
    )  # fmt: skip

    def __init__(self) -> None:
        self.absorbed: list[tuple[Session, Window]] = []
        self.annotated: list[tuple[Session, SpanFacts, int]] = []
        self.given_up: list[tuple[Session, Window]] = []
        self.opened = self.added = self.duplicates = self.late = self.ends_ignored = self.evicted = 0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many spans, ends and identities had each outcome, by its name in the metrics."""
        return {
            _ADDED: self.added,
            EngineNote.DUPLICATE.value: self.duplicates,
            EngineNote.LATE.value: self.late,
            EngineNote.END_IGNORED.value: self.ends_ignored,
            EngineNote.IDENTITY_EVICTED.value: self.evicted,
        }


class Session:
    """A session key, encoded too (`name`), and its held windows, oldest first."""

    __slots__ = ("_sealed", "_version", "key", "name", "windows")

    def __init__(self, key: SessionKey, name: bytes, windows: list[Window] | None = None) -> None:
        self.key = key
        self.name = name
        self.windows = [] if windows is None else windows
        self._sealed: dict[bytes, list[Window]] = {}  # those that may hold a trace, as of `_version`
        self._version = -1

    def take(self, item: SpanFacts | SessionEnd, now: Now, effects: Effects) -> None:
        """Apply one item of a record."""
        if isinstance(item, SessionEnd):
            self._end(item.at, item, now, effects)
            return
        home = turn = None
        for window in self._that_may_hold(item.trace_id, now):
            held = window.turns.get(item.trace_id)
            if held is None:
                continue
            if window.holds(held, item.span_id):
                window.duplicates += 1
                window.is_stored = False
                effects.duplicates += 1
                return
            if not window.sealed:
                home, turn = window, held
        self._add(item, home, turn, now, effects)
        if item.name == _END_SPAN:
            self._end(item.end, item, now, effects)
        for at in item.ends_at:
            self._end(at, item, now, effects)

    def _that_may_hold(self, trace_id: bytes, now: Now) -> list[Window]:
        """Without sealed windows that hold no turn of the trace; those may be many, and large."""
        windows = [window for window in self.windows if not window.sealed]
        if len(windows) == len(self.windows):
            return windows
        if self._version != now.version:
            self._version = now.version
            self._sealed.clear()
        sealed = self._sealed.get(trace_id)
        if sealed is None:
            hash_ = trace_hash(trace_id)
            sealed = [window for window in self.windows if window.sealed and window.may_hold(hash_)]
            self._sealed[trace_id] = sealed
        return windows + sealed

    def _add(self, span: SpanFacts, home: Window | None, turn: Turn | None, now: Now, effects: Effects) -> None:
        """Add a span that is no copy. `home` holds its turn; None when the turn is new."""
        gap = now.policy.gap_for(self.key.project)
        window = home or self._near(span, gap)
        if window is None:
            self._bound_windows(now, effects)
            window = self._open(span, gap, now)
            effects.opened += 1
        turn = window.add(span, turn, now.version)
        effects.added += 1
        if span.annotations:
            effects.annotated.append((self, span, now.record_time))
        if now.watermark > span.end + gap:
            window.late_spans += 1
            effects.late += 1
        if len(self.windows) > 1 and window.ended_at is None:
            window = self._merge(window, turn, gap, now, effects)
        if window.seal_if_full(now.policy):
            self._sealed.clear()
        window.change(now.version, now.watermark, now.policy, gap)
        self._bound_identities(now, effects)

    def _near(self, span: SpanFacts, gap: int) -> Window | None:
        """The window that a new turn joins: the oldest ended one that it still belongs to, else the oldest plain one.

        A new window within the gap of a plain one would be absorbed at once, and leave no trace.
        """
        near = [window for window in self.windows if not window.sealed and window.distance(span.start, span.end) <= gap]
        for window in near:
            if window.ended_at is not None and span.start <= window.ended_at:
                return window
        return next((window for window in near if window.ended_at is None), None)

    def _open(self, span: SpanFacts, gap: int, now: Now) -> Window:
        opened = (now.version, now.position)
        is_late = now.watermark > span.end + gap + now.policy.allowed_lateness
        window = Window(window_id(self.key, span, opened), opened, span.start, now.record_time, is_late=is_late)
        self.windows.append(window)
        return window

    def _merge(self, grown: Window, turn: Turn, gap: int, now: Now, effects: Effects) -> Window:
        """`grown` and every plain window within the gap of its grown turn become the oldest of them."""
        near = [w for w in self.windows if w is grown or (w.is_plain and w.distance(turn.start, turn.end) <= gap)]
        survivor, *others = sorted(near, key=attrgetter("opened"))
        for window in others:
            survivor.absorb(window, now.version)
            self.windows.remove(window)
            effects.absorbed.append((self, window))
        return survivor

    def _end(self, at: int, carrier: SpanFacts | SessionEnd, now: Now, effects: Effects) -> None:
        """End the latest plain window that `at` falls into or soon after, unless the carrier has ended one."""
        by = carrier.trace_id + carrier.span_id
        gap = now.policy.gap_for(self.key.project)
        hit = [w for w in self.windows if w.is_plain and w.start <= at and w.end >= at - gap]
        if not hit or any(window.ended_by == by for window in self.windows):
            effects.ends_ignored += 1
            return
        window = max(hit, key=attrgetter("start"))
        window.finish(at, by)
        window.change(now.version, now.watermark, now.policy, gap)

    def _bound_windows(self, now: Now, effects: Effects) -> None:
        """Make room for one more: give up the oldest sealed windows, then the oldest that are closed."""
        while len(self.windows) >= now.max_windows:
            closed = (w for w in self.windows if not w.is_plain or now.watermark > w.end + w.gap)
            window = min(closed, key=lambda window: (not window.sealed, window.opened), default=None)
            if window is None:
                return
            effects.evicted += window.identities
            effects.given_up.append((self, window))
            self.windows.remove(window)
            self._sealed.clear()

    def _bound_identities(self, now: Now, effects: Effects) -> None:
        """Over the limit, the oldest sealed windows forget theirs, then the oldest others."""
        held = sum(window.identities for window in self.windows)
        if held <= now.max_identities:
            return
        for window in sorted(self.windows, key=lambda window: not window.sealed):  # stable: oldest first
            if window.identities and held > now.max_identities:
                held -= window.identities
                effects.evicted += window.identities
                window.forget()
