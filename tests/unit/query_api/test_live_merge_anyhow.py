"""However far ClickHouse and Redis are behind, together they show the newer of their two states, whole.

A made-up worker opens, changes, merges and expires windows of one session, and says at each
flush what a sink would insert and what Redis would be told. ClickHouse is at one flush, Redis at
another; what is merged must be what the worker had at the later of the two.
"""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.query_api.live_merge import merge_live
from services.shared.model.live import LiveSession
from services.shared.model.rollup import TurnRollup, WindowRollup
from tests.support.rollups import EPOCH, turn, window

Turns = dict[tuple[str, str], TurnRollup]


class Worker:
    """The truth, and what was said of it at each flush."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._held: dict[str, WindowRollup] = {}
        self._expired: dict[str, WindowRollup] = {}
        self._turns: Turns = {}
        self._version = 0
        self._numbers = iter(range(1, 10_000))
        self.truths: list[tuple[dict[str, int], dict[tuple[str, str], int]]] = [({}, {})]
        self.inserts: list[list[WindowRollup | TurnRollup]] = [[]]
        self.updates: list[tuple[list[WindowRollup], list[TurnRollup], list[str]]] = [([], [], [])]

    def flush(self) -> None:
        windows: dict[str, WindowRollup] = {}
        turns: Turns = {}
        removed: list[str] = []
        for _ in range(self._random.randint(1, 4)):
            self._version += 1
            action = self._random.choice(["open", "change", "change", "merge", "expire"])
            if action == "open" or not self._held:
                self._grow(f"w{next(self._numbers)}", windows, turns)
            elif action == "change":
                self._grow(self._random.choice(sorted(self._held)), windows, turns)
            elif action == "merge" and len(self._held) > 1:
                survivor, absorbed = self._random.sample(sorted(self._held), 2)
                self._absorb(survivor, absorbed, windows, turns)
            elif action == "expire":
                quiet = [id_ for id_ in self._held if id_ not in windows and self._is_settled(id_)]
                if quiet:
                    gone = self._random.choice(sorted(quiet))
                    self._expired[gone] = self._held.pop(gone)
                    removed.append(gone)
        self.inserts.append([*windows.values(), *turns.values()])
        self.updates.append((list(windows.values()), list(turns.values()), removed))
        counting = self._held | self._expired
        self.truths.append(
            (
                {id_: w.version for id_, w in counting.items()},
                {id_: t.version for id_, t in self._turns.items() if id_[0] in counting},
            )
        )

    def _grow(self, window_id: str, windows: dict[str, WindowRollup], turns: Turns) -> None:
        changed = replace(window(), window_id=window_id, version=EPOCH + self._version)
        self._held[window_id] = windows[window_id] = changed
        known = sorted(trace_id for id_, trace_id in self._turns if id_ == window_id)
        self._put(window_id, self._random.choice([*known, f"t{next(self._numbers)}"]), turns)

    def _absorb(self, survivor: str, absorbed: str, windows: dict[str, WindowRollup], turns: Turns) -> None:
        for window_id, trace_id in [id_ for id_ in self._turns if id_[0] == absorbed]:
            del self._turns[window_id, trace_id]
            self._put(survivor, trace_id, turns)
        windows[absorbed] = replace(self._held.pop(absorbed), is_deleted=True, version=EPOCH + self._version)
        self._grow(survivor, windows, turns)

    def _put(self, window_id: str, trace_id: str, turns: Turns) -> None:
        changed = replace(turn(), window_id=window_id, trace_id=trace_id, version=EPOCH + self._version)
        self._turns[window_id, trace_id] = turns[window_id, trace_id] = changed

    def _is_settled(self, window_id: str) -> bool:
        """A window expires long after its last change, so ClickHouse has it by then."""
        return any(isinstance(r, WindowRollup) and r == self._held[window_id] for r in self.inserts[0])

    def settle(self) -> None:
        """The sink has everything up to now; from here on the flushes count."""
        self.inserts = [[r for rollups in self.inserts for r in rollups]]
        self.updates = [
            (
                [w for windows, _, _ in self.updates for w in windows],
                [t for _, turns, _ in self.updates for t in turns],
                [id_ for _, _, removed in self.updates for id_ in removed],
            )
        ]
        self.truths = self.truths[-1:]

    def stored(self, flush: int) -> tuple[list[WindowRollup], list[TurnRollup]]:
        windows: dict[str, WindowRollup] = {}
        turns: Turns = {}
        for rollups in self.inserts[: flush + 1]:
            for rollup in rollups:
                if isinstance(rollup, WindowRollup):
                    windows[rollup.window_id] = rollup
                else:
                    turns[rollup.window_id, rollup.trace_id] = rollup
        return list(windows.values()), list(turns.values())

    def live(self, flush: int) -> LiveSession:
        windows: dict[str, WindowRollup] = {}
        turns: Turns = {}
        for changed, changed_turns, removed in self.updates[: flush + 1]:
            windows |= {w.window_id: w for w in changed}
            turns |= {(t.window_id, t.trace_id): t for t in changed_turns}
            for id_ in removed:
                windows.pop(id_, None)
        held = {id_ for id_, w in windows.items() if not w.is_deleted}
        return LiveSession(windows, {id_: t for id_, t in turns.items() if id_[0] in held})


@given(seed=st.integers(0, 2**32), before=st.integers(0, 4), flushes=st.integers(1, 6), data=st.data())
def test_both_together_show_the_newer_of_their_states(
    seed: int, before: int, flushes: int, data: st.DataObject
) -> None:
    worker = Worker(seed)
    for _ in range(before):
        worker.flush()
    worker.settle()
    for _ in range(flushes):
        worker.flush()
    stored_at = data.draw(st.integers(0, flushes), label="ClickHouse is at flush")
    live_at = data.draw(st.integers(0, flushes), label="Redis is at flush")
    windows, turns = merge_live(*worker.stored(stored_at), worker.live(live_at))
    shown = ({w.window_id: w.version for w in windows}, {(t.window_id, t.trace_id): t.version for t in turns})
    assert shown == worker.truths[max(stored_at, live_at)]
