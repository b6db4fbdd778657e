"""Where the live pipeline stands: read beside it, without joining its groups.

A replaced session must be one that the live pipeline is done with: no state of it is held, so nothing
will be written about its windows any more. States are in the changelog, which says exactly that.
"""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from services.sessionizer.changelog import committed_position
from services.sessionizer.meta import META_KEY, decode_meta
from services.sessionizer.state import head_names
from services.shared.clock import Clock
from services.shared.errors import TransientError
from services.shared.kafka_topics import changelog_topic
from services.shared.model.session_key import SessionKey
from services.shared.settings import Settings
from services.shared.topic_reader import Range, TopicReader

_BETWEEN_LOOKS = 1.0  # seconds; the pipeline commits every half


@dataclass(frozen=True, slots=True)
class LiveStates:
    """What the live pipeline holds: the epoch of its versions, and the sessions it may still write about."""

    epoch: int
    held: Collection[SessionKey]


class LivePipeline:
    """Looks at one installation. Every method blocks, and raises `TransientError` when no broker answers."""

    def __init__(
        self, settings: Settings, clock: Clock, *, name: str, patience: float, echo: Callable[[str], None]
    ) -> None:
        self._settings, self._clock, self._name = settings, clock, name
        self._patience, self._echo = patience, echo

    def session_spans_ends(self) -> dict[int, int]:
        """Where each partition of `session_spans` ends now."""
        with self._reader(self._settings.session_spans_topic) as reader:
            return {number: each.end for number, each in reader.all().items()}

    def wait_until_past(self, spans_ends: Mapping[int, int]) -> LiveStates:
        """Wait until the spans before these offsets are in ClickHouse as the live pipeline sees them.

        Of every session that it holds no more, all rows are there then, and no more will come for its
        windows. Raises `TransientError` after `patience` seconds without progress.
        """
        settings = self._settings
        self._wait(settings.app_id, settings.spans_topic, spans_ends)
        self._wait(settings.app_id, settings.session_spans_topic)
        states = self._states()
        self._wait(f"{settings.app_id}-rollup-sink", settings.rollups_topic)
        return states

    def _states(self) -> LiveStates:
        epoch = self._settings.epoch
        heads: set[bytes] = set()
        with self._reader(changelog_topic(self._settings.app_id, "window")) as reader:
            for record in reader.read(reader.all()):
                if record.key == META_KEY and record.value is not None:
                    epoch = max(epoch, decode_meta(record.value, self._settings.source_timeout).epoch)
                elif record.key is not None and record.key != META_KEY and head_names(record.key) is not None:
                    (heads.discard if record.value is None else heads.add)(record.key)
        names = [found for key in heads if (found := head_names(key)) is not None]
        return LiveStates(epoch, {SessionKey.decode(session) for session, _ in names})

    def _wait(self, group: str, topic: str, ends: Mapping[int, int] | None = None) -> None:
        """Until the group has committed every record before these ends (without any: before those of now)."""
        with self._reader(topic) as reader:
            bounds = reader.all()
            wanted = {number: Range(each.begin, (ends or {}).get(number, each.end)) for number, each in bounds.items()}
            before: dict[int, Range] = {}
            progress_at = self._clock.monotonic()
            while True:
                rest = {
                    n: Range(max(each.begin, self._committed(group, topic, n)), each.end) for n, each in wanted.items()
                }
                # The last offsets may be markers of transactions, which nobody commits: it is the records that count.
                if next(reader.read(rest), None) is None:
                    return
                if rest != before:
                    before, progress_at = rest, self._clock.monotonic()
                elif self._clock.monotonic() - progress_at > self._patience:
                    behind = ", ".join(f"{n}@{each.begin} of {each.end}" for n, each in sorted(rest.items()))
                    raise TransientError(
                        f"group {group} does not go on in {topic}: it stands at {behind}. Workers and sinks must run"
                        " until what was read has reached ClickHouse, too"
                    )
                self._echo(f"waiting for group {group} to read {topic}")
                threading.Event().wait(_BETWEEN_LOOKS)

    def _committed(self, group: str, topic: str, number: int) -> int:
        return asyncio.run(committed_position(self._settings.kafka_bootstrap, group, topic, number)) or 0

    def _reader(self, topic: str) -> TopicReader:
        return TopicReader(self._settings.kafka_bootstrap, topic, name=self._name)
