"""The meta record of a keyed partition: where it stands in its log, and what time it is there."""

from typing import NamedTuple

from services.sessionizer.engine.watermark import PartitionTime, Source
from services.shared.errors import PermanentError
from services.shared.records.packed import pack, unpack

FORMAT = 1
META_KEY = b"meta"
"""Its changelog key. No state may have it."""


class Meta(NamedTuple):
    """`position` is the next offset to fold: of a record that is applied in part, that record's."""

    epoch: int
    position: int
    time: PartitionTime


def encode_meta(meta: Meta) -> bytes:
    time = meta.time
    sources = {name: (source.watermark, source.heard_at) for name, source in time.sources.items()}
    fields = [meta.epoch, meta.position, time.watermark, time.log_time, time.timestamp, sources, time.source_count]
    return bytes((FORMAT,)) + pack([*fields, time.counted_at])


def decode_meta(data: bytes, source_timeout: int) -> Meta:
    """Raises `PermanentError` for the record of a newer version."""
    check_format(data[0], FORMAT)
    epoch, position, watermark, log_time, timestamp, sources, count, counted_at = unpack(memoryview(data)[1:])
    heard = {name: Source(*source) for name, source in sources.items()}
    time = PartitionTime(source_timeout, watermark, log_time, timestamp, heard, count, counted_at)
    return Meta(epoch, position, time)


def check_format(found: int, known: int) -> None:
    """Every value in a changelog begins with the number of its format. Raises `PermanentError` for a newer one."""
    if not 1 <= found <= known:
        raise PermanentError(
            f"a state in the changelog has format {found}, this worker reads up to {known}: upgrade it"
        )
