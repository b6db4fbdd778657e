from services.shared.otlp.row_parts import RowParts
from services.shared.otlp.rows import SpanRow

COLUMNS: tuple[tuple[bytes, bytes], ...]
"""Names and types."""

class SpanBlock:
    count: int
    """Rows of the block so far."""
    by_python: int
    """Spans that were made into rows by Python, of all blocks."""

    def __init__(self, parts: RowParts, *, roots_only: bool) -> None: ...
    @property
    def size(self) -> int: ...
    def add(self, value: bytes, timestamp: int) -> bool: ...
    def add_row(self, row: SpanRow, timestamp: int) -> None: ...
    def take(self) -> bytearray: ...
