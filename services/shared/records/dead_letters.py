"""PURE: dead letters as records: the bytes nobody took, and in headers the story of what became of them.

A letter is the record that failed, with its key, its headers and its value as they were, and the
`STORY` headers after them. One that was sent again carries `REPLAYED_FROM` among its own
headers, so a letter that fails again shows how often it was tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.shared.records.source_record import Place, SourceRecord

SUFFIX = ".dead-letter"
STORY = ("reason", "detail", "source_topic", "source_partition", "source_offset", "service_version")
"""The headers that a writer of dead letters adds, after those of the record."""

REPLAYED_FROM = "replayed_from"
"""Added to a record that is sent again: which letter it was."""

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, its story told apart from what the record had.

    `source` is None, and every other part of the story that is missing is empty, for a record that no
    writer of ours put there. `headers` are those of the record itself.
    """

    record: SourceRecord
    headers: Headers
    reason: str
    detail: str
    source: Place | None
    source_offset: int
    service_version: str

    @property
    def name(self) -> str:
        """Where the letter lies: `topic/partition@offset`."""
        return f"{self.record.topic}/{self.record.partition}@{self.record.offset}"

    @property
    def source_name(self) -> str:
        """Where the record came from, in the same form; empty when nobody says it."""
        return f"{self.source[0]}/{self.source[1]}@{self.source_offset}" if self.source else ""

    @property
    def size(self) -> int:
        return len(self.record.value or b"")

    @property
    def attempts(self) -> tuple[str, ...]:
        """The letters that this one already was, oldest first."""
        return tuple(_text(value) for name, value in self.headers if name == REPLAYED_FROM)

    @property
    def again(self) -> Headers:
        """The headers to send the record with: its own, and which letter it was."""
        return (*self.headers, (REPLAYED_FROM, self.name.encode()))


def read_letter(record: SourceRecord) -> Letter:
    """Tell story and record apart. Never raises: a stranger's record is a letter without a source."""
    headers, story = _split(record.headers)
    partition, offset = story.get("source_partition", ""), story.get("source_offset", "")
    is_ours = bool(story.get("source_topic")) and partition.isdecimal() and offset.isdecimal()
    return Letter(
        record,
        headers if is_ours else record.headers,
        story.get("reason", ""),
        story.get("detail", ""),
        (story["source_topic"], int(partition)) if is_ours else None,
        int(offset) if is_ours else -1,
        story.get("service_version", ""),
    )


def _split(headers: Sequence[tuple[str, bytes]]) -> tuple[Headers, dict[str, str]]:
    """The record's own headers, and the story: of each name the last header, for writers append."""
    own: list[tuple[str, bytes]] = []
    story: dict[str, str] = {}
    for name, value in reversed(headers):
        if name in STORY and name not in story:
            story[name] = _text(value)
        else:
            own.append((name, value))
    return tuple(reversed(own)), story


def _text(value: bytes | None) -> str:
    """A header may have no value at all, which the clients' types do not say."""
    return (value or b"").decode(errors="replace")
