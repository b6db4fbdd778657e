"""The first stage: records of `otlp_spans` to facts by session key, dead letters and watermarks."""

from collections.abc import Iterable

from services.sessionizer.stage import Flush, InputRecord, Moment
from services.shared.otlp.rules import Rules


class RouteStage:
    """One input partition of `route`. Has no state: after a restart it goes on from the committed offset."""

    def __init__(
        self,
        rules: Rules,
        *,
        partition: int,
        spans_topic: str,
        sources: int,
        session_spans_topic: str,
        session_spans_partitions: int,
        dead_letter_topic: str,
        dead_letter_partitions: int,
        out_of_orderness: int,
        idle_after: int,
        service_version: str,
    ) -> None:
        raise NotImplementedError

    sources: int
    """Partitions of the spans topic, which may be extended at any time."""

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

    @property
    def gauges(self) -> dict[str, float]:
        raise NotImplementedError
