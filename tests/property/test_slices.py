"""What may not matter: in how many slices a sweep is done, and what happens to the worker between two of them."""

from collections import Counter
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.property.profile import FIGURES, SCALE, streams
from tests.support.stage_run import StageRun, without_duplicates
from tests.support.streams import Fate, Stream, eventful_streams

SLICED = 300

_FATES = [Fate.NOTHING, Fate.FLUSH, Fate.CRASH, Fate.LOSE_FLUSH]
_counts: Counter[str] = Counter()


def _fates(seed: int) -> Iterator[Fate]:
    random = Random(seed)
    while True:
        fate = random.choice(_FATES)
        _counts[f"between slices: {fate.name.lower()}"] += 1
        yield fate


def _finished(stream: Stream, stage_run: StageRun) -> StageRun:
    """The whole log, with a flush after every second record."""
    for index, step in enumerate(stream.steps):
        stage_run.fold(step.timestamp, step.record)
        if index % 2 == 1:
            stage_run.flush()
    stage_run.flush(drain=True)
    return stage_run


def _shown(stage_run: StageRun) -> tuple[object, object]:
    windows = {name: without_duplicates(row) for name, row in stage_run.live.windows.items()}
    return windows, stage_run.live.turns


def _compare(stream: Stream, slice_: int, seed: int) -> None:
    whole = _finished(stream, StageRun(stream.policy, max_identities=stream.max_identities))
    sliced = _finished(
        stream,
        StageRun(
            stream.policy,
            max_identities=stream.max_identities,
            swept_windows=slice_,
            between_slices=_fates(seed),
        ),
    )
    assert sliced.tables.living_windows() == whole.tables.living_windows()
    assert sliced.tables.living_turns() == whole.tables.living_turns()
    for name in sliced.tables.contents.keys() & whole.tables.contents.keys():
        assert sliced.tables.contents[name] == whole.tables.contents[name], f"two contents of {name}"
    assert _shown(sliced) == _shown(whole)
    assert sliced.counts == whole.counts
    assert dict(sliced.stage.snapshot()).keys() == dict(whole.stage.snapshot()).keys()
    _counts["windows"] += len(whole.tables.windows)


def test_slices_of_a_sweep_and_crashes_between_them_change_no_window_and_no_version() -> None:
    _counts.clear()

    @streams(SLICED)
    @given(eventful_streams(), st.sampled_from([1, 1, 1, 2]), st.integers(0, 2**32))
    def sliced(stream: Stream, slice_: int, seed: int) -> None:
        _compare(stream, slice_, seed)
        _counts["streams sliced"] += 1

    sliced()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in _counts.items()))
    assert _counts["streams sliced"] >= SLICED * min(SCALE, 1)
    assert min(_counts.values()) > _counts["streams sliced"] // 10, f"the streams are too tame: {_counts}"
