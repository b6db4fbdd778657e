"""PURE: what a sink inserts at once: the rows of some records, by table, and the tokens that name them."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one table in ClickHouse's Native format: `count` of them, the `first`, counted from 0, and those after.

    They are counted in the batch, as a conversion would make them of its records.
    """

    table: str
    columns: tuple[str, ...]
    first: int
    count: int
    data: bytes | bytearray


class BlockWriter(Protocol):
    """Makes blocks of records: the rows that a conversion makes of them, in the same order, for less CPU."""

    def write(self, records: Sequence[SourceRecord], most_rows: int) -> "BatchRows | None":
        """`None`: these records are for the conversion. A block ends with the record that fills it."""


@dataclass(slots=True)
class BatchRows:
    """The rows of a batch by table, or blocks of them, and the records that have none because nobody can read them."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    unreadable: list[tuple[SourceRecord, Unreadable]] = field(default_factory=list)


def convert(records: Iterable[SourceRecord], conversion: Conversion) -> BatchRows:
    """All rows of a batch. Takes CPU in proportion to its bytes: call it on a thread."""
    result = BatchRows()
    for record in records:
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

    Offsets alone are not enough: a topic that was made anew, and the embedded broker after each
    start, count from 0 again, and ClickHouse drops other rows under a known token silently. There
    the times differ, too, so a checksum of the bytes will do, which takes a quarter of the CPU of a digest.
    """
    digest = blake2b(f"{ROWS_VERSION}/{scope}".encode(), digest_size=16)
    for record in records:
        value = record.value or b""
        digest.update(f"/{record.topic}/{record.partition}/{record.offset}/{record.timestamp}".encode())
        digest.update(f"/{len(value)}/{zlib.crc32(value)}".encode())
    return digest.hexdigest()


def rows_token(batch: str, table: str, first: int, count: int) -> str:
    """The token of some rows of a batch: it names the same rows whoever made them, and however many at once."""
    return f"{batch}/{table}/{first}+{count}"


@dataclass(frozen=True, slots=True)
class Converter:
    """What a sink makes of its batches. `scope` goes into every token: whose rows these are, by which settings.

    `writer` writes what `conversion` makes. Both take CPU in proportion to a batch's bytes: call them on a thread.
    """

    conversion: Conversion
    scope: str
    writer: BlockWriter | None = None

    def convert(self, records: Sequence[SourceRecord], most_rows: int) -> tuple[BatchRows, str]:
        """The rows or blocks of a batch, and its token."""
        rows = None if self.writer is None else self.writer.write(records, most_rows)
        if rows is None:
            rows = convert(records, self.conversion)
        return rows, batch_token(records, self.scope)

    def rows_of(self, block: Block, records: Iterable[SourceRecord]) -> Sequence[Row]:
        """The rows of a block of these records."""
        return convert(records, self.conversion).rows[block.table][block.first : block.first + block.count]
