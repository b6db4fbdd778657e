"""PURE: what is known of one reprocessing: where it read, what is complete in it, where the live pipeline stood."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

from services.shared.errors import PermanentError, SettingsError

_FORMAT = 1
_NAME = re.compile(r"[a-z0-9_]{1,40}")


def check_name(name: str) -> str:
    """The name, if it can be part of a table's. Raises `SettingsError`."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} is no name of a run: 1 to 40 of a-z, 0-9 and _")
    return name


@dataclass(frozen=True, slots=True)
class Run:
    """`begins` and `ends` are offsets of the spans topic by partition, the ends not included.

    `complete_from` (ns): spans that start later are all in the log that was read, and so is
    what a silence of `gap` before them tells; None: the whole log was read, from its first record on.
    `session_spans_ends` is where `session_spans` ended when the reading began; `epoch` that of the new versions.
    """

    name: str
    epoch: int
    begins: Mapping[int, int]
    ends: Mapping[int, int]
    complete_from: int | None
    session_spans_ends: Mapping[int, int]

    def encode(self) -> str:
        """As text, for the comment of a table."""
        fields = {"format": _FORMAT, **asdict(self)}
        return orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS).decode()

    @classmethod
    def decode(cls, text: str) -> "Run":
        """Raises `PermanentError` for what `encode` does not write."""
        try:
            fields = orjson.loads(text)
            if fields["format"] != _FORMAT:
                raise PermanentError("the shadow tables were made by another version: drop them")
            return cls(
                fields["name"],
                fields["epoch"],
                _by_number(fields["begins"]),
                _by_number(fields["ends"]),
                fields["complete_from"],
                _by_number(fields["session_spans_ends"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(f"the shadow tables have no description of ours: {error!r}") from error


def _by_number(offsets: Mapping[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in offsets.items()}
