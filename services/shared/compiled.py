"""Which modules of the hot path are compiled, and whether they are in use."""

from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec

from services import COMPILED
from services.shared.errors import PermanentError

MODULES: tuple[str, ...] = (
    "services.sessionizer._bindings",
    "services.sessionizer._publication",
    "services.sessionizer._state_reader",
    "services.sessionizer._state_writer",
    "services.sessionizer.engine._blank",
    "services.sessionizer.engine._fold",
    "services.sessionizer.engine._tree",
    "services.sessionizer.engine.intervals",
    "services.sessionizer.engine.names",
    "services.sessionizer.engine.said",
    "services.sessionizer.engine.session",
    "services.sessionizer.engine.spans",
    "services.sessionizer.engine.totals",
    "services.sessionizer.engine.turn",
    "services.sessionizer.engine.turn_store",
    "services.sessionizer.engine.usage",
    "services.sessionizer.engine.who",
    "services.sessionizer.engine.window",
    "services.sessionizer.held_windows",
    "services.sessionizer.state",
    "services.sessionizer.table",
    "services.sessionizer.wheel",
    "services.shared._record_batch",
    "services.shared.otlp._rows",
    "services.shared.otlp._meanings",
    "services.shared.otlp._scan",
    "services.shared.otlp._spots",
    "services.shared.records._arrivals",
    "services.shared.records._session_spans",
    "services.shared.records._span_chunks",
    "services.sink._rows",
)
"""As pyproject.toml lists them; a test compares the two."""


def missing(modules: Iterable[str] = MODULES) -> list[str]:
    """Those that run as plain Python or, having no such form, not at all."""
    return [name for name in modules if not _is_compiled(name)]


def check() -> str:
    """One line for the log. Raises `PermanentError` where compiled modules are required and one is not in use."""
    absent = missing()
    if absent and COMPILED == "require":
        raise PermanentError(
            f"SPANLOOM_COMPILED is require, but {', '.join(absent)} is not compiled: run deploy/compile, "
            "or install a wheel that was built with a C compiler"
        )
    if not absent:
        return f"the hot path is compiled: {len(MODULES)} modules"
    why = "switched off" if COMPILED == "off" else "not built: slower, with the same results"
    return f"{len(absent)} of {len(MODULES)} modules of the hot path run as plain Python ({why})"


def _is_compiled(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:  # without a source, and switched off
        return False
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)
