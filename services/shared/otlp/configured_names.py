"""Names of attributes as settings write them: `name`, `name{key}`, `name{a.b}`, and `dimension=name`."""

from collections.abc import Iterable

CAN_BE_SET = ("user_id", "environment", "agent", "tags", "conversation_id")
"""Dimensions with one value; besides these, every `session.*` attribute but the ids."""

_NOT_DIMENSIONS = ("session.", "session.id", "session.previous_id")


def faults_of_names(names: Iterable[str]) -> list[str]:
    """What cannot be read of a list of names or paths."""
    return [f"{name!r} is no `attribute{{key}}`" for name in names if not _is_name(name)]


def faults_of_dimensions(entries: Iterable[str]) -> list[str]:
    """What cannot be read of a list of `dimension=name`."""
    faults = []
    for entry in entries:
        dimension, equals, name = entry.partition("=")
        if not equals or not _is_name(name):
            faults.append(f"{entry!r} is no `dimension=attribute`")
        elif dimension not in CAN_BE_SET and (not dimension.startswith("session.") or dimension in _NOT_DIMENSIONS):
            faults.append(f"{dimension!r} is none of {', '.join(CAN_BE_SET)} and no `session.<name>`")
    return faults


def names_by_dimension(entries: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The names of each dimension in their order, out of faultless entries."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        dimension, _, name = entry.partition("=")
        found.setdefault(dimension, []).append(name)
    return tuple((dimension, tuple(names)) for dimension, names in found.items())


def _is_name(name: str) -> bool:
    attribute, brace, path = name.partition("{")
    if not brace:
        return bool(name) and "}" not in name
    return bool(attribute) and path.endswith("}") and all(path[:-1].split(".")) and not set(path[:-1]) & set("{}")
