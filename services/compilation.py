"""How the package is built: with its compiled modules, unless `SPANLOOM_COMPILED=off` says that nobody waits for them.

Only setuptools reads this (pyproject.toml); nothing here runs in a service.
"""

import os
from typing import Any

from setuptools.command.build_ext import build_ext


class BuildExtensions(build_ext):  # type: ignore[misc]  # setuptools has no types
    """A module that cannot be compiled is left out, unless `SPANLOOM_COMPILED=require`: then the build fails."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.extensions: list[Any]
        choice = os.environ.get("SPANLOOM_COMPILED", "auto")
        if choice == "off":
            self.extensions = []
        for extension in self.extensions:
            extension.optional = choice != "require"
