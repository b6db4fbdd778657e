"""The settings as a person reads them."""

import re
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from services.shared.settings import Settings, parse_duration, variable

_SECRET = re.compile(r"(://[^:/@]*:)[^@/]*@")
_UNITS = (("d", 86_400 * 10**9), ("h", 3_600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6))


def format_duration(nanoseconds: int) -> str:
    """As short as `parse_duration` reads it back: 90 minutes are `90m`."""
    for unit, size in _UNITS:
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def settings_lines(settings: Settings) -> Iterator[str]:
    """Variable, value and meaning, two lines each. Passwords in URLs are not shown."""
    for name, field in Settings.model_fields.items():
        yield f"{variable(name)}={_shown(field, getattr(settings, name))}"
        yield f"    {field.description}"


def settings_table() -> str:
    """The table in README.md, Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        rows.append(f"| `{variable(name)}` | {_cell(_shown(field, _parsed(field, default)))} | {field.description} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return f"`{text}`" if text else ""


def _is_duration(field: FieldInfo) -> bool:
    return any(getattr(part, "func", None) is parse_duration for part in field.metadata)


def _parsed(field: FieldInfo, default: object) -> object:
    return parse_duration(default) if _is_duration(field) else default


def _shown(field: FieldInfo, value: object) -> str:
    if _is_duration(field):
        assert isinstance(value, int)
        return format_duration(value)
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {format_duration(duration)}" for key, duration in value.items())
    return _SECRET.sub(r"\1***@", value) if isinstance(value, str) else str(value)
