"""Fixtures of whole installations, and the figures that they gave."""

import pytest

from tests.e2e.figures import FIGURES
from tests.support.worker_group import start_group

__all__ = ["start_group"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for figure in FIGURES:
        terminalreporter.write_line(f"measured: {figure}")
