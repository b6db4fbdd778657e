"""What is in a state, to compare: windows, turns, sets of spans, as trees of plain values."""

_NOT_STORED = {
    *("load_page", "load_set", "stored_page", "stored_set", "stored_filter"),
    *("changed_pages", "changed_sets", "pages", "sets", "is_stored", "touched"),
}


def everything(value: object) -> object:
    """All there is but what is derived, and the pages that a window has decoded."""
    if hasattr(value, "__slots__"):
        slots = {name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())}
        names = {_public(type(value), name) for name in slots}
        return {name: everything(getattr(value, name)) for name in sorted(names - _NOT_STORED)}
    if isinstance(value, dict):
        return {key: everything(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [everything(each) for each in value]
    return value


def _public(kind: type, name: str) -> str:
    """What is made when it is first asked for has a property of its name."""
    public = name.removeprefix("_")
    return public if hasattr(kind, public) else name
