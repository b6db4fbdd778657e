"""What a run was told, and where it may work."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench.site import Site


@dataclass(frozen=True, slots=True)
class Options:
    """`folder` is for anything; `_site` is there for parts that need Kafka."""

    quick: bool
    rate: int
    sessions: int
    folder: Path
    kafka: Site | None = None

    @property
    def site(self) -> Site:
        assert self.kafka is not None, "this part did not say that it needs Kafka"
        return self.kafka
