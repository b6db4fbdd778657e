"""Health of a service; /metrics, /healthz and /readyz where it has no HTTP server of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from services.shared.errors import SettingsError

_HEAD_LIMIT = 16 << 10
_PATIENCE = 10.0  # seconds for a client to say what it wants
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"

_Answer = tuple[HTTPStatus, str, bytes]


class Health:
    """What the probes are told. A service replaces `ready`, and `alive` where it can tell more than that it answers."""

    def __init__(self) -> None:
        self.ready: Callable[[], bool] = lambda: False
        self.alive: Callable[[], bool] = lambda: True


class HealthServer:
    """Answers GET and HEAD on three paths, one request a connection. Used by probes and Prometheus only."""

    def __init__(self, health: Health, exposition: Callable[[], bytes]) -> None:
        self._health, self._exposition = health, exposition

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen inside the block; gives the port. Raises `SettingsError` when it cannot have it."""
        try:
            server = await asyncio.start_server(self._serve, host, port, limit=_HEAD_LIMIT)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port} for metrics and health ({error.strerror}): "
                "set SPANLOOM_METRICS_PORT (0: any free port)"
            ) from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.partition(b" ")
                status, content_type, body = self._answer(method, rest.partition(b" ")[0].partition(b"?")[0])
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(b"" if method == b"HEAD" else body)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a client that sent no request, or went away; it has nobody to be told
        finally:
            writer.close()

    def _answer(self, method: bytes, path: bytes) -> _Answer:
        if method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"only GET\n"
        match path:
            case b"/metrics":
                return HTTPStatus.OK, _METRICS, self._exposition()
            case b"/healthz":
                return _verdict(self._health.alive())
            case b"/readyz":
                return _verdict(self._health.ready())
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"there are /metrics, /healthz and /readyz\n"


def _verdict(good: bool) -> _Answer:
    return (HTTPStatus.OK, _TEXT, b"ok\n") if good else (HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not now\n")
