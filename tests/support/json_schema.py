"""Checks a value against the part of JSON Schema that our schemas use. A keyword it does not know is an error."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
}
_SAYS_NOTHING = {"$schema", "title", "description", "$defs"}

_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, rule: type(value) in {_TYPES[name] for name in ([rule] if isinstance(rule, str) else rule)},
    "const": lambda value, rule: value == rule,
    "enum": lambda value, rule: value in rule,
    "pattern": lambda value, rule: not isinstance(value, str) or re.search(rule, value) is not None,
    "minimum": lambda value, rule: not isinstance(value, int) or value >= rule,
    "required": lambda value, rule: set(rule) <= set(value),
}

_MEMBERS: dict[str, Callable[[Any, Any], list[tuple[Any, Any]]]] = {
    "properties": lambda value, rule: [(value[name], rule[name]) for name in value if name in rule],
    "additionalProperties": lambda value, rule: [(member, rule) for member in value.values()],
    "propertyNames": lambda value, rule: [(name, rule) for name in value],
    "items": lambda value, rule: [(member, rule) for member in value],
}


def faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    """What of the value does not fit; empty when all does. `root` is the whole schema."""
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword == "$ref":
            found += faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root)
        elif keyword == "oneOf":
            each = [faults(value, one, root) for one in rule]
            found += [] if sum(not one for one in each) == 1 else [f"fits not exactly one: {each}"]
        elif keyword in _HOLDS:
            found += [] if _HOLDS[keyword](value, rule) else [f"{keyword} {rule}: {value!r}"[:500]]
        elif keyword in _MEMBERS:
            for member, member_rule in _MEMBERS[keyword](value, rule):
                found += faults(member, member_rule, root)
        else:
            assert keyword in _SAYS_NOTHING, f"{keyword} is not known to this checker"
    return found
