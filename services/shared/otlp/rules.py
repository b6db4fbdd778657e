"""What of the settings decides how spans are read."""

from dataclasses import dataclass

from services.shared.model.span import PREVIEW_LENGTH


@dataclass(frozen=True, slots=True)
class Rules:
    """Made once from settings. Empty `session_id_attributes` means the built-in list. Durations in ns."""

    session_id_attributes: tuple[str, ...] = ()
    project_attributes: tuple[str, ...] = ()
    max_future: int = 600 * 10**9
    preview_length: int = PREVIEW_LENGTH
