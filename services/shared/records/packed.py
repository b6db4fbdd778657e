"""msgpack with integers of any size: sums and costs may outgrow its 64 bits.

Maps may have keys of any plain type; arrays come back as tuples.
"""

from collections.abc import Sequence
from typing import Any

import msgpack

_LARGE = 1  # extension type: an integer as decimal digits


class UnpackError(ValueError):
    """Bytes that `pack` does not write."""


def pack(fields: Any) -> bytes:  # noqa: ANN401 - any tree of plain values
    data: bytes = msgpack.packb(fields, default=_digits)
    return data


def array_of(parts: Sequence[bytes]) -> bytes:
    """The array of values that are packed already."""
    return b"".join((msgpack.Packer().pack_array_header(len(parts)), *parts))


def unpack(data: bytes | bytearray | memoryview) -> Any:  # noqa: ANN401 - any tree of plain values
    """Raises `UnpackError` for bytes that are not msgpack, or have an extension type unknown here."""
    try:
        return msgpack.unpackb(data, use_list=False, strict_map_key=False, ext_hook=_large)
    except (msgpack.UnpackException, msgpack.ExtraData, ValueError, TypeError) as error:
        # Not its text: that may hold all there is, nested deeper than can be printed.
        raise UnpackError(f"{len(data)} bytes cannot be unpacked: {type(error).__name__}") from error


def _digits(value: object) -> msgpack.ExtType:
    if isinstance(value, int):
        return msgpack.ExtType(_LARGE, str(value).encode())
    raise TypeError(f"{value!r} is no plain value")


def _large(code: int, digits: bytes) -> int:
    if code != _LARGE:
        raise ValueError(f"extension type {code}")
    return int(digits)
