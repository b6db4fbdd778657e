"""How a service runs as a process: logging, signals, a bounded drain, health and metrics, exit codes.

The first SIGTERM or SIGINT sets `stop`, and the service drains. A second one, or a drain over
its time, ends the process at once: what was not committed does not exist, so nothing is lost.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Protocol

from services.shared import compiled
from services.shared.clock import SystemClock
from services.shared.errors import SettingsError, SpanloomError
from services.shared.health import Health as Health  # noqa: PLC0414 - services name it from here
from services.shared.health import HealthServer
from services.shared.log import set_up_logging
from services.shared.pauses import watch_pauses
from services.shared.settings import Settings
from services.shared.telemetry import Telemetry

_log = logging.getLogger(__name__)
_SECOND = 10**9


class Service(Protocol):
    """The entry point of a deployable: work until `stop` is set, drain, return. Raising ends the process."""

    def __call__(
        self, settings: Settings, telemetry: Telemetry, stop: asyncio.Event, health: Health
    ) -> Coroutine[Any, Any, None]: ...


def run_process(name: str, service: Service, settings: Settings, *, serves_health: bool) -> int:
    """Run a service to its end and give the exit code: 0 after a clean stop.

    `serves_health`: the service has no HTTP server of its own, so /metrics, /healthz and /readyz
    are served beside it on `metrics_port`. Does not return when the service raises or when the
    stop is not a clean one: the process is then ended with 2 (settings), 1 (anything else) or
    130 (a second signal), without waiting for what still runs.
    """
    set_up_logging(settings.log_level)
    asyncio.run(_run(name, service, settings, serves_health=serves_health))
    return 0


async def _run(name: str, service: Service, settings: Settings, *, serves_health: bool) -> None:
    stop = asyncio.Event()
    _Stopping(name, settings.drain_timeout / _SECOND, stop).listen()
    task = asyncio.ensure_future(_serve(service, settings, stop, serves_health=serves_health))
    await asyncio.wait({task})
    if (error := task.exception()) is not None:
        _end(name, error)
    _log.info("%s stopped", name)


async def _serve(service: Service, settings: Settings, stop: asyncio.Event, *, serves_health: bool) -> None:
    telemetry, health = Telemetry(), Health()
    _log.info(compiled.check())
    async with AsyncExitStack() as stack:
        pauses = asyncio.ensure_future(watch_pauses(telemetry, SystemClock()))
        stack.callback(pauses.cancel)
        if serves_health:
            server = HealthServer(health, telemetry.exposition)
            port = await stack.enter_async_context(server.listening(settings.host, settings.metrics_port))
            _log.info("metrics and health on http://%s:%d", settings.host, port)
        await service(settings, telemetry, stop, health)


class _Stopping:
    """What signals do. `name` is the process in messages, `patience` in seconds."""

    def __init__(self, name: str, patience: float, stop: asyncio.Event) -> None:
        self._name, self._patience, self._stop = name, patience, stop

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._hear, number)

    def _hear(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            _end_now(f"{self._name}: second signal, ended at once", 130)
        _log.info("%s: %s stops; a second signal ends at once", number.name, self._name)
        self._stop.set()
        # A thread, for a drain that blocks the loop or hangs after it.
        timer = threading.Timer(
            self._patience,
            _end_now,
            (f"{self._name}: not drained within {self._patience:.0f} s (SPANLOOM_DRAIN_TIMEOUT), ended at once", 1),
        )
        timer.daemon = True
        timer.start()


def _end(name: str, error: BaseException) -> None:
    """The service raised: nothing may be committed any more, so nobody is waited for."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a task group around what happened
    match error:
        case SettingsError():
            _end_now(str(error), 2)
        case SpanloomError():
            _end_now(f"{name}: {error}", 1)
        case _:
            _end_now(f"{name}: a bug ended it\n{''.join(traceback.format_exception(error))}", 1)


def _end_now(message: str, code: int) -> None:
    with contextlib.suppress(OSError):  # a log on a full disk
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - the last words of the process
    os._exit(code)
