"""Builds every tool of the slow tests, so that minutes of building show themselves: `python -m tests.support.tools`."""

from tests.support.tools.collector import collector
from tests.support.tools.helm import helm

for tool in (helm, collector):
    print(tool(), flush=True)  # noqa: T201 - for a person who waits
