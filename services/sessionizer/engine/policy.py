"""The policy that windows are cut by: plain values, resolved from the settings at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_SECOND = 10**9
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE


@dataclass(frozen=True, slots=True)
class Policy:
    """All durations in ns. Raises `ValueError` for values no window can be cut by."""

    gap: int = 30 * _MINUTE
    gap_by_project: Mapping[str, int] = field(default_factory=dict)
    allowed_lateness: int = _HOUR
    max_duration: int = 24 * _HOUR
    max_spans: int = 50_000
    snapshot_interval: int = 30 * _SECOND
    source_timeout: int = 10 * _MINUTE

    def __post_init__(self) -> None:
        positive = {
            "gap": self.gap,
            "max_duration": self.max_duration,
            "max_spans": self.max_spans,
            "source_timeout": self.source_timeout,
            **{f"gap_by_project[{name!r}]": gap for name, gap in self.gap_by_project.items()},
        }
        not_negative = {"allowed_lateness": self.allowed_lateness, "snapshot_interval": self.snapshot_interval}
        problems = [f"{name} must be more than 0" for name, value in positive.items() if value <= 0]
        problems += [f"{name} must not be negative" for name, value in not_negative.items() if value < 0]
        if problems:
            raise ValueError("; ".join(problems))

    def gap_for(self, project: str) -> int:
        """The longest silence inside one window of this project's sessions."""
        return self.gap_by_project.get(project, self.gap)
