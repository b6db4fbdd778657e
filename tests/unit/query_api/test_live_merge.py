"""Which windows and turns of a session count, when ClickHouse and Redis do not have the same."""

from collections.abc import Sequence

from services.query_api.live_merge import NOTHING_LIVE, merge_live
from services.shared.model.live import LiveSession
from services.shared.model.rollup import TurnRollup, WindowRollup
from tests.support.rollups import EPOCH, turn, window


def _live(*rollups: WindowRollup | TurnRollup) -> LiveSession:
    return LiveSession(
        {r.window_id: r for r in rollups if isinstance(r, WindowRollup)},
        {(r.window_id, r.trace_id): r for r in rollups if isinstance(r, TurnRollup)},
    )


def _counted(stored: Sequence[WindowRollup | TurnRollup], live: LiveSession) -> tuple[dict[str, int], dict[str, int]]:
    """Versions of the windows, and of the turns by window/trace, that count."""
    windows, turns = merge_live(
        [r for r in stored if isinstance(r, WindowRollup)], [r for r in stored if isinstance(r, TurnRollup)], live
    )
    return (
        {w.window_id[:2]: w.version - EPOCH for w in windows},
        {f"{t.window_id[:2]}/{t.trace_id[-1]}": t.version - EPOCH for t in turns},
    )


def test_without_live_values_what_is_stored_counts() -> None:
    assert _counted([window(version=3), turn(version=2)], NOTHING_LIVE) == ({"w1": 3}, {"w1/1": 2})


def test_the_higher_version_wins_on_either_side() -> None:
    assert _counted([window(version=3)], _live(window(version=5))) == ({"w1": 5}, {})
    assert _counted([window(version=5)], _live(window(version=3))) == ({"w1": 5}, {})


def test_turns_are_merged_one_by_one() -> None:
    stored: list[WindowRollup | TurnRollup] = [window(version=5), turn(trace=1, version=2), turn(trace=2, version=5)]
    live = _live(window(version=7), turn(trace=2, version=4), turn(trace=3, version=7))
    assert _counted(stored, live)[1] == {"w1/1": 2, "w1/2": 5, "w1/3": 7}


def test_a_session_so_new_that_only_redis_has_it_counts() -> None:
    assert _counted([], _live(window(), turn())) == ({"w1": 1}, {"w1/1": 1})


def test_a_window_so_new_that_only_redis_has_it_counts() -> None:
    stored = [window(window_id="w1", version=3)]
    assert _counted(stored, _live(window(window_id="w2", version=5)))[0] == {"w1": 3, "w2": 5}


def test_a_window_unchanged_since_before_the_sink_fell_behind_counts_while_it_is_behind() -> None:
    stored = [window(window_id="w1", version=3)]
    live = _live(window(window_id="w2", version=2), window(window_id="w1", version=4))
    assert _counted(stored, live)[0] == {"w1": 4, "w2": 2}


def test_a_window_that_expired_from_the_live_view_counts_as_stored() -> None:
    stored = [window(window_id="w1", version=3), window(window_id="w2", version=8)]
    assert _counted(stored, _live(window(window_id="w2", version=9)))[0] == {"w1": 3, "w2": 9}


def test_a_stored_retraction_hides_what_redis_still_has_of_the_window() -> None:
    stored = [window(window_id="w1", version=9), window(window_id="w2", version=9, is_deleted=True)]
    live = _live(window(window_id="w1", version=9), window(window_id="w2", version=4), turn(window_id="w2", version=4))
    assert _counted(stored, live) == ({"w1": 9}, {})


def test_a_live_retraction_hides_what_clickhouse_still_has_of_the_window() -> None:
    stored: list[WindowRollup | TurnRollup] = [
        window(window_id="w1", version=3),
        window(window_id="w2", version=4),
        turn(window_id="w2", trace=7, version=4),
    ]
    live = _live(
        window(window_id="w1", version=9),
        window(window_id="w2", version=9, is_deleted=True),
        turn(window_id="w1", trace=7, version=9),
    )
    assert _counted(stored, live) == ({"w1": 9}, {"w1/7": 9})


def test_a_window_left_over_from_a_life_that_ended_does_not_count() -> None:
    """The broker lost its log and the states with it; ClickHouse has what was open, closed at the next epoch."""
    stored = [window(window_id="w1", version=1 << 48)]
    live = _live(window(window_id="w1", version=5), window(window_id="w2", version=7), turn(window_id="w2", version=7))
    assert _counted(stored, live) == ({"w1": 1 << 48}, {})


def test_a_deleted_turn_does_not_count() -> None:
    assert _counted([window(), turn(version=3, is_deleted=True)], _live(turn(version=2)))[1] == {}


def test_turns_of_windows_that_do_not_count_do_not_count() -> None:
    assert _counted([turn(window_id="w7")], NOTHING_LIVE) == ({}, {})


def test_windows_come_in_the_order_of_their_start() -> None:
    windows, _ = merge_live(
        [window(window_id="w2", start=5), window(window_id="w1", start=9)],
        [],
        _live(window(window_id="w3", start=7, version=4)),
    )
    assert [w.window_id[:2] for w in windows] == ["w2", "w3", "w1"]
