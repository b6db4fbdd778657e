"""What of a session can be compared and replaced: no span is lost, none counts twice, wherever the reading began."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from services.reprocess.comparison import Comparison, judged
from services.reprocess.run import Run, check_name
from services.reprocess.sessions import (
    Ends,
    Pair,
    Row,
    Standing,
    after_cut,
    differences,
    pairs,
    replacement,
    standing,
)
from services.shared.errors import PermanentError, SettingsError
from services.shared.model.session_key import SessionKey

KEY = SessionKey("shop", "s")
ENDS = Ends(1, {0: 100})


def row(start: int, end: int, *, window_id: str = "", **more: Any) -> Row:
    fields = {"project": "shop", "session_id": "s", "window_id": window_id or f"{start}-{end}", "version": 1 << 48}
    counts = {"turn_count": 1, "span_count": 1, "error_count": 0, "total_tokens": 0, "total_cost": 0}
    return {**fields, "state": "closed", "window_start": start, "window_end": end, "gap_ns": 5, **counts, **more}


def pair(before: Sequence[Row], after: Sequence[Row]) -> Pair:
    return Pair(KEY, before, after)


def cut_windows(spans: Sequence[tuple[int, int]], gap: int) -> list[Row]:
    """Windows of spans that are turns of their own; `spans` of a row are its spans."""
    windows: list[list[tuple[int, int]]] = []
    end = 0
    for span in sorted(spans):
        if windows and span[0] - end <= gap:
            windows[-1].append(span)
            end = max(end, span[1])
        else:
            windows.append([span])
            end = span[1]
    return [
        row(of[0][0], max(end for _, end in of), window_id=f"{gap}/{of[0][0]}", span_count=len(of), spans=sorted(of))
        for of in windows
    ]


@pytest.mark.parametrize("seed", range(300))
def test_replacing_after_the_cut_keeps_every_span_exactly_once(seed: int) -> None:
    """The log was read from `begin`: spans that end before are missing on the one side, some later ones too."""
    random = Random(seed)
    spans = sorted(
        {(start := random.randrange(400), start + random.randrange(12)) for _ in range(random.randrange(40))}
    )
    begin, old_gap, new_gap = random.randrange(300), random.choice((3, 10, 25)), random.choice((3, 10, 25))
    read = [span for span in spans if span[1] > begin or random.random() < 0.5]
    before, after = cut_windows(spans, old_gap), cut_windows(read, new_gap)
    # All spans that start after `begin` are read.
    rest = after_cut(pair(before, after), begin + new_gap)
    retired, added = replacement(rest)
    kept = [each for each in before if each["window_id"] not in retired]
    now = Counter(span for each in (*kept, *(e for e in after if e["window_id"] in added)) for span in each["spans"])
    assert now == Counter(spans)
    for each in rest.after:
        assert each in cut_windows(spans, new_gap), "a window after the cut is not complete"


def test_the_whole_log_needs_no_cut() -> None:
    both = pair([row(1, 2)], [row(1, 3)])
    assert after_cut(both, None) == both


def test_windows_across_the_cut_are_left_on_both_sides() -> None:
    before, after = [row(0, 12), row(30, 40), row(60, 70)], [row(5, 8), row(11, 35), row(60, 64), row(68, 70)]
    rest = after_cut(pair(before, after), 10)
    assert [each["window_id"] for each in rest.before] == ["60-70"]
    assert [each["window_id"] for each in rest.after] == ["60-64", "68-70"]


def test_what_arrival_and_policy_decide_is_no_difference() -> None:
    before = row(1, 2, window_id="a", version=5, late_span_count=3, duplicate_span_count=1, opened_at=1, gap_ns=1)
    after = row(1, 2, window_id="b", version=7, late_span_count=0, duplicate_span_count=0, opened_at=2, gap_ns=2)
    assert list(differences(pair([before], [after]))) == []


def test_differences_are_windows_of_one_side_and_changed_columns() -> None:
    before, after = [row(1, 2), row(10, 20, turn_count=2)], [row(10, 21, turn_count=3), row(30, 31)]
    found = list(differences(pair(before, after)))
    assert [(each.before is None, each.after is None, each.fields) for each in found] == [
        (False, True, ()),
        (False, False, ("window_end", "turn_count")),
        (True, False, ()),
    ]
    comparison = Comparison(most_examples=1)
    comparison.add(pair(before, after))
    project = comparison.projects["shop"]
    assert (project.only_before, project.only_after, project.changed, project.unequal) == (1, 1, 1, 1)
    assert (comparison.differences, len(comparison.examples)) == (3, 1)


def test_a_session_that_can_still_change_is_not_judged() -> None:
    still = row(1, 2)
    assert standing(pair([still], [still]), ENDS) is Standing.STILL
    assert standing(pair([row(1, 2, state="open")], [still]), ENDS) is Standing.OPEN
    assert standing(pair([still], [row(1, 2, state="open")]), ENDS) is Standing.OPEN
    assert standing(pair([row(1, 2, version=1 << 48 | 99)], []), ENDS) is Standing.STILL
    assert standing(pair([row(1, 2, version=1 << 48 | 100)], []), ENDS) is Standing.MOVING
    # Another epoch is of another log, be it older or one that was cut again.
    assert standing(pair([row(1, 2, version=2 << 48 | 100)], []), ENDS) is Standing.STILL


def test_sessions_that_are_held_are_counted_and_left() -> None:
    class Live:
        def holds(self, key: SessionKey) -> bool:
            return key.session_id == "held"

    left: Counter[str] = Counter()
    sessions = [Pair(SessionKey("p", name), [row(1, 2)], []) for name in ("held", "free")]
    open_one = Pair(SessionKey("p", "open"), [row(1, 2, state="open")], [])
    found = list(judged(iter([*sessions, open_one]), ENDS, None, Live(), left))
    assert [each.key.session_id for each in found] == ["free"]
    assert left == {"held": 1, "open": 1}
    assert list(judged(iter(sessions), ENDS, 50, Live(), left)) == []
    assert left["before the cut"] == 1


def test_both_sides_are_joined_by_session_in_one_pass() -> None:
    def of(*names: tuple[str, str]) -> list[Row]:
        return [
            row(number, number, session_id=session, project=project) for number, (session, project) in enumerate(names)
        ]

    before, after = of(("a", "p"), ("a", "q"), ("c", "p"), ("c", "p")), of(("a", "q"), ("b", "p"), ("é", "p"))
    found = {each.key: (len(each.before), len(each.after)) for each in pairs(iter(before), iter(after))}
    assert found == {("p", "a"): (1, 0), ("q", "a"): (1, 1), ("p", "b"): (0, 1), ("p", "c"): (2, 0), ("p", "é"): (0, 1)}
    assert list(pairs(iter(()), iter(()))) == []


def test_what_is_replaced_already_is_not_replaced_again() -> None:
    rows = [row(1, 2, window_id="new")]
    assert replacement(pair(rows, rows)) == ([], [])
    assert replacement(pair([row(1, 2, window_id="old")], rows)) == (["old"], ["new"])


def test_a_run_is_remembered_as_text() -> None:
    run = Run("r1", 1 << 14, {0: 5, 1: 0}, {0: 9, 1: 7}, None, {0: 3})
    assert Run.decode(run.encode()) == run
    for text in ("", "{}", "[]", '{"format":2}', run.encode().replace("begins", "began")):
        with pytest.raises(PermanentError):
            Run.decode(text)
    assert check_name("r_2026") == "r_2026"
    for name in ("", "A", "a b", "a`", "x" * 41):
        with pytest.raises(SettingsError):
            check_name(name)
