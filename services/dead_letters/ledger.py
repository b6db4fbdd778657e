"""PURE: which letters were sent again, as records of the ledger topic.

A record is written in the transaction that sends its letters, so it is there exactly when they
are. Topics are named by the id that the broker gave them: one that was made anew begins anew.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from services.shared.errors import PermanentError

_FORMAT = 1
_CHUNK_BITS = 16


class OffsetSet:
    """A set of offsets that takes a bit for each offset around those it has."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def add(self, offset: int) -> None:
        chunk = self._chunks.setdefault(offset >> _CHUNK_BITS, bytearray(1 << _CHUNK_BITS - 3))
        chunk[(offset & (1 << _CHUNK_BITS) - 1) >> 3] |= 1 << (offset & 7)

    def __contains__(self, offset: int) -> bool:
        chunk = self._chunks.get(offset >> _CHUNK_BITS)
        return chunk is not None and bool(chunk[(offset & (1 << _CHUNK_BITS) - 1) >> 3] & 1 << (offset & 7))


class Ledger:
    """What was sent again, of any number of topics."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        self._sent: dict[tuple[str, int], OffsetSet] = {}
        for entry in entries:
            self._read(entry)

    def has(self, topic_id: str, partition: int, offset: int) -> bool:
        return offset in self._sent.get((topic_id, partition), ())

    def _read(self, entry: bytes) -> None:
        try:
            fields: dict[str, Any] = orjson.loads(entry)
            if fields["format"] != _FORMAT:
                message = f"the ledger of replays has format {fields['format']}, this version reads {_FORMAT}: upgrade"
                raise PermanentError(message)
            for partition, offsets in fields["offsets"].items():
                sent = self._sent.setdefault((fields["topic_id"], int(partition)), OffsetSet())
                for offset in offsets:
                    sent.add(offset)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(f"a record of the ledger of replays is not one of ours: {error!r}") from error


def encode_entry(topic: str, topic_id: str, letters: Sequence[tuple[int, int]]) -> bytes:
    """The letters of one topic that one transaction sends, as (partition, offset)."""
    offsets: dict[str, list[int]] = {}
    for partition, offset in letters:
        offsets.setdefault(str(partition), []).append(offset)
    return orjson.dumps({"format": _FORMAT, "topic": topic, "topic_id": topic_id, "offsets": offsets})
