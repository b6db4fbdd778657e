"""PURE: what ClickHouse stores and what the live view holds of one session, made one.

Both have windows at versions, and a version is a position in the session's log, so the higher
one is newer. The question is only what to make of a window that one of them does not have.

- In both: the higher version. A retraction is a version like any other; what it hides is gone.
- Only stored: it counts. The live view forgets windows that expired, after which their stored
  version is final. An absorbed window, whose retraction the sink has still to insert, stays in
  the live view as a retraction, which wins as in the first case.
- Only live, not even a stored retraction: it counts if the live view is ahead of ClickHouse,
  which is to say if the newest live version of the session is above its newest stored one. A
  window reaches the live view after the commit of the rollup that opened it, and a session's
  rollups are inserted in the order of its log; so when ClickHouse has caught up and does not
  have the window, the live one is left over from a life that ended (states lost with the
  embedded broker, of which ClickHouse has the interrupted windows at a higher epoch).

Turns: a (window, trace) is an upsert while its window lives and goes with it, so the higher
version counts, and only turns of windows that count. A stale absorbed window can therefore
never count beside the one that absorbed it, except where its removal never reached Redis *and*
the sink lags; both end by themselves.
"""

from collections.abc import Iterable

from services.shared.model.live import LiveSession
from services.shared.model.rollup import TurnRollup, WindowRollup

NOTHING_LIVE = LiveSession()


def merge_live(
    windows: Iterable[WindowRollup], turns: Iterable[TurnRollup], live: LiveSession
) -> tuple[list[WindowRollup], list[TurnRollup]]:
    """The windows and turns of one session that count.

    `windows` and `turns` are stored ones, retractions included, each at its newest version.
    """
    stored = {window.window_id: window for window in windows}
    is_ahead = max((w.version for w in live.windows.values()), default=-1) > max(
        (w.version for w in stored.values()), default=-1
    )
    newest = stored | {
        window_id: window
        for window_id, window in live.windows.items()
        if (window.version > stored[window_id].version if window_id in stored else is_ahead)
    }
    counting = {window_id: window for window_id, window in newest.items() if not window.is_deleted}

    merged = {(turn.window_id, turn.trace_id): turn for turn in turns}
    for id_, turn in live.turns.items():
        if id_ not in merged or turn.version > merged[id_].version:
            merged[id_] = turn
    return (
        sorted(counting.values(), key=lambda w: (w.window_start, w.window_id)),
        [turn for turn in merged.values() if turn.window_id in counting and not turn.is_deleted],
    )
