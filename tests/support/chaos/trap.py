"""A file that makes a process die, or stand still, at one crash point.

The test writes the file (`set_trap`), also while the process runs; the process takes it away in the moment it falls
into it, so the test sees that it did (`has_sprung`).
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL, Signals

from tests.support.chaos.crash_points import CrashPoint

_SET, _SPRUNG, _REACHED = "trap.json", "trap.sprung", "reached.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """Send yourself `signal` when `stage` comes to `point` for the time after `passes`."""

    stage: str
    point: CrashPoint
    signal: Signals = SIGKILL
    passes: int = 0

    def __str__(self) -> str:
        return f"{self.signal.name} {self.point}, stage {self.stage}"


def set_trap(folder: Path, plan: Plan) -> None:
    """Replaces a plan that was not come to yet."""
    fresh = folder / "trap.new"
    fresh.write_text(json.dumps(asdict(plan)))
    (folder / _SPRUNG).unlink(missing_ok=True)
    fresh.rename(folder / _SET)


def has_sprung(folder: Path) -> bool:
    """Whether the process that looks into `folder` has come to the point of the last plan."""
    return (folder / _SPRUNG).exists()


def disarm(folder: Path) -> bool:
    """Take the plan away. False: too late, the process has come to its point."""
    try:
        (folder / _SET).rename(folder / "trap.off")
    except FileNotFoundError:
        return False
    return True


def points_reached(folder: Path) -> set[tuple[str, CrashPoint]]:
    """Stages and points that a process has passed which ended with `FileTrap.tell`."""
    return {(stage, CrashPoint(*point)) for stage, point in json.loads((folder / _REACHED).read_text())}


class FileTrap:
    """In the process: looks for a plan at every point. Without a folder it does nothing."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._reached: set[tuple[str, CrashPoint]] = set()
        self._text = ""
        self._passed = 0

    def reached(self, point: CrashPoint, stage: str) -> None:
        if self.folder is None:
            return
        self._reached.add((stage, point))
        try:
            text = (self.folder / _SET).read_text()
        except FileNotFoundError:
            return
        if text != self._text:
            self._text, self._passed = text, 0
        plan = json.loads(text)
        if (plan["stage"], CrashPoint(**plan["point"])) != (stage, point):
            return
        self._passed += 1
        if self._passed > plan["passes"]:
            (self.folder / _SET).rename(self.folder / _SPRUNG)
            os.kill(os.getpid(), plan["signal"])

    def tell(self) -> None:
        """Leave what was passed for the test to read."""
        assert self.folder is not None
        reached = [(stage, (p.coroutine, p.awaited, p.side)) for stage, p in sorted(self._reached)]
        (self.folder / _REACHED).write_text(json.dumps(reached))


TRAP = FileTrap()
"""That of this process."""
