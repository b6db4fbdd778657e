"""The file that a clean stop leaves for the next start: the states of held windows and of traces.

The embedded broker is memory, so there is no changelog to read back. The file is written
atomically. It is forgotten as soon as the next process takes spans: from then on it is of the
past. A start that fails before leaves it as it was.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from services.shared.errors import PermanentError

_FORMAT = 2
_WINDOWS_ONLY = 1  # an older format: `window` was the only stage with states


@dataclass(frozen=True, slots=True)
class SavedStates:
    """Changelog entries by stage and partition, and the epoch of the log they were made from."""

    epoch: int
    stages: Mapping[str, Mapping[int, Sequence[tuple[bytes, bytes]]]]


def save_states(path: Path, states: SavedStates) -> None:
    """Write the file; it is there whole or not at all. Raises `PermanentError` when it cannot be written."""
    scratch = path.with_suffix(".writing")
    entries = {
        stage: {number: list(of_partition) for number, of_partition in partitions.items()}
        for stage, partitions in states.stages.items()
    }
    data = msgpack.packb([_FORMAT, states.epoch, entries])
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise PermanentError(
            f"open sessions could not be saved in {path}: {error.strerror}; what they have so far is in ClickHouse, and"
            " the next start closes them as interrupted"
        ) from error


def load_states(path: Path) -> SavedStates | None:
    """Read the file. None when there is none: the first start, or the last stop was no clean one.

    Raises `PermanentError` for a file that this version does not read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    fields = msgpack.unpackb(data, strict_map_key=False, use_list=False)
    if fields[0] == _WINDOWS_ONLY:
        return SavedStates(fields[1], {"window": fields[2]})
    if fields[0] != _FORMAT:
        raise PermanentError(f"{path} has format {fields[0]}, this version reads {_FORMAT}; move it to start without")
    return SavedStates(fields[1], fields[2])


def forget_states(path: Path) -> None:
    """Remove the file, if there is one."""
    path.unlink(missing_ok=True)
