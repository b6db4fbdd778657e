"""Processes of Spanloom that start at once: forked from one that has imported everything, crash points included.

A chaos run starts hundreds. What they run is the `spanloom` command itself, or a function of a test.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.chaos.trap import TRAP
from tests.support.eventually import NotInTimeError, eventually
from tests.support.processes import REPOSITORY, Process

_context = multiprocessing.get_context("forkserver")
_children = threading.Lock()
"""Held by whoever looks at children: starting one looks at all, and an exit status can be read once."""
_LONGEST = 60.0


class ForkedProcess(Process):
    """One child with a log and a folder for a trap (trap.py). The same to its user as a `Process`."""

    def __init__(
        self,
        name: str,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        log: Path,
        trap: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.log, self.may_end = name, log, False
        trap.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._process = _context.Process(
            target=_run, args=(function, arguments, log, trap, dict(env or {})), name=name, daemon=True
        )
        with _children, contextlib.chdir(REPOSITORY):
            _context.set_forkserver_preload(["tests.support.chaos.preloaded"])
            forkserver.ensure_running()
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self.status is None

    @property
    def status(self) -> int | None:
        with _children:
            return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.may_end = True
        self.signal(signal.SIGKILL)
        eventually(lambda: not self.is_running, within=_LONGEST, what=f"the end of {self.name}", every=0.01)

    def stop(self, within: float = 30.0) -> int:
        self.may_end = True
        self.signal(signal.SIGTERM)
        return self.wait(within)

    def wait(self, within: float) -> int:
        try:
            eventually(lambda: not self.is_running, within=within, what=f"the end of {self.name}", every=0.01)
        except NotInTimeError:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {within:g} s\n{self.tail()}") from None
        status = self.status
        assert status is not None
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()


def spanloom(command: str) -> None:
    """`spanloom COMMAND`, in a child."""
    from services.cli.main import main  # noqa: PLC0415 - in the child, after the trap was set

    main([command], prog_name="spanloom")


def _run(
    function: Callable[..., None], arguments: tuple[Any, ...], log: Path, trap: Path, env: Mapping[str, str]
) -> None:
    from tests.support.chaos import preloaded  # noqa: F401, PLC0415 - importing it installs the trap, in children only

    os.setsid()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(env)
    TRAP.folder = trap
    function(*arguments)
