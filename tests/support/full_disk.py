"""A disk on which nothing more can be written, without rights to mount one: a limit on the size of files.

Every write of the process beyond the limit fails with EFBIG, in Python, in chDB and in whatever else runs in
it, as it would with ENOSPC on a full disk; other processes, its redis-server among them, are not touched.
"""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.installation import SPANLOOM, Service
from tests.support.ports import free_ports
from tests.support.processes import Process

NO_SPACE = 512
"""Bytes: less than the smallest insert."""

_PIPED = 'exec > >(cat) 2>&1; ulimit -S -f "$1"; exec "$0" up'  # the log is written by another process, which has space


class UpOnSmallDisk(Service):
    """`spanloom up` with a log that can be written whatever its own limit is. `blocks`: the limit it starts with."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, blocks: str = "unlimited") -> None:
        (self.port,) = free_ports(1)
        self.name = "up"
        env = {"SPANLOOM_PORT": str(self.port), "SPANLOOM_DATA_DIR": str(folder / "data"), **settings}
        self.process = Process("up", ["bash", "-c", _PIPED, SPANLOOM, blocks], folder / "up.log", env)

    def fill_disk(self) -> None:
        self._limit(NO_SPACE)

    def free_disk(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def own_files_limited_to(size: int) -> Iterator[None]:
    """The same for this process, as long as the block runs."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
