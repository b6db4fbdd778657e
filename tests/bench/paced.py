"""Traffic at a steady pace, of sessions that end all the time, and when each record was written."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message, Producer

from tests.bench.load import TURN_SPANS, Moment, Requests, project, session_id
from tests.support.otlp import SECOND

SESSION_SPANS = 10
SPAN_BYTES = 2_600

_TICK = 0.1  # seconds between two records of a partition
_STEP = SECOND // 10  # between two spans of a session
_LAST_SPAN = TURN_SPANS - 1, SESSION_SPANS // TURN_SPANS - 1


@dataclass(frozen=True, slots=True)
class Written:
    """A record on the spans topic. Times in ns."""

    partition: int
    at: int
    """Its timestamp, the broker's."""
    latest_end: int


class PacedTraffic:
    """`rate` spans/s for `seconds`, one record a tick and partition. `write` blocks until all of it is written."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, *, rate: int, seconds: float) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", "log_level": 2})
        self._topic, self._partitions = topic, partitions
        self._rate, self._seconds = rate, seconds
        self._requests = Requests(SPAN_BYTES)
        self.records: list[Written] = []
        self.ended: dict[tuple[str, str], tuple[int, int]] = {}
        """By project and session id: the end of the session's last span, and the timestamp of its record."""
        self._faults: list[KafkaError] = []

    def write(self) -> None:
        begin, wakes = time.time_ns(), threading.Event()  # noqa: TID251 - live traffic is of now
        moments = self._moments(begin)
        done = 0
        for tick in range(1, round(self._seconds / _TICK) + 1):
            due = begin + round(tick * _TICK * SECOND)
            wakes.wait(max(0.0, (due - time.time_ns()) / SECOND))  # noqa: TID251 - as above
            first = done
            while done < len(moments) and moments[done][0] <= due:
                done += 1
            self._write_tick(moments[first:done])
        assert not self._producer.flush(30.0), "records were not acknowledged"
        assert not self._faults, f"not written: {self._faults[0]}"

    def _moments(self, begin: int) -> list[Moment]:
        """Every span: sessions of a second begin one after another, evenly."""
        between = SECOND * SESSION_SPANS // self._rate
        sessions = int((self._seconds * SECOND - _STEP * SESSION_SPANS) // between)
        return sorted(
            (begin + session * between + (number + 1) * _STEP, session, *divmod(number, TURN_SPANS))
            for session in range(sessions)
            for number in range(SESSION_SPANS)
        )

    def _write_tick(self, moments: Sequence[Moment]) -> None:
        for partition in range(self._partitions):
            # A trace goes to one partition, as a Collector that exports by trace has it.
            own = [moment for moment in moments if moment[1] % self._partitions == partition]
            if own:
                self._producer.produce(
                    self._topic,
                    self._requests.of(own),
                    partition=partition,
                    on_delivery=lambda error, message, own=own: self._note(error, message, own),  # type: ignore[misc]
                )
        self._producer.poll(0)

    def _note(self, error: KafkaError | None, message: Message, moments: Sequence[Moment]) -> None:
        if error is not None:
            self._faults.append(error)
            return
        _, milliseconds = message.timestamp()
        at = milliseconds * 10**6
        self.records.append(Written(message.partition() or 0, at, moments[-1][0]))
        for end, session, turn, place in moments:
            if (place, turn) == _LAST_SPAN:
                self.ended[project(session), session_id(session)] = end, at
