"""The redaction policy that the settings ask for."""

from services.shared.otlp.redaction import Redaction, parse_rule
from services.shared.settings import Settings


def redaction_of(settings: Settings) -> Redaction | None:
    """`None` where nothing is to be left out: then nothing is looked for either."""
    if not settings.redact and not settings.redact_values and settings.capture_content:
        return None
    return Redaction(
        map(parse_rule, settings.redact),
        key=settings.redact_key.get_secret_value(),
        values=settings.redact_values,
        capture_content=settings.capture_content,
    )
