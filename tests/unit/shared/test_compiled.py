import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.shared import compiled
from services.shared.compiled import MODULES
from services.shared.errors import PermanentError
from tests.support.processes import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
EXTENSIONS = {each["name"]: each for each in PYPROJECT["tool"]["setuptools"]["ext-modules"]}


def _run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def test_the_modules_are_those_that_the_package_compiles() -> None:
    assert sorted(MODULES) == sorted(EXTENSIONS)


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_compiled_module_has_its_own_source_and_need_not_be_built(name: str) -> None:
    [source] = EXTENSIONS[name]["sources"]

    assert EXTENSIONS[name]["optional"] is True
    assert source.rpartition(".")[0].replace("/", ".") == name
    typed = Path(REPOSITORY, source).with_suffix(".pxd" if source.endswith(".py") else ".pyi")
    assert typed.is_file()


def test_these_tests_run_what_they_say_they_run() -> None:
    """Where there is a compiler all is compiled, unless the fallback is what is being tested."""
    setting = os.environ.get("SPANLOOM_COMPILED", "auto")
    if setting == "off":
        assert compiled.missing() == list(MODULES)
    elif setting == "require" or os.environ.get("CI"):
        assert compiled.missing() == []


def test_switched_off_no_module_of_ours_is_compiled() -> None:
    program = (
        "import sys, services.sessionizer.window_stage, services.sessionizer.route_stage, services.sink.main;"
        "print([n for n, m in sys.modules.items() if n.startswith('services.') and m.__file__.endswith('.so')]);"
        "from services.shared import compiled; print(compiled.check())"
    )
    done = _run(program, SPANLOOM_COMPILED="off")

    assert done.stdout.splitlines()[0] == "[]", done.stderr
    assert f"{len(MODULES)} of {len(MODULES)} modules of the hot path run as plain Python" in done.stdout


def test_a_module_that_is_required_and_not_built_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILED", "require")
    monkeypatch.setattr(compiled, "missing", lambda: ["services.no_such_module"])

    with pytest.raises(PermanentError, match=r"services\.no_such_module is not compiled: run deploy/compile"):
        compiled.check()


def test_another_word_than_the_three_is_refused() -> None:
    done = _run("import services", SPANLOOM_COMPILED="yes")

    assert done.returncode == 1
    assert "SPANLOOM_COMPILED is 'yes': it must be auto, require or off" in done.stderr
