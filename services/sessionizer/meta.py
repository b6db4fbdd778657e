"""The meta record of a keyed partition: where it stands in its log, and what time it is there."""

import struct
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from services.sessionizer.engine.watermark import PartitionTime, Source
from services.shared.errors import PermanentError
from services.shared.records.packed import pack, unpack

_P = ParamSpec("_P")
_T = TypeVar("_T")

FORMAT = 1
META_KEY = b"meta"
"""Its changelog key. No state may have it."""


class Meta(NamedTuple):
    """`position` is the next offset to fold: of a record that is applied in part, that record's."""

    epoch: int
    position: int
    time: PartitionTime


def refusing(decode: Callable[_P, _T]) -> Callable[_P, _T]:
    """A decoder of changelog values, whose every failure becomes a `PermanentError`: bytes that no worker wrote."""

    @wraps(decode)
    def refuse(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return decode(*args, **kwargs)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, struct.error) as error:
            raise PermanentError(
                f"a state in the changelog cannot be read ({decode.__name__}): {error!r:.500}"
            ) from error

    return refuse


def encode_meta(meta: Meta) -> bytes:
    time = meta.time
    sources = {name: (source.watermark, source.heard_at) for name, source in time.sources.items()}
    fields = [meta.epoch, meta.position, time.watermark, time.log_time, time.timestamp, sources, time.source_count]
    return bytes((FORMAT,)) + pack([*fields, time.counted_at])


@refusing
def decode_meta(data: bytes, source_timeout: int) -> Meta:
    """Raises `PermanentError` for the record of a newer version, and for what no worker wrote."""
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
