"""What Kubernetes does for a service: starts it again when it ends, and knows how much memory it took."""

from pathlib import Path

from tests.support.installation import Installation, Service

_KILOBYTE = 1024


class Supervised:
    """One service that is to run always. Call `look` often."""

    def __init__(self, installation: Installation, command: str, **settings: str) -> None:
        self._installation, self._command, self._settings = installation, command, settings
        self.peak_memory = 0
        """Bytes of resident memory that any of its processes ever had."""
        self.ended: list[Service] = []
        self.service = self._start()

    def look(self) -> None:
        """Note its memory; start it again if it has ended."""
        if self.service.process.is_running:
            self.peak_memory = max(self.peak_memory, peak_memory(self.service.process.pid))
        else:
            self.ended.append(self.service)
            self.service = self._start()

    def _start(self) -> Service:
        service = self._installation.start(self._command, **self._settings)
        service.process.may_end = True  # that is what it is supervised for
        return service


def peak_memory(pid: int) -> int:
    """Bytes of resident memory that a running process had at most so far; 0 when it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(sizes[0]) * _KILOBYTE if sizes else 0
