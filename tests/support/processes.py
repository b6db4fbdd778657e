"""Child processes of tests: started with a log, watched, ended by their own id."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
_LOG_TAIL = 6_000  # characters of a log that a failure shows


class Process:
    """One child process in a process group of its own; whatever it prints goes to `log`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self.may_end = False
        """Set by whoever ends it, or makes it end."""
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                cwd=REPOSITORY,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, to the whole group, and wait."""
        self.may_end = True
        if self.is_running:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM; the exit status. A process that does not end in time is killed, and that is an error."""
        self.may_end = True
        if self.is_running:
            self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {within:g} s of SIGTERM\n{self.tail()}") from None

    def wait(self, within: float) -> int:
        """Its exit status; a process that does not end by itself in time is an error."""
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {within:g} s\n{self.tail()}") from None

    def wait_for(self, ready: str, *, within: float) -> None:
        """Wait until the log holds `ready`; fail with the log when the process ends before."""

        def look() -> bool:
            if not self.is_running:
                raise AssertionError(f"{self.name} ended with status {self.status}\n{self.tail()}")
            return ready in self.log.read_text(errors="replace")

        eventually(look, within=within, what=f"{ready!r} in the log of {self.name}")

    def check_running(self) -> None:
        """Raises with the end of the log when the process has ended."""
        if not self.is_running:
            raise AssertionError(f"{self.name} ended with status {self.status}\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log, for a failure's text."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"--- end of the log of {self.name} ---\n{text[-_LOG_TAIL:]}\n---"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
