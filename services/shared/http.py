"""What the HTTP services share: how requests are routed and counted, what errors look like, how a server runs."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from services.shared.clock import Clock
from services.shared.errors import PermanentError, SettingsError, TransientError
from services.shared.telemetry import Telemetry

PHOENIX_VERSION = "20.26.1"
"""The server version whose REST contract is spoken. Clients refuse servers older than what they call for."""

RETRY_AFTER = "1"
"""Seconds that a refused client is asked to wait."""

_VERSION_HEADER = (b"x-phoenix-server-version", PHOENIX_VERSION.encode())
_STOP_PATIENCE = 10  # seconds for requests that still run; the drain of the process has its own limit
_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Edge:
    """The outermost layer of an application: counts and times requests, and says which version answers.

    Routes match the path as it was sent, so that `%2F` inside an id does not end it; parameters
    are decoded afterwards, by their type (`PathText`).
    """

    def __init__(self, app: AsgiApp, telemetry: Telemetry, clock: Clock) -> None:
        self._app, self._telemetry, self._clock = app, telemetry, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        status = 500
        started = self._clock.monotonic()

        async def send_with_version(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), _VERSION_HEADER]
            await send(message)

        try:
            await self._app(scope, receive, send_with_version)
        finally:
            # Requests without a route are one series: their paths are anybody's.
            route = getattr(scope.get("route"), "path", "other")
            self._telemetry.count("spanloom_http_requests_total", route, str(status))
            self._telemetry.observe("spanloom_http_request_seconds", self._clock.monotonic() - started, route)


def add_edge(app: FastAPI, telemetry: Telemetry, clock: Clock) -> None:
    """Give an application our edge and our errors: plain text, as Phoenix has them."""
    app.add_middleware(Edge, telemetry=telemetry, clock=clock)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TransientError, _unavailable)
    app.add_exception_handler(PermanentError, _misconfigured)
    app.add_exception_handler(Exception, _bug)


def monitor_router(telemetry: Telemetry, ready: Callable[[], Awaitable[Response]]) -> APIRouter:
    """/healthz (this process answers), /readyz (`ready` decides) and /metrics."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_class=PlainTextResponse, summary="The process answers")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("OK")

    @router.get("/readyz", response_class=PlainTextResponse, summary="Requests can be served")
    async def readyz() -> Response:
        return await ready()

    @router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


async def serve(app: FastAPI, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let running requests end. Raises `SettingsError` when the port is taken."""
    server = Server(app, host, port)
    await server.start()
    try:
        await stop.wait()
    finally:
        await server.stop()


class Server:
    """One listening application. `port` is the real one after `start`, also where 0 was asked for."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._host, self.port = host, port
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=_STOP_PATIENCE,
                server_header=False,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises `SettingsError` when the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self.port), family=family)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {self._host}:{self.port} ({error.strerror}): set SPANLOOM_PORT, or for a gateway by"
                " itself SPANLOOM_GATEWAY_PORT (0: any free port)"
            ) from error
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        is_up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait({self._task, is_up}, return_when=asyncio.FIRST_COMPLETED)
        is_up.cancel()
        _log.info("listening on http://%s:%d", self._host, self.port)

    async def stop(self) -> None:
        """Take no more requests and let those that run end."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process around it, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code, headers=error.headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    """A neighbour is down. Not logged: readiness, the status in the metrics and the answer say so already."""
    del request
    return PlainTextResponse(f"{error}; try again", 503, headers={"retry-after": RETRY_AFTER})


async def _misconfigured(request: Request, error: Exception) -> Response:
    """A neighbour refuses us for a reason that a person must remove, such as tables that are missing."""
    _log.error("%s: %s", request.url.path, error)
    return PlainTextResponse(str(error), 503, headers={"retry-after": RETRY_AFTER})


async def _bug(request: Request, error: Exception) -> Response:
    """Answered outside of `Edge`, so with the version of its own; the server logs the traceback."""
    del request, error
    return PlainTextResponse("Internal Server Error", 500, headers={"x-phoenix-server-version": PHOENIX_VERSION})
