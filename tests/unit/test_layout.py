"""How the tree is laid out, and what may stand in it."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
TOP_LEVEL = {"pyproject.toml", "README.md", "services", "schemas", "deploy", "helm", "tests", "LICENSE"}
TOP_LEVEL |= {"requirements.lock"}

LONGEST = 300
LONGER: dict[str, str] = {"services/shared/semconv.py": "one table, data and nothing else"}
"""Modules over the limit, with the reason."""

PURE = (
    "services/sessionizer/agenda.py",
    "services/sessionizer/bindings.py",
    "services/sessionizer/engine",
    "services/sessionizer/held_windows.py",
    "services/sessionizer/keyed_stage.py",
    "services/sessionizer/meta.py",
    "services/sessionizer/older_states.py",
    "services/sessionizer/publication.py",
    "services/sessionizer/resolve_stage.py",
    "services/sessionizer/resolve_state.py",
    "services/sessionizer/resolve_table.py",
    "services/sessionizer/route_stage.py",
    "services/sessionizer/source_watermark.py",
    "services/sessionizer/span_outputs.py",
    "services/sessionizer/stage.py",
    "services/sessionizer/state.py",
    "services/sessionizer/state_fields.py",
    "services/sessionizer/state_parts.py",
    "services/sessionizer/state_reader.py",
    "services/sessionizer/state_writer.py",
    "services/sessionizer/table.py",
    "services/sessionizer/wheel.py",
    "services/sessionizer/window_stage.py",
    "services/shared/errors.py",
    "services/shared/model",
    "services/shared/otlp",
    "services/shared/records",
    "services/shared/semconv.py",
)
"""Like every module whose first word is PURE: no clock, no I/O, no tasks, no randomness, no logging."""

IMPURE = {"asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "signal"}
IMPURE |= {"socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid"}
FORMATS = {"google", "msgpack", "opentelemetry", "orjson", "typing_extensions"}
"""Packages that only turn bytes into values and back, or types."""

VAGUE = {"util", "utils", "common", "helper", "helpers", "base", "misc"}


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listed.split("\0") if name and (path := REPOSITORY / name).is_file()]


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def _is_pure(path: Path) -> bool:
    return _name(path).startswith(PURE) or path.read_text().startswith('"""PURE:')


def _imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                found |= {module}
    return found


def test_the_top_level_holds_what_was_agreed_and_dotfiles() -> None:
    entries = {Path(_name(path)).parts[0] for path in _tracked()}

    assert {entry for entry in entries if not entry.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("path", _tracked("services/*.py"), ids=_name)
def test_a_module_is_short_enough_to_be_read_at_once(path: Path) -> None:
    lines = len(path.read_text().splitlines())

    assert lines <= LONGEST or LONGER.get(_name(path))


def test_no_exception_from_the_length_of_modules_is_left_over() -> None:
    assert [name for name in LONGER if len((REPOSITORY / name).read_text().splitlines()) <= LONGEST] == []


def test_modules_are_named_for_the_noun_they_hold() -> None:
    assert [_name(path) for path in _tracked("services/*.py", "tests/*.py") if path.stem in VAGUE] == []


@pytest.mark.parametrize("path", [path for path in _tracked("services/*.py") if _is_pure(path)], ids=_name)
def test_a_pure_module_imports_nothing_that_could_make_it_depend_on_the_moment(path: Path) -> None:
    outside = {name.partition(".")[0] for name in _imports(path)} - {"services"}

    assert outside <= (sys.stdlib_module_names - IMPURE) | FORMATS


@pytest.mark.parametrize("path", [path for path in _tracked("services/*.py") if _is_pure(path)], ids=_name)
def test_a_pure_module_imports_only_pure_ones_of_ours(path: Path) -> None:
    ours = [name for name in _imports(path) if name.startswith("services.")]
    files = [REPOSITORY / f"{name.replace('.', '/')}.py" for name in ours]

    assert [_name(file) for file in files if file.is_file() and not _is_pure(file)] == []


@pytest.mark.parametrize("path", _tracked("tests/*.py"), ids=_name)
def test_tests_wait_for_facts_and_use_fakes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # A sleep of 0 waits for no time: it lets other tasks run.
    called = {ast.unparse(call.func) for call in calls if [ast.unparse(part) for part in call.args] != ["0"]}

    assert not called & {"time.sleep", "asyncio.sleep", "sleep", "pytest.skip", "pytest.importorskip"}
    assert not _imports(path) & {"unittest.mock", "mock"}


def test_no_file_names_a_package_registry_or_a_place_on_one_machine() -> None:
    names = re.compile(
        r"/(w[o]rk|r[o]ot|h[o]me)/[a-z]|\.\./s[h]ared|\b(repo1?|registry|deb|files|proxy|p[y]pi)\.[a-z0-9]+\.(org|io|com)\b|p[y]pi\.org"
    )
    found = {_name(path): match[0] for path in _tracked() if (match := names.search(path.read_text(errors="replace")))}

    assert found == {}


def _locked() -> dict[str, str]:
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [re.match(r"([A-Za-z0-9._-]+)==([^ ]+)", line) for line in lines]
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def test_the_lock_satisfies_every_requirement_of_every_extra() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        Requirement(text) for text in (*project["dependencies"], *(r for group in extras.values() for r in group))
    ]
    locked = _locked()

    assert [
        str(requirement)
        for requirement in wanted
        if requirement.name != project["name"]
        and not requirement.specifier.contains(
            locked.get(canonicalize_name(requirement.name), "none"), prereleases=True
        )
    ] == []


def test_every_locked_package_has_its_hashes() -> None:
    entries = re.split(r"\n(?=\S)", (REPOSITORY / "requirements.lock").read_text().strip())

    assert len(entries) == len(_locked())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
