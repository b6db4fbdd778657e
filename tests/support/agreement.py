"""Does the engine publish what the log-order model says? The model's windows have no ids: pairs are found and kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.shared.model.rollup import TurnRollup, WindowRollup
from tests.support.log_order import Emission
from tests.support.model_window import Window
from tests.support.reference import differences, turn_row, window_row
from tests.support.stage_run import LiveView, Published, Row

_NOT_OURS = ("window_id",)


class Agreement:
    """Which window of the model is which window id, for the length of a stream."""

    def __init__(self) -> None:
        self.ids: dict[Window, str] = {}

    def check(self, published: Published, emission: Emission) -> None:
        """One flush: the same windows and turns at the same versions, nothing more and nothing less."""
        windows = _by_id(row for row in published.windows if not row["is_deleted"])
        turns: dict[str, dict[str, Row]] = {}
        for row in published.turns:
            if not row["is_deleted"]:
                of_window = turns.setdefault(row["window_id"], {})
                assert row["trace_id"] not in of_window, "one flush publishes a turn twice"
                of_window[row["trace_id"]] = row
        for window, rollup in emission.windows.items():
            self._learn(window, rollup, emission.turns[window], windows, turns)
        expected_ids = {self.ids[window] for window in emission.windows}
        assert windows.keys() == expected_ids, f"published {windows.keys()}, expected {expected_ids}"
        for window, rollup in emission.windows.items():
            window_id = self.ids[window]
            _assert_same(f"window {window_id}", window_row(rollup), windows[window_id])
            _assert_same_turns(f"window {window_id}", emission.turns[window], turns.pop(window_id, {}))
        assert not turns, f"turns of windows that are not due: {turns}"
        self._check_retractions(published, emission)

    def _check_retractions(self, published: Published, emission: Emission) -> None:
        retractions = _by_id(row for row in published.windows if row["is_deleted"])
        deleted: dict[str, dict[str, Row]] = {}
        for row in published.turns:
            if row["is_deleted"]:
                deleted.setdefault(row["window_id"], {})[row["trace_id"]] = row
        expected = {self.ids[retraction.window]: retraction for retraction in emission.retractions}
        assert retractions.keys() == expected.keys()
        assert deleted.keys() <= expected.keys()
        for window_id, retraction in expected.items():
            window, rows = retraction.window, deleted.get(window_id, {})
            assert {trace.hex() for trace in window.emitted_turns} <= rows.keys()
            for row in (retractions[window_id], *rows.values()):
                assert row["version"] == retraction.version
                assert (row["project"], row["session_id"]) == window.key
                assert (row["opened_at"], row["first_seen_at"]) == (window.opened_by.start, window.first_seen_at)

    def check_live(self, live: LiveView, expected: Mapping[Window, WindowRollup], held: Iterable[Window]) -> None:
        """The live view holds every held window as it last changed, and no other."""
        held = list(held)
        assert live.windows.keys() == {self.ids[window] for window in held if window in self.ids}
        turns: dict[str, dict[str, Row]] = {}
        for (window_id, trace_id), row in live.turns.items():
            turns.setdefault(window_id, {})[trace_id] = row
        for window in held:
            window_id = self.ids[window]
            _assert_same(f"live window {window_id}", window_row(expected[window]), live.windows[window_id])
            _assert_same_turns(f"live window {window_id}", window.turns(), turns.pop(window_id, {}))
        assert not turns

    def _learn(
        self,
        window: Window,
        rollup: WindowRollup,
        expected_turns: Mapping[bytes, TurnRollup],
        windows: Mapping[str, Row],
        turns: Mapping[str, Mapping[str, Row]],
    ) -> None:
        if window in self.ids:
            return
        expected = window_row(rollup)
        faults = {
            window_id: differences(expected, row, ignore=_NOT_OURS)
            or _turn_faults(expected_turns, turns.get(window_id, {}))
            for window_id, row in windows.items()
            if window_id not in self.ids.values()
        }
        matching = [window_id for window_id, found in faults.items() if not found]
        assert matching, f"no new window is {expected}; nearest: {min(faults.values(), key=len, default='none')}"
        self.ids[window] = matching[0]


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        assert row["window_id"] not in found, "one flush publishes a window twice"
        found[row["window_id"]] = row
    return found


def _assert_same(what: str, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    found = differences(expected, actual, ignore=_NOT_OURS)
    assert not found, f"{what}: {'; '.join(found)}"


def _turn_faults(expected: Mapping[bytes, TurnRollup], actual: Mapping[str, Row]) -> list[str]:
    if {trace_id.hex() for trace_id in expected} != actual.keys():
        return [f"turns {sorted(actual)}, expected {sorted(trace_id.hex() for trace_id in expected)}"]
    return [
        f"turn {trace_id.hex()}: {fault}"
        for trace_id, turn in expected.items()
        for fault in differences(turn_row(turn), actual[trace_id.hex()], ignore=_NOT_OURS)
    ]


def _assert_same_turns(what: str, expected: Mapping[bytes, TurnRollup], actual: Mapping[str, Row]) -> None:
    found = _turn_faults(expected, actual)
    assert not found, f"{what}: {'; '.join(found)}"
