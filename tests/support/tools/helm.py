"""The real helm, built with Go from a pinned module and kept in .cache."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import REPOSITORY

_VERSION = "v3.22.0"
_PACKAGE = "helm.sh/helm/v3/cmd/helm"
_KUBERNETES_MINOR = "36"
_CACHE = REPOSITORY / ".cache" / "helm"
# Without these, helm tells charts and its linter that Kubernetes is 1.20.
_FLAGS = " ".join(
    [
        "-s -w",
        f"-X helm.sh/helm/v3/internal/version.version={_VERSION}",
        *(
            f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
            for package in ("lint/rules", "chartutil")
            for part, number in (("Major", "1"), ("Minor", _KUBERNETES_MINOR))
        ),
    ]
)


def helm() -> Path:
    """The program, built once (two to three minutes). Needs Go."""
    program = _CACHE / f"helm-{_VERSION}-1.{_KUBERNETES_MINOR}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            print(f"building helm into {program}, this takes minutes ...", flush=True)  # noqa: T201 - a long step shows itself
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                # In a module of its own: `go install module@version` refuses modules whose go.mod has replace lines.
                _run(["go", "mod", "init", "build"], Path(folder))
                _run(["go", "get", f"{_PACKAGE}@{_VERSION}"], Path(folder))
                _run(["go", "build", "-ldflags", _FLAGS, "-o", "helm", _PACKAGE], Path(folder))
                shutil.move(Path(folder) / "helm", program)
    return program


def _run(command: Sequence[str], folder: Path) -> None:
    env = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-p=2 -trimpath"}
    done = subprocess.run(["nice", *command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
