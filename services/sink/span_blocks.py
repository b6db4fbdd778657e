"""PURE: records of `otlp_spans` to blocks of rows, by the compiled writer."""

from collections.abc import Sequence

from services.shared.model.outcome import SinkOutcome
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.row_parts import RowParts
from services.shared.otlp.rows import span_rows
from services.shared.records.source_record import SourceRecord
from services.sink.batch import BatchRows, Block
from services.sink.rows import COLUMNS, SPANS, SpanConversion, Unreadable

try:
    from services.shared.otlp._rows import SpanBlock
except ImportError:  # not built, or switched off
    SpanBlock = None  # type: ignore[misc,assignment]  # asked for before it is used

_MOST_BYTES = 64 << 20  # of a block; a larger record is one of its own


def span_writer(conversion: SpanConversion) -> "SpanWriter | None":
    """A writer of what `conversion` makes; `None` where it is not built, and for spans that redaction changes."""
    return None if SpanBlock is None or conversion.rules.redaction is not None else SpanWriter(conversion)


class SpanWriter:
    """See `BlockWriter`. Not for several threads at once."""

    def __init__(self, conversion: SpanConversion) -> None:
        self._rules, self._roots_only = conversion.rules, conversion.roots_only
        self._block = self._new()

    def write(self, records: Sequence[SourceRecord], most_rows: int) -> BatchRows | None:
        """See `BlockWriter`."""
        result, block, first = BatchRows(), self._block, 0
        try:
            for record in records:
                if record.value is not None and not block.add(record.value, record.timestamp):
                    self._add(record, record.value, result)
                if block.count >= most_rows or block.size >= _MOST_BYTES:
                    first = self._take(result, first)
            self._take(result, first)
        except (OverflowError, UnicodeEncodeError):  # a value that no column takes: which row's, the conversion tells
            self._block = self._new()
            return None
        return result

    def _add(self, record: SourceRecord, value: bytes, result: BatchRows) -> None:
        request = decode_request(value)
        if isinstance(request, DeadLetter):
            result.unreadable.append((record, Unreadable(SinkOutcome.SKIPPED, request.detail, is_ours=False)))
            return
        for row in span_rows(request, record.timestamp, self._rules, roots_only=self._roots_only):
            self._block.add_row(row, record.timestamp)

    def _take(self, result: BatchRows, first: int) -> int:
        """Add the block that has been written, if it has rows; where the next one begins."""
        if count := self._block.count:
            result.blocks.append(Block(SPANS, COLUMNS[SPANS], first, count, self._block.take()))
        return first + count

    def _new(self) -> "SpanBlock":
        return SpanBlock(RowParts(self._rules, roots_only=self._roots_only), roots_only=self._roots_only)
