"""What the worker tells the live view about one session."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """What changed of one session in the live view; `removed` windows were absorbed or expired.

    `windows` and `turns` map ids (window id; window id + "/" + trace id) to the rollup's JSON.
    An absorbed window is better given as its retraction in `windows` (`is_deleted` true) than
    in `removed`: then readers drop what ClickHouse still has of it even while the sink lags.
    """

    project: str
    session_id: str
    first_seen_at: int
    windows: dict[str, bytes] = field(default_factory=dict)
    turns: dict[str, bytes] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
