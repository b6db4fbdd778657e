"""A window as the log-order model holds it: its spans in a list, everything else computed from them."""

from dataclasses import dataclass, field, replace

from services.shared.model.rollup import CloseReason, TurnRollup, WindowRollup, WindowState
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from tests.support.totals import interval, turn_totals, turns_of, window_totals

LONG_AGO = -(2**63)
"""The watermark before there is one."""

Identity = tuple[bytes, bytes]


@dataclass(eq=False)
class Window:
    """One window of one session key, from its first span until it expires."""

    key: SessionKey
    opened: tuple[int, int]  # version and position of the span that opened it: the smaller is the older
    opened_by: SpanFacts
    first_seen_at: int
    is_late: bool
    spans: list[SpanFacts] = field(default_factory=list)
    identities: set[Identity] = field(default_factory=set)  # by which copies are known; those over the limit are gone
    late_spans: int = 0
    duplicates: int = 0
    ended_at: int | None = None
    ended_by: Identity | None = None
    sealed: CloseReason = CloseReason.NONE
    version: int = 0  # of the last change; so are the next three
    gap: int = 0
    allowed_lateness: int = 0
    changed_at: int = LONG_AGO  # the watermark at the last change
    is_closed: bool = False
    turn_versions: dict[bytes, int] = field(default_factory=dict)
    emitted: int | None = None  # the version last emitted
    emitted_at: int = LONG_AGO  # the watermark then
    emitted_turns: set[bytes] = field(default_factory=set)
    has_retractions: bool = False  # it has absorbed what is published and not retracted yet
    shown: int | None = None  # the version last given to the live view

    @property
    def start(self) -> int:
        return interval(self.spans)[0]

    @property
    def end(self) -> int:
        return interval(self.spans)[1]

    @property
    def is_plain(self) -> bool:
        return not self.sealed and self.ended_at is None

    def distance(self, other: tuple[int, int]) -> int:
        """From this window to an interval; 0 when they touch or overlap."""
        return max(0, other[0] - self.end, self.start - other[1])

    @property
    def close_reason(self) -> CloseReason:
        if self.sealed:
            return self.sealed
        if self.ended_at is not None:
            return CloseReason.EXPLICIT
        return CloseReason.IDLE if self.is_closed else CloseReason.NONE

    def rollup(self) -> WindowRollup:
        """Everything but the window id, which names what the model knows as the window itself."""
        return replace(
            window_totals(self.spans),
            project=self.key.project,
            session_id=self.key.session_id,
            version=self.version,
            state=WindowState.CLOSED if self.is_closed else WindowState.OPEN,
            close_reason=self.close_reason,
            is_late=self.is_late,
            opened_at=self.opened_by.start,
            first_seen_at=self.first_seen_at,
            gap_ns=self.gap,
            allowed_lateness_ns=self.allowed_lateness,
            late_span_count=self.late_spans,
            duplicate_span_count=self.duplicates,
        )

    def turns(self, since: int | None = None) -> dict[bytes, TurnRollup]:
        """The turns that changed after version `since`."""
        return {
            trace_id: replace(
                turn_totals(spans),
                project=self.key.project,
                session_id=self.key.session_id,
                opened_at=self.opened_by.start,
                first_seen_at=self.first_seen_at,
                version=self.turn_versions[trace_id],
            )
            for trace_id, spans in turns_of(self.spans).items()
            if since is None or self.turn_versions[trace_id] > since
        }
