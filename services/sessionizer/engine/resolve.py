"""The rules of one trace: how long its spans that name no session wait for one, and how long it stays known.

A trace is bound to a session, or spans of it wait, or nothing is known of it. What waits is kept
as it came, encoded: nothing looks into it before it is released.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from services.shared.model.session_key import SessionKey

PAGE_BYTES = 16 << 10
"""A page that is larger is full; only a single arrival may be."""

_MINUTE = 60 * 10**9
_OWN = "trace:"
_LENGTH_BYTES = 4


class Unresolved(StrEnum):
    """What becomes of spans whose trace stays without a session."""

    DROP = "drop"
    """They do not count."""
    TRACE = "trace"
    """They are the session `trace:<trace id>`."""


@dataclass(frozen=True, slots=True)
class ResolvePolicy:
    """Durations in ns. `max_trace_bytes` wait for one trace at most, `max_bytes` for all of a partition.

    Raises `ValueError` for values that no trace can be resolved by.
    """

    resolve_timeout: int = 10 * _MINUTE
    allowed_lateness: int = 60 * _MINUTE
    source_timeout: int = 10 * _MINUTE
    unresolved: Unresolved = Unresolved.DROP
    max_trace_bytes: int = 4 << 20
    max_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        not_negative = {"resolve_timeout": self.resolve_timeout, "allowed_lateness": self.allowed_lateness}
        positive = {
            "source_timeout": self.source_timeout,
            "max_trace_bytes": self.max_trace_bytes,
            "max_bytes": self.max_bytes,
        }
        problems = [f"{name} must not be negative" for name, value in not_negative.items() if value < 0]
        problems += [f"{name} must be more than 0" for name, value in positive.items() if value <= 0]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def kept(self) -> int:
        """For how long after its last use a binding is kept."""
        return self.resolve_timeout + self.allowed_lateness


def _no_page(number: int) -> bytes:
    raise AssertionError(f"page {number} of a trace that has none")


@dataclass(slots=True)
class Held:
    """The arrivals that wait, in their order: full pages, which never change again, and the one that is being filled.

    `full` are the pages that were filled since the last store, by number; `load_page` reads the others.
    """

    spans: int = 0
    size: int = 0
    pages: int = 0
    tail: bytes = b""
    full: dict[int, bytes] = field(default_factory=dict)
    load_page: Callable[[int], bytes] = _no_page

    def add(self, arrival: bytes, spans: int) -> None:
        entry = len(arrival).to_bytes(_LENGTH_BYTES, "big") + arrival
        if self.tail and len(self.tail) + len(entry) > PAGE_BYTES:
            self.full[self.pages] = self.tail
            self.pages += 1
            self.tail = b""
        self.tail += entry
        self.size += len(entry)
        self.spans += spans

    def arrivals(self) -> Iterator[bytes]:
        for number in range(self.pages):
            yield from _arrivals(self.full.get(number) or self.load_page(number))
        yield from _arrivals(self.tail)


def _arrivals(page: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(page):
        end = at + _LENGTH_BYTES + int.from_bytes(page[at : at + _LENGTH_BYTES], "big")
        yield page[at + _LENGTH_BYTES : end]
        at = end


@dataclass(slots=True)
class Wait:
    """Spans of a trace that is not bound, and `since` when they wait: since the first of them came.

    That is the later of watermark and record time, so that neither a record of the past nor a
    watermark that is not known yet cuts a wait short. The same holds for the last use of a binding.
    """

    trace_id: bytes
    since: int
    held: Held = field(default_factory=Held)


def own_session(trace_id: bytes, project: str) -> SessionKey:
    """The session that a trace without one is."""
    return SessionKey(project, f"{_OWN}{trace_id.hex()}")


def is_own_session(trace_id: bytes, key: SessionKey) -> bool:
    return key.session_id.startswith(_OWN) and key == own_session(trace_id, key.project)
