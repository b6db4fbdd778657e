"""What a run was told, and where it works."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench.site import Site

RATE, SESSIONS, MOST = 5_000, 1_000_000, 10**9


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was told, and a folder for anything."""

    quick: bool
    rate: int
    sessions: int
    most: int
    """Spans of a case."""
    folder: Path
    kafka: Site | None = None
    """For parts that say that they need it."""

    @property
    def said(self) -> str:
        """What differs from the defaults, as it was said."""
        values = ("rate", self.rate, RATE), ("sessions", self.sessions, SESSIONS), ("most", self.most, MOST)
        return "".join(f" --{name} {value}" for name, value, default in values if value != default)

    @property
    def site(self) -> Site:
        assert self.kafka is not None, "this part did not say that it needs Kafka"
        return self.kafka
