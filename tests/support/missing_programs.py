"""Which tests this machine can run: the others are left out in one line, and fail where CI runs them.

Hooks of pytest; `tests/conftest.py` imports them.
"""

import os
import shutil
from collections import Counter
from typing import Any

import pytest

TOOLS = {"kafka": ("java", "mvn"), "go": ("go",)}
"""What a test with this marker needs on the machine, besides the packages of the lock file."""

_LEFT_OUT = pytest.StashKey[Counter[tuple[str, str]]]()


def _missing(item: pytest.Item) -> list[str]:
    wanted = [tool for marker, tools in TOOLS.items() if item.get_closest_marker(marker) for tool in tools]
    return [tool for tool in wanted if shutil.which(tool) is None]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI") == "true":
        return
    missing = {item: _missing(item) for item in items}
    left_out = [item for item in items if missing[item]]
    config.stash[_LEFT_OUT] = Counter((item.path.name, ", ".join(missing[item])) for item in left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not missing[item]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if missing := _missing(item):
        pytest.fail(f"{' and '.join(missing)} must be installed to run this test", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist hands its counts to the one that prints."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = [(*what, count) for what, count in session.config.stash.get(_LEFT_OUT, Counter()).items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a process that ends; each of them has collected the same tests."""
    left_out = getattr(node, "workeroutput", {}).get("left_out", [])
    node.config.stash[_LEFT_OUT] = Counter({(name, missing): count for name, missing, count in left_out})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if counts := config.stash.get(_LEFT_OUT, Counter()):
        parts = [f"{count} of {name} ({missing})" for (name, missing), count in sorted(counts.items())]
        terminalreporter.write_line(f"not run, for a missing program: {'; '.join(parts)}", yellow=True)
