"""What the worker tells the live view about one session, and what readers get back."""

from dataclasses import dataclass, field

from services.shared.model.rollup import TurnRollup, WindowRollup


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """What changed of one session in the live view; `removed` windows were absorbed or expired.

    `windows` and `turns` map ids (window id; window id + "/" + trace id) to the rollup's JSON.
    An absorbed window is in `windows`, too, as its retraction (`is_deleted` true), and stays as that:
    so readers drop what ClickHouse still has of it even while the sink lags.
    """

    project: str
    session_id: str
    first_seen_at: int
    windows: dict[str, bytes] = field(default_factory=dict)
    turns: dict[str, bytes] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What the live view holds of one session: windows by id (retractions included), turns by (window, trace)."""

    windows: dict[str, WindowRollup] = field(default_factory=dict)
    turns: dict[tuple[str, str], TurnRollup] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a session stands in the list of its project: a total order that does not change as it grows.

    `first_seen_at` is the timestamp of a Kafka record, so whole milliseconds, in ns.
    """

    first_seen_at: int
    session_id: str
