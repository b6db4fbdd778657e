"""PURE: what a sink inserts at once: the rows of some records, by table, and the tokens that name them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from services.shared.records.source_record import Place, SourceRecord
from services.sink.rows import ROWS_VERSION, Converted, Unreadable, Values

Conversion = Callable[[bytes, int], Converted]
"""A record's value and timestamp (ns) to its rows."""


@dataclass(slots=True)
class Batch:
    """Records read and not yet inserted."""

    records: list[SourceRecord] = field(default_factory=list)
    size: int = 0  # bytes of keys and values

    def add(self, records: Iterable[SourceRecord]) -> None:
        for record in records:
            self.records.append(record)
            self.size += len(record.value or b"") + len(record.key or b"")

    def positions(self) -> dict[Place, int]:
        """The first offset of each partition that is not part of the batch."""
        after: dict[Place, int] = {}
        for record in self.records:
            place = (record.topic, record.partition)
            after[place] = max(record.offset + 1, after.get(place, 0))
        return after


@dataclass(frozen=True, slots=True)
class Row:
    """A row and where it is from."""

    values: Values
    record: SourceRecord


@dataclass(slots=True)
class BatchRows:
    """The rows of a batch by table, and the records that have none because nobody can read them."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    unreadable: list[tuple[SourceRecord, Unreadable]] = field(default_factory=list)
    token: str = ""


def convert(batch: Batch, conversion: Conversion, scope: str) -> BatchRows:
    """All rows of a batch. Takes CPU in proportion to its bytes: call it on a thread."""
    result = BatchRows(token=batch_token(batch.records, scope))
    for record in batch.records:
        if record.value is None:
            continue  # a tombstone of some other tool: nothing to store, nothing lost
        converted = conversion(record.value, record.timestamp)
        if isinstance(converted, Unreadable):
            result.unreadable.append((record, converted))
            continue
        for table, values in converted:
            result.rows.setdefault(table, []).append(Row(values, record))
    return result


def batch_token(records: Sequence[SourceRecord], scope: str) -> str:
    """A digest of what a batch is: which records, with which bytes, made into rows by which code and settings.

    Offsets alone are not enough: a topic that was made anew, and the embedded broker after
    each start, count from 0 again, and ClickHouse drops other rows under a known token silently.
    """
    digest = blake2b(f"{ROWS_VERSION}/{scope}".encode(), digest_size=16)
    for record in records:
        digest.update(f"/{record.topic}/{record.partition}/{record.offset}/{record.timestamp}/".encode())
        digest.update(record.value or b"")
    return digest.hexdigest()
