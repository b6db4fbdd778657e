"""One held window: its bounds, its life, its totals and its turns."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Self

from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.quantiles import bucket
from services.sessionizer.engine.spans import twin_name, twin_of
from services.sessionizer.engine.totals import Totals
from services.sessionizer.engine.trace_filter import part_count
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.turn_store import TurnStore
from services.sessionizer.engine.watermark import NO_WATERMARK
from services.shared.model.rollup import CloseReason
from services.shared.model.session_key import SessionKey
from services.shared.model.span import ModelCall, SpanFacts

NEVER = -1
"""The version of what has not happened: versions are not negative."""

Opening = tuple[int, int]
"""Version and position of the span that opened a window: the smaller is the older."""


class Window:
    """The closed interval [start, end] over its turns, ns.

    Plain, ended (`ended_at`: an explicit end applied at that time) or sealed (a maximum was
    reached). `emitted` and `shown`: the version last published and last given to the live view.
    """

    __slots__ = (
        "allowed_lateness", "changed_at", "duplicates", "emitted", "emitted_at", "end", "ended_at", "ended_by",
        "first_seen_at", "gap", "id", "identities", "is_closed", "is_late", "is_owed", "is_stored", "late_spans",
        "opened", "opened_at", "sealed", "shown", "start", "totals", "touched", "turns", "version",
    )  # fmt: skip

    def __init__(self, id_: bytes, opened: Opening, opened_at: int, first_seen_at: int, *, is_late: bool) -> None:
        self.id, self.opened, self.opened_at, self.first_seen_at = id_, opened, opened_at, first_seen_at
        self.is_late = is_late
        self.start = self.end = opened_at
        self.ended_at: int | None = None
        self.ended_by = b""
        self.sealed = CloseReason.NONE
        self.is_closed = False
        self.version = opened[0]
        self.changed_at = NO_WATERMARK
        self.gap = self.allowed_lateness = 0
        self.late_spans = self.duplicates = 0
        self.emitted = self.shown = NEVER
        self.emitted_at = NO_WATERMARK
        self.identities = 0  # of spans, held
        self.totals = Totals()
        self.turns = TurnStore()
        self.touched: dict[bytes, Turn] = {}  # changed by the record at hand, not yet in the totals
        self.is_stored = True  # whether the stored head says all of this; false as soon as something changed
        self.is_owed = False  # a published window that it absorbed is being retracted: readers need this one now

    @property
    def is_plain(self) -> bool:
        return not self.sealed and self.ended_at is None

    @property
    def close_reason(self) -> CloseReason:
        """The first that holds; none while it is open."""
        if self.sealed:
            return self.sealed
        if self.ended_at is not None:
            return CloseReason.EXPLICIT
        return CloseReason.IDLE if self.is_closed else CloseReason.NONE

    def distance(self, start: int, end: int) -> int:
        """The silence between this window and [start, end], ns; 0 when they touch or overlap."""
        return max(0, start - self.end, self.start - end)

    def may_hold(self, trace_hash: int) -> bool:
        """Of a sealed window: whether a span of a trace with this hash may be known."""
        return self.identities > 0 and self.turns.may_hold(trace_hash, part_count(self.totals.turn_count))

    def holds(self, turn: Turn, span_id: bytes) -> bool:
        """Whether this span of one of its turns was added, as far as that is known."""
        return self.identities > 0 and self.turns.holds(turn, span_id)

    def add(self, span: SpanFacts, turn: Turn | None, version: int) -> Turn:
        """Add a span that is no duplicate; `turn` is None when it is new. Returns the turn, grown to cover the span."""
        if turn is None:
            turn = Turn(span.trace_id, span.start, span.end)
            self.totals.turn_count += 1
        if turn.version != version:  # the record's first span of this turn
            turn.version = version
            self.turns.change(turn)
            self.touched[span.trace_id] = turn
        if span.is_error and not turn.error_count:
            self.totals.error_turn_count += 1
        turn.add(span)
        self.turns.spans_to_change(turn, span.span_id).add(span.span_id)
        self.identities += 1
        self.totals.add(span)
        if span.call is not None:
            self._add_call(turn, span, span.call)
        self.start = min(self.start, span.start)
        self.end = max(self.end, span.end)
        return turn

    def _add_call(self, turn: Turn, span: SpanFacts, call: ModelCall) -> None:
        """Count a call unless its twin below it is known; where the call above it is its twin, that one no more."""
        if call.prompt is None or call.completion is None:
            self._count(turn, call, 1)
            return
        twin = twin_of(span.span_id, call.prompt, call.completion)
        if self.turns.spans_to_change(turn, twin_name(twin)).add_call(twin, call):
            self._count(turn, call, 1)
        if span.parent_id:
            parent = twin_of(span.parent_id, call.prompt, call.completion)
            repeated = self.turns.spans_to_change(turn, twin_name(parent)).add_child(parent)
            if repeated is not None:
                self._count(turn, repeated, -1)

    def _count(self, turn: Turn, call: ModelCall, sign: int) -> None:
        turn.usage.count(call, sign)
        self.totals.count_call(call, sign)

    def settle(self) -> None:
        """After a record: bring the intervals of the turns it touched, and what its spans said, into the totals."""
        totals = self.totals
        totals.settle()
        for turn in self.touched.values():
            turn.said.settle()
            now = (turn.start, turn.end)
            if turn.settled != now:
                if turn.settled is not None:
                    totals.count_latency(bucket(turn.settled[1] - turn.settled[0]), -1)
                totals.count_latency(bucket(turn.end - turn.start), 1)
                totals.active.add(*now)
                turn.settled = now
        self.touched.clear()

    def absorb(self, other: Self, version: int) -> None:
        """Take over everything of a plain window; its turns change at `version`. No turn is in both."""
        touched = self.touched.copy()  # the record may go on with these turns
        self.settle()
        other.settle()
        for turn in other.turns.all():
            turn.version = version
            self.turns.adopt(turn, other.turns)
            touched[turn.trace_id] = turn
        self.touched = touched
        self.totals.absorb(other.totals)
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.late_spans += other.late_spans
        self.duplicates += other.duplicates
        self.identities += other.identities
        self.is_owed |= other.is_owed or other.emitted != NEVER

    def seal_if_full(self, policy: Policy) -> bool:
        """A maximum reached seals for good. Whether it is sealed."""
        if self.totals.span_count >= policy.max_spans:
            self.sealed = CloseReason.MAX_SPANS
        elif self.end - self.start >= policy.max_duration:
            self.sealed = CloseReason.MAX_DURATION
        return self.sealed is not CloseReason.NONE

    def finish(self, at: int, by: bytes) -> None:
        """Apply an explicit end, raised to the latest turn start. `by`: the identity of its carrier."""
        self.ended_at = max(at, *(turn.start for turn in self.turns.all()))
        self.ended_by = by

    def change(self, version: int, watermark: int, policy: Policy, gap: int) -> None:
        """Spans or an explicit end have changed it: the window takes the policy in force."""
        self.version, self.changed_at = version, watermark
        self.gap, self.allowed_lateness = gap, policy.allowed_lateness
        self.is_stored = False

    def pass_time(self, version: int, watermark: int) -> bool:
        """Decide whether it is closed, by the policy it has. Returns whether it closed just now, which is a change."""
        was_closed = self.is_closed
        self.is_closed = not self.is_plain or watermark > self.end + self.gap
        if not self.is_closed or was_closed:
            return False
        self.version, self.changed_at = version, watermark
        self.is_stored = False
        return True

    def forget(self) -> None:
        """Give up the identities; the totals stay."""
        self.identities = 0
        self.is_stored = False
        if self.sealed:
            self.turns.forget_sets()  # none will be added, so nobody asks what the pages say of spans
        else:
            self.turns.forget_spans()

    def has_expired(self, watermark: int) -> bool:
        return self.is_closed and watermark > self.expires_after

    @property
    def expires_after(self) -> int:
        """A closed window is deleted when the watermark is greater than this."""
        return max(self.end + self.gap, self.changed_at) + self.allowed_lateness

    def deadline(self, snapshot_interval: int) -> int:
        """The watermark after which something must be done about this window."""
        if self.is_closed:
            return self.expires_after
        closes = self.end + self.gap
        if self.emitted in (self.version, NEVER):
            return closes
        return min(closes, max(NO_WATERMARK, self.emitted_at + snapshot_interval - 1))

    def is_due(self, watermark: int, snapshot_interval: int) -> bool:
        """Whether what is not yet published must be at the next flush."""
        if self.version == self.emitted:
            return False
        if self.emitted == NEVER or self.is_closed or self.is_owed:
            return True
        return watermark >= self.emitted_at + snapshot_interval

    def changed_turns(self, since: int) -> Iterator[Turn]:
        """Turns that changed after version `since`."""
        return self.turns.changed(since)


def window_id(key: SessionKey, span: SpanFacts, opened: Opening) -> bytes:
    """Derived from data, so a replay gives the same one."""
    digest = blake2b(key.encode(), digest_size=8)
    digest.update(b"\0%b%b%d/%d" % (span.trace_id, span.span_id, *opened))
    return digest.digest()
