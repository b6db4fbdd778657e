"""Programs with instrumentations of today, run in an environment of their own, and what they export.

The environment holds exactly the packages of `requirements.txt`, by hash; it is made once, in
.cache, from wherever this machine's pip and uv are told to look.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.demo.model_server import model_server
from tests.support.otlp_receiver import Receiver
from tests.support.processes import REPOSITORY

FOLDER = REPOSITORY / "tests/integration/instrumentations"
_CACHE = REPOSITORY / ".cache" / "instrumentations"
_TIMEOUT = 120


@dataclass(frozen=True, slots=True)
class Recording:
    """What a program exported, in the order of arrival, and the usage that the model told it, call by call."""

    requests: list[TracesData]
    answered: list[dict[str, int]]


def record(program: str, session_id: str) -> Recording:
    """Run `programs/<program>.py` to its end."""
    receiver, answered = Receiver(), list[dict[str, int]]()
    with receiver.listening(), model_server(answered) as model_url:
        _run([_python(), FOLDER / f"programs/{program}.py", receiver.endpoint, model_url, session_id])
    requests = [TracesData.FromString(request.SerializeToString()) for request in receiver.requests]
    return Recording(requests, answered)


def _python() -> Path:
    """The environment's interpreter."""
    requirements = FOLDER / "requirements.txt"
    stamp = sha256(requirements.read_bytes() + sys.version.encode() + str(_CACHE).encode()).hexdigest()[:16]
    python = _CACHE / "venv/bin/python"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _CACHE / "made-from"
        if not (made.exists() and made.read_text() == stamp):
            made.unlink(missing_ok=True)
            shutil.rmtree(_CACHE / "venv", ignore_errors=True)
            uv = Path(sys.executable).with_name("uv")
            _run([uv, "venv", "--quiet", "--python", sys.executable, _CACHE / "venv"])
            _run([uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", requirements])
            made.write_text(stamp)
    return python


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(["nice", *command], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    assert done.returncode == 0, f"{command[0]} ... failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
