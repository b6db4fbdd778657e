from collections.abc import Sequence

from services.shared.record_batch import Record

def body(records: Sequence[Record], start: int, room: int) -> tuple[bytes, int] | None: ...
