"""The file that a clean stop leaves for the next start: the states of open and held windows.

The embedded broker is memory, so there is no changelog to read back. The file is written
atomically and removed when it has been read: what it holds is in the process again, and after
a kill an older one would bring back the past.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgpack

from services.shared.errors import PermanentError

_FORMAT = 1
Entries = Sequence[tuple[bytes, bytes | None]]


def save_states(path: Path, states: Mapping[int, Entries]) -> None:
    """Write the changelog entries of each partition; the file is there whole or not at all."""
    scratch = path.with_suffix(".writing")
    with scratch.open("wb") as file:
        file.write(msgpack.packb([_FORMAT, {number: list(entries) for number, entries in states.items()}]))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def take_states(path: Path) -> dict[int, list[tuple[bytes, bytes | None]]] | None:
    """Read the file and remove it. None when there is none: the first start, or the last stop was no clean one.

    Raises `PermanentError` for a file that this version does not read; it is left where it is.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    form, states = msgpack.unpackb(data, strict_map_key=False, max_buffer_size=0)
    if form != _FORMAT:
        raise PermanentError(f"{path} has format {form}, this version reads {_FORMAT}: start the version that wrote it")
    path.unlink()
    return {number: [(bytes(key), value) for key, value in entries] for number, entries in states.items()}
