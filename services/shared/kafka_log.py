"""Keeps aiokafka's log readable while a broker is down: it repeats a line with every retry."""

import logging
from collections import Counter

_EVERY = 10.0  # seconds between two lines of the same text pattern
_NOISY = (
    "aiokafka",
    "aiokafka.client",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)


class Thinned(logging.Filter):
    """Lets a line pattern of one logger through once in ten seconds and says how many it kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[object, float] = {}
        self._kept_back: Counter[object] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        pattern = (record.name, record.levelno, record.msg)
        if record.created - self._last.get(pattern, float("-inf")) < _EVERY:
            self._kept_back[pattern] += 1
            return False
        self._last[pattern] = record.created
        if kept_back := self._kept_back.pop(pattern, 0):
            record.msg = f"{record.msg} [and {kept_back} more like this]"
        return True


_THINNED = Thinned()


def thin_logs() -> None:
    """Install the filter on aiokafka's loggers. Idempotent."""
    for name in _NOISY:
        logging.getLogger(name).addFilter(_THINNED)
