"""What the image is made of, as far as it can be tried without a container engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY

DOCKERFILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"
BIN = Path(sys.executable).parent


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.slow
def test_the_installation_of_the_image_has_every_service_and_nothing_for_development(tmp_path: Path) -> None:
    """The Dockerfile's own command, on a copy of what the build gets."""
    [install] = [
        line for line in DOCKERFILE.read_text().splitlines() if "uv pip install --no-cache --constraint" in line
    ]
    _, _, arguments = install.partition("uv pip install --no-cache ")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "spanloom"], check=True)
    subprocess.run(
        f"{BIN / 'uv'} pip install --quiet {arguments}",
        shell=True,
        check=True,
        cwd=_build_context(tmp_path / "context"),
        env={**os.environ, "VIRTUAL_ENV": str(tmp_path / "spanloom")},
    )
    spanloom = tmp_path / "spanloom" / "bin" / "spanloom"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [spanloom, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "SPANLOOM_COMPILED": "require"},  # as in the image
        )

    for command in ("worker", "sink", "gateway"):
        # The service itself refuses, so it could be imported.
        assert "SPANLOOM_KAFKA_BOOTSTRAP" in run(command).stderr
    for command in ("migrate", "api"):
        assert "SPANLOOM_CLICKHOUSE_URL" in run(command).stderr
    assert "is not installed; install 'spanloom[embedded]'" in run("up").stderr
    assert "is not installed; install 'spanloom[demo]'" in run("demo").stderr


def _build_context(folder: Path) -> Path:
    """A copy of the tracked files that .dockerignore lets through."""
    let_through = [
        line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().split() if line[0] == "!"
    ]
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *let_through], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, target, follow_symlinks=False)
    return folder
