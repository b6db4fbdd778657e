"""What readers have against what the reference model says, field by field."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.shared.model.session_key import SessionKey
from tests.support.reference import ReferenceWindow, differences, turn_row, window_row

Row = Mapping[str, Any]

_SHOWN = 20  # differences in a failure's text


def assert_equal_to_reference(
    expected: Sequence[ReferenceWindow], windows: Iterable[Row], turns: Iterable[Row]
) -> None:
    """Windows and turns at their last versions, in any order, deleted ones among them."""
    found = differences_from_reference(expected, windows, turns)
    more = f"\n... and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:_SHOWN]) + more


def differences_from_reference(
    expected: Sequence[ReferenceWindow], windows: Iterable[Row], turns: Iterable[Row]
) -> list[str]:
    """The same as text, one for each fault, beginning with the session key; empty when all is equal."""
    return _differences(expected, living(windows, ("window_id",)), living(turns, ("window_id", "trace_id")))


def living(rows: Iterable[Row], identity: tuple[str, ...]) -> list[Row]:
    """Of each identity the row of the highest version, unless that one deletes it.

    Two rows of one version must be equal: "same version, same content, the duplicates counter apart".
    """
    last: dict[tuple[Any, ...], Row] = {}
    for row in map(_plain, rows):
        name = (row["project"], row["session_id"], *(row[part] for part in identity))
        known = last.setdefault(name, row)
        if known["version"] == row["version"]:
            unequal = {
                field: (known[field], row[field])
                for field in row
                if known[field] != row[field] and field not in ("duplicate_span_count", "ingested_at")
            }
            assert not unequal, f"two contents of version {row['version']} of {name}: {unequal}"
        elif known["version"] < row["version"]:
            last[name] = row
    return [row for row in last.values() if not row["is_deleted"]]


def _plain(row: Row) -> Row:
    """A row of ClickHouse as the JSON of a rollup has it: money is text."""
    return {name: _money(value) for name, value in row.items()}


def _money(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:.12f}"
        case dict():
            return {name: _money(each) for name, each in value.items()}
        case _:
            return value


def _differences(expected: Sequence[ReferenceWindow], windows: list[Row], turns: list[Row]) -> list[str]:
    found_windows: defaultdict[SessionKey, list[Row]] = defaultdict(list)
    for row in windows:
        found_windows[SessionKey(row["project"], row["session_id"])].append(row)
    found_turns: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in turns:
        found_turns[row["window_id"]][row["trace_id"]] = row
    wanted: defaultdict[SessionKey, list[ReferenceWindow]] = defaultdict(list)
    for reference in expected:
        wanted[SessionKey(reference.window.project, reference.window.session_id)].append(reference)
    faults = [f"{key}: not expected at all" for key in found_windows.keys() - wanted.keys()]
    for key, references in wanted.items():
        faults += _of_session(key, references, found_windows[key], found_turns)
    known = {row["window_id"] for row in windows}
    faults += [f"turns of window {window_id}, which is not there" for window_id in found_turns.keys() - known]
    return faults


def _of_session(
    key: SessionKey,
    references: list[ReferenceWindow],
    windows: list[Row],
    turns: Mapping[str, Mapping[str, Row]],
) -> list[str]:
    if len(windows) != len(references):
        return [f"{key}: {len(windows)} windows, expected {len(references)}"]
    faults = []
    references = sorted(references, key=lambda reference: reference.window.window_start)
    for reference, window in zip(references, sorted(windows, key=lambda row: row["window_start"]), strict=True):
        where = f"{key} window {window['window_id']}"
        row = window_row(reference.window)
        del row["type"]  # of the record, no column
        faults += [f"{where}: {text}" for text in differences(row, window)]
        found = turns.get(window["window_id"], {})
        if found.keys() != reference.turns.keys():
            faults.append(
                f"{where}: {len(found)} turns, expected {len(reference.turns)};"
                f" missing {sorted(reference.turns.keys() - found.keys())[:3]}"
            )
            continue
        for trace_id, turn in reference.turns.items():
            faults += [f"{where} turn {trace_id}: {text}" for text in differences(turn_row(turn), found[trace_id])]
    return faults
