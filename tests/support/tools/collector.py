"""The real OpenTelemetry Collector, built with Go from pinned modules and kept in .cache."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.support.processes import REPOSITORY

_BUILDER = "go.opentelemetry.io/collector/cmd/builder"
_BUILDER_VERSION = "v0.155.0"
_MANIFEST = Path(__file__).parent / "builder.yaml"
_CACHE = REPOSITORY / ".cache" / "collector"
_GO = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-p=2 -trimpath"}


def collector() -> Path:
    """The program, built once for each content of builder.yaml (minutes the first time). Needs Go."""
    stamp = sha256(_MANIFEST.read_bytes() + _BUILDER_VERSION.encode()).hexdigest()[:12]
    program = _CACHE / f"otelcol-{stamp}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            print(f"building the OpenTelemetry Collector into {program}, this takes minutes ...", flush=True)  # noqa: T201 - a long step shows itself
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                _build(Path(folder), program)
    return program


def _build(folder: Path, program: Path) -> None:
    # In a module of its own: `go install module@version` refuses modules whose go.mod has replace lines.
    _run(["go", "mod", "init", "build"], folder)
    _run(["go", "get", f"{_BUILDER}@{_BUILDER_VERSION}"], folder)
    _run(["go", "build", "-ldflags", "-s -w", "-o", "builder", _BUILDER], folder)
    manifest = folder / "builder.yaml"
    manifest.write_text(f"{_MANIFEST.read_text()}\n".replace("dist:\n", f"dist:\n  output_path: {folder / 'out'}\n", 1))
    _run([str(folder / "builder"), "--config", str(manifest)], folder)
    shutil.move(folder / "out" / "otelcol", program)


def _run(command: Sequence[str], folder: Path) -> None:
    env = {**os.environ, **_GO}
    done = subprocess.run(["nice", *command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
