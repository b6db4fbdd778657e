"""Imports that pass over compiled modules: what runs is what is written, in plain Python."""

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType


class SourceOnly(MetaPathFinder):
    """Finds the source of modules of one package. A compiled module without such a source is not there."""

    def __init__(self, package: str) -> None:
        self._prefix = f"{package}."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        if not fullname.startswith(self._prefix):
            return None
        name = fullname.rpartition(".")[2]
        for folder in path or ():
            if any(Path(folder, name + suffix).exists() for suffix in EXTENSION_SUFFIXES):
                spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname)
                if spec is not None and spec.loader is not None:
                    return spec
                # None would let the finders after this one find it.
                raise ModuleNotFoundError(f"{fullname} is compiled, and SPANLOOM_COMPILED is off", name=fullname)
        return None
