"""How long a service leaves a question unanswered: its pauses, as they are seen from outside."""

import http.client
import threading
import time
from typing import Self

from tests.bench.figures import Figure, percentile
from tests.support.installation import Service

_EVERY = 0.02  # seconds
_PAUSE = "spanloom_pause_seconds"


class Answering:
    """Asks for /healthz, which needs nothing but a turn of the event loop, again and again until the block ends."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.seconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def figures(self) -> list[Figure]:
        """From outside, other processes' use of the machine included."""
        return [
            Figure("answer to a question, p99", "ms", 1000 * percentile(self.seconds, 99)),
            Figure("the longest answer", "ms", 1000 * max(self.seconds)),
        ]

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=60)
        while not self._over.wait(_EVERY):
            since = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.seconds.append(time.perf_counter() - since)
        connection.close()


def pauses(service: Service) -> dict[float, float]:
    """What the service itself says of its event loop's pauses: how many were at most so long (s), by that bound."""
    return {
        float(labels[1]): value
        for (name, *labels), value in service.metrics().items()
        if name == f"{_PAUSE}_bucket" and labels[0] == "loop"
    }


def pause_figures(before: dict[float, float], after: dict[float, float]) -> list[Figure]:
    """Pauses between two looks by length, which the service takes every 20 ms, and what the longest did not exceed."""
    counts = [(bound, count - before.get(bound, 0.0)) for bound, count in sorted(after.items())]
    total = counts[-1][1]
    longest = next(bound for bound, count in counts if count == total)
    steps = zip(counts, [0.0, *(count for _, count in counts)], strict=False)
    return [
        Figure("no pause over", "ms", 1000 * longest),
        *(Figure(f"up to {1000 * bound:g} ms", "pauses", count - less) for (bound, count), less in steps),
    ]
