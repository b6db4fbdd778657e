"""Prints how many streams ran and how eventful they were."""

import pytest

from tests.property.profile import FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for figure in FIGURES:
        terminalreporter.write_line(f"generated: {figure}")
