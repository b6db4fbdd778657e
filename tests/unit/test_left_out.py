"""Tests that need a program this machine lacks: left out in one line, and failures where CI runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY

TESTS = """
import pytest

@pytest.mark.kafka
def test_with_kafka(): pass

@pytest.mark.kafka
@pytest.mark.parametrize("n", range(2))
def test_with_kafka_again(n): pass

def test_without(): pass
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with our hooks and four tests, of which three need Java and Maven."""
    (tmp_path / "conftest.py").write_text("from tests.support.missing_programs import *\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  kafka: x\n  go: x\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def _run(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    programs = tree / "programs"  # the whole PATH: neither java nor mvn
    programs.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(tree)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={"PATH": str(programs), "PYTHONPATH": str(REPOSITORY), **environment},
    )


def test_they_are_left_out_and_counted_in_one_line(tree: Path) -> None:
    done = _run(tree)

    assert done.returncode == 0
    assert "not run, for a missing program: 3 of test_it.py (java, mvn)\n" in done.stdout
    assert "1 passed, 3 deselected" in done.stdout


def test_they_are_counted_once_by_several_processes(tree: Path) -> None:
    done = _run(tree, "-n", "2")

    assert done.returncode == 0
    assert "not run, for a missing program: 3 of test_it.py (java, mvn)\n" in done.stdout
    assert "1 passed" in done.stdout


def test_in_ci_they_fail(tree: Path) -> None:
    done = _run(tree, CI="true")

    assert done.returncode == 1
    assert "java and mvn must be installed to run this test" in done.stdout
    assert "1 passed, 3 errors" in done.stdout


def test_where_the_programs_are_they_run(tree: Path) -> None:
    for name in ("java", "mvn"):
        program = tree / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

    done = _run(tree)

    assert "4 passed" in done.stdout
    assert "not run" not in done.stdout
