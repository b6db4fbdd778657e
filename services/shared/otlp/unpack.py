"""Bounded gzip."""

import zlib

MAX_BYTES = 32 << 20
"""Largest export request that is decoded, unpacked. A gzip bomb costs this much and no more."""

_GZIP = 16 + zlib.MAX_WBITS


class TooLargeError(ValueError):
    """Unpacks to more bytes than are allowed."""


def gunzip(data: bytes, most: int = MAX_BYTES) -> bytes:
    """The content of one or more gzip members, back to back.

    Raises `TooLargeError` for more than `most` bytes, and `ValueError` for anything that is not gzip from
    first to last byte.
    """
    parts: list[bytes] = []
    room = most
    while data:
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(data, room + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise TooLargeError(f"unpacks to more than {most} bytes")
        if not member.eof:
            raise ValueError("ends inside the packed data")
        data = member.unused_data
    return b"".join(parts)
