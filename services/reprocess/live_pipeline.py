"""Where the live pipeline stands: read beside it, without joining its groups.

A replaced session must be one that the live pipeline is done with: no state of it is held, so nothing
will be written about its windows any more. States are in the changelog, which says exactly that.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from services.sessionizer.changelog import Entry, committed_position
from services.sessionizer.meta import META_KEY, decode_meta
from services.sessionizer.resolve_state import is_trace_key
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
    """What the live pipeline holds: the epoch of its versions, sessions with windows, and traces that it knows."""

    epoch: int
    sessions: Collection[SessionKey]
    traces: Collection[bytes]

    def holds(self, key: SessionKey) -> bool:
        """Whether it may still write about windows that this session has by now."""
        kind, _, trace_id = key.session_id.partition(":")
        if kind == "trace" and re.fullmatch("[0-9a-f]{32}", trace_id) and bytes.fromhex(trace_id) in self.traces:
            return True
        return key in self.sessions


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
        if settings.resolve != "off":
            self._wait(settings.app_id, settings.trace_spans_topic)
        self._wait(settings.app_id, settings.session_spans_topic)
        states = self._states()
        self._wait(f"{settings.app_id}-rollup-sink", settings.rollups_topic)
        return states

    def _states(self) -> LiveStates:
        epoch = self._settings.epoch
        windows: set[bytes] = set()
        for key, value in self._changelog("window"):
            if key == META_KEY:
                epoch = max(epoch, decode_meta(value, self._settings.source_timeout).epoch) if value else epoch
            elif head_names(key) is not None:
                (windows.discard if value is None else windows.add)(key)
        names = [found for key in windows if (found := head_names(key)) is not None]
        traces: set[bytes] = set()
        for key, value in self._changelog("resolve") if self._settings.resolve != "off" else ():
            if is_trace_key(key):
                (traces.discard if value is None else traces.add)(key)
        return LiveStates(epoch, {SessionKey.decode(session) for session, _ in names}, traces)

    def _changelog(self, stage: str) -> Iterator[Entry]:
        with self._reader(changelog_topic(self._settings.app_id, stage)) as reader:
            for record in reader.read(reader.all()):
                yield record.key or b"", record.value

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
