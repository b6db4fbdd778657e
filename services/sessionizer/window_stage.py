"""The `window` stage: records of `session_spans` in; rollups, live updates and changed states out."""

from collections.abc import Iterable, Iterator

from services.sessionizer.engine.policy import Policy
from services.sessionizer.stage import Flush, InputRecord, Moment


class WindowStage:
    """One partition of sessions. See `Stage` for the contract of each method."""

    def __init__(
        self, policy: Policy, *, partition: int, rollups_topic: str, rollups_partitions: int, epoch: int = 1
    ) -> None:
        raise NotImplementedError

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        raise NotImplementedError

    def restored(self) -> int | None:
        raise NotImplementedError

    def fold(self, record: InputRecord) -> None:
        raise NotImplementedError

    @property
    def backlog(self) -> int:
        raise NotImplementedError

    def flush(self, moment: Moment) -> Flush:
        raise NotImplementedError

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """The whole state as changelog entries, meta included; `restore` reads them back."""
        raise NotImplementedError

    @property
    def gauges(self) -> dict[str, float]:
        raise NotImplementedError
