"""The engine on generated streams, against the reference model and the interpreter of semantics.md."""

from collections import Counter

from hypothesis import given
from hypothesis.strategies import booleans

from services.shared.model.rollup import WindowRollup
from services.shared.records.session_spans import SpanGroup, SpansRecord, WatermarkRecord
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.agreement import Agreement
from tests.support.log_order import LogOrderModel
from tests.support.model_window import LONG_AGO, Window
from tests.support.reference import differences, reference_windows, turn_row, window_row
from tests.support.spans import SECOND, T0
from tests.support.stage_run import StageRun, compact, run
from tests.support.streams import Fate, Stream, eventful_streams, plain_streams

PLAIN, EVENTFUL = 500, 700

_ORDER_OF_ARRIVAL = ("window_id", "version", "late_span_count", "duplicate_span_count", "state", "close_reason")


def check_against_reference(stream: Stream) -> Counter[str]:
    stage_run = StageRun(stream.policy, max_identities=stream.max_identities)
    groups: list[SpanGroup] = []
    for step in stream.steps:
        stage_run.fold(step.timestamp, step.record)
        run(stage_run, step.fate, stream.later)
        if isinstance(step.record, SpansRecord):
            groups += step.record.groups
    stage_run.flush(drain=True)
    expected = {
        (each.window.project, each.window.session_id, each.window.window_start): each
        for each in reference_windows(groups, stream.policy)
    }
    windows = stage_run.tables.living_windows()
    turns = stage_run.tables.living_turns()
    assert sorted(expected) == sorted(
        (row["project"], row["session_id"], row["window_start"]) for row in windows.values()
    )
    for window_id, row in windows.items():
        reference = expected[row["project"], row["session_id"], row["window_start"]]
        assert differences(window_row(reference.window), row, ignore=_ORDER_OF_ARRIVAL) == []
        found = {trace_id: turn for (of, trace_id), turn in turns.items() if of == window_id}
        assert found.keys() == reference.turns.keys()
        for trace_id, turn in reference.turns.items():
            assert differences(turn_row(turn), found[trace_id], ignore=_ORDER_OF_ARRIVAL) == []
    assert {of for of, _ in turns} <= windows.keys()
    return Counter(windows=len(windows), retracted=len(stage_run.tables.windows) - len(windows))


def check_against_interpreter(stream: Stream, *, is_watched: bool) -> Counter[str]:
    """After every flush, wherever it falls: the same rollups, turns, retractions, live values and counts."""
    stage_run, model, agreement = (
        StageRun(stream.policy, max_identities=stream.max_identities, is_watched=is_watched),
        LogOrderModel(stream.policy, max_identities=stream.max_identities),
        Agreement(),
    )
    shown: dict[Window, WindowRollup] = {}
    for step in (*stream.steps, None):
        if step is not None:
            offset = stage_run.fold(step.timestamp, step.record)
            model.fold(offset, step.timestamp, step.record)
        fate = step.fate if step is not None else Fate.DRAIN
        published = run(stage_run, fate, stream.later)
        if published is None:
            continue
        emission = model.flush(drain=fate in (Fate.DRAIN, Fate.RESTART))
        shown |= emission.live
        agreement.check(published, emission)
        if is_watched:
            agreement.check_live(stage_run.live, shown, model.held)
        model.epoch, model.policy = stage_run.epoch, stage_run.policy
        check_figures(stage_run, model)
    check_nothing_stays(stage_run, model)
    return Counter(
        {
            "windows": len(agreement.ids),
            "expired": model.expired,
            "duplicates": model.outcomes["duplicate"],
            "late spans": model.outcomes["late"],
            "identities given up": model.outcomes["identity_evicted"],
            "ends ignored": model.outcomes["end_ignored"],
            "sealed or ended": sum(
                row["close_reason"] in ("max_spans", "max_duration", "explicit")
                for row in stage_run.tables.living_windows().values()
            ),
        }
    )


def check_figures(stage_run: StageRun, model: LogOrderModel) -> None:
    outcomes = {name: stage_run.counts["spanloom_windowed_spans_total", name] for name in model.outcomes}
    assert outcomes == model.outcomes, f"{outcomes}, expected {model.outcomes}"
    assert stage_run.counts["spanloom_windows_expired_total", ""] == model.expired
    gauges = stage_run.stage.gauges
    assert gauges["spanloom_held_windows"] == len(model.held)
    assert gauges["spanloom_open_windows"] == sum(not window.is_closed for window in model.held)
    assert gauges.get("spanloom_watermark_seconds", LONG_AGO / SECOND) == model.watermark / SECOND


def check_nothing_stays(stage_run: StageRun, model: LogOrderModel) -> None:
    """When all windows have expired, the changelog holds no state but the partition's meta record."""
    for watermark in (T0 + 3 * 10**18, T0 + 6 * 10**18):
        for source in range(3):
            record = WatermarkRecord(f"otlp_spans/{source}", watermark, 3)
            timestamp = stage_run.folded[-1].timestamp if stage_run.folded else T0
            model.fold(stage_run.fold(timestamp, record), timestamp, record)
    stage_run.flush()
    assert not model.held
    assert not stage_run.live.windows
    assert not stage_run.live.turns
    assert len(compact(stage_run.changelog)) == 1


def test_over_a_thousand_streams_give_the_windows_that_the_models_say() -> None:
    counts: Counter[str] = Counter()

    @streams(PLAIN)
    @given(plain_streams())
    def plain(stream: Stream) -> None:
        counts.update(check_against_reference(stream), streams=1)

    @streams(EVENTFUL)
    @given(eventful_streams(), booleans())
    def eventful(stream: Stream, is_watched: bool) -> None:
        counts.update(check_against_interpreter(stream, is_watched=is_watched), streams=1)

    plain()
    eventful()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts["streams"] >= 1_000 * min(SCALE, 1)
    assert min(counts.values()) > counts["streams"] // 10, f"the streams are too tame: {counts}"
