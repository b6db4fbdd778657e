"""`deploy/environment`, where it does not have to install anything: that it does is shown by every run of the tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A tree with what the script reads, and no .venv."""
    (tmp_path / "deploy").mkdir()
    for name in ("deploy/environment", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def _run(folder: Path, *arguments: str, python: str = "python3") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "deploy" / "environment", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHON": python},
    )


def _python_that_is(folder: Path, version: str) -> str:
    program = folder / "old-python"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}"\n[ "$1" != -c ]\n')
    program.chmod(0o755)
    return str(program)


def test_a_python_that_is_too_old_is_told_with_what_to_do(clone: Path) -> None:
    done = _run(clone, python=_python_that_is(clone, "3.10.4"))

    assert done.returncode == 1
    assert "Python 3.10.4 is too old: Spanloom needs Python 3.11 or newer; name one with PYTHON=" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_not_there_is_told_with_what_to_do(clone: Path) -> None:
    done = _run(clone, python="no-such-python")

    assert done.returncode == 1
    assert "no-such-python is not there" in done.stderr


def test_an_environment_that_is_up_to_date_is_left_alone(clone: Path) -> None:
    (clone / ".venv").mkdir()
    shutil.copy(REPOSITORY / "deploy" / "compile", clone / "deploy")
    (clone / "services").mkdir()
    (clone / ".cache" / "build").mkdir(parents=True)
    (clone / ".cache" / "build" / "compiled").touch()
    lock, project = ((clone / name).read_text() for name in ("requirements.lock", "pyproject.toml"))
    (clone / ".venv" / "made-from").write_text(f"{clone}\n{lock}{project}")

    done = _run(clone, python="no-such-python")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "folder"])
def test_an_environment_made_from_something_else_is_made_again(clone: Path, changed: str) -> None:
    (clone / ".venv").mkdir()
    made_from = {name: (clone / name).read_text() for name in ("requirements.lock", "pyproject.toml")}
    made_from["folder"] = f"{clone}\n"
    made_from[changed] += "another\n"
    (clone / ".venv" / "made-from").write_text(
        f"{made_from['folder']}{made_from['requirements.lock']}{made_from['pyproject.toml']}"
    )

    done = _run(clone, python="no-such-python")

    assert "no-such-python is not there" in done.stderr


@pytest.mark.parametrize("script", ["environment", "quickstart"])
def test_an_argument_that_is_not_known_is_refused(script: str) -> None:
    done = subprocess.run([REPOSITORY / "deploy" / script, "--twice"], capture_output=True, text=True, check=False)

    assert done.returncode in (1, 2)
    assert "unknown argument --twice" in done.stdout + done.stderr
