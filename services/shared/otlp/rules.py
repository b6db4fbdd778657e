"""What of the settings decides how spans are read."""

from dataclasses import dataclass, field
from enum import StrEnum

from services.shared.model.span import PREVIEW_LENGTH
from services.shared.otlp.pricing import NO_PRICES, PriceBook
from services.shared.otlp.redaction import Redaction


class Resolve(StrEnum):
    """Which traces a record binds to their session, for spans of theirs elsewhere that name none."""

    ALWAYS = "always"
    """Every trace that names one."""
    WHEN_MISSING = "when_missing"
    """Those of which the record does not show a root and children that all name one."""
    OFF = "off"
    """None, and no span waits: one whose trace names no session in the same record does not count."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Made once from settings. Empty `session_id_attributes` means the built-in list. Durations in ns.

    `dimension_attributes`: by dimension (`user_id`, `session.type`, ...) the names tried before the built-in ones.
    """

    session_id_attributes: tuple[str, ...] = ()
    project_attributes: tuple[str, ...] = ()
    dimension_attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    max_future: int = 600 * 10**9
    preview_length: int = PREVIEW_LENGTH
    resolve: Resolve = Resolve.OFF
    prices: PriceBook = field(default=NO_PRICES, compare=False)
    redaction: Redaction | None = field(default=None, compare=False)
