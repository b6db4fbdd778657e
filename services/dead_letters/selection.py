"""PURE: which letters are meant."""

from collections.abc import Collection
from dataclasses import dataclass

from services.shared.records.dead_letters import Letter


@dataclass(frozen=True, slots=True)
class Selection:
    """What is not named does not matter. `since` is included, `until` is not (ns, the letter's own time)."""

    topics: Collection[str] = ()
    reasons: Collection[str] = ()
    letters: Collection[str] = ()
    since: int | None = None
    until: int | None = None
    limit: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is meant; `topics` and `limit` are the reader's business."""
        time = letter.record.timestamp
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.letters or letter.name in self.letters)
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )
