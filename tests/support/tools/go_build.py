"""Programs built with Go from pinned modules, once, and kept in .cache."""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.processes import REPOSITORY

Build = Callable[[Path], Path]
"""Builds in an empty folder; gives the program."""

_ENVIRONMENT = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-p=2 -trimpath"}


def built(name: str, stamp: str, build: Build) -> Path:
    """The program `name` as `stamp` describes it; `build` makes it, minutes long, where it is not there yet."""
    cache = REPOSITORY / ".cache" / name
    program = cache / f"{name}-{stamp}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            print(f"building {name}, this takes minutes ...", flush=True)  # noqa: T201 - a long step shows itself
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                build(Path(folder)).rename(program)
    return program


def build_package(folder: Path, module: str, version: str, name: str, flags: str = "-s -w") -> Path:
    """`go build` of one main package, in a module of its own: `go install` refuses modules with replace lines."""
    run(["go", "mod", "init", "build"], folder)
    run(["go", "get", f"{module}@{version}"], folder)
    run(["go", "build", "-ldflags", flags, "-o", name, module], folder)
    return folder / name


def run(command: Sequence[str], folder: Path) -> None:
    """Run to the end, at low priority. Raises `AssertionError` with the end of its output when it fails."""
    env = {**os.environ, **_ENVIRONMENT}
    done = subprocess.run(["nice", *command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
