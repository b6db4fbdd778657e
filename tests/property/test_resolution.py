"""Traces to sessions, on generated logs, against the interpreter of semantics.md; and all the way from OTLP."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from hypothesis import given

from services.shared.model.session_key import SessionKey
from services.shared.model.span import SessionEnd, SpanFacts
from services.shared.records.session_spans import WatermarkRecord
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.resolve_model import Released, ResolveModel
from tests.support.resolve_run import ResolveRun, released, watermarks
from tests.support.spans import T0
from tests.support.stage_run import compact
from tests.support.streams import Fate
from tests.support.trace_streams import TraceStream, trace_streams

STREAMS = 300


def check_against_interpreter(stream: TraceStream) -> Counter[str]:
    """Whatever befalls the worker: the same items to the same sessions, once each, and the same figures."""
    run, model = ResolveRun(stream.policy), ResolveModel(stream.policy)
    run.flushes_between_slices = len(stream.steps) % 2 == 0
    for step in stream.steps:
        run.fold(step.timestamp, step.record)
        model.fold(step.timestamp, step.record)
        match step.fate:
            case Fate.FLUSH | Fate.DRAIN:
                run.flush(drain=step.fate is Fate.DRAIN)
            case Fate.CRASH:
                run.crash(compacted=len(run.folded) % 2 == 0)
            case Fate.LOSE_FLUSH:
                run.prepare()
                run.crash()
            case Fate.RESTART:
                run.restart()
        check_gauges(run, model)
    run.flush(drain=True)
    assert sorted(released(run.written), key=repr) == sorted(model.released, key=repr)
    assert run.outcomes() == model.outcomes
    assert by_trace(released(run.written)) == by_trace(model.released), "spans of a trace changed places"
    check_time(run, model)
    check_nothing_stays(run)
    return +Counter({**model.outcomes, "between slices": run.slices})


def check_gauges(run: ResolveRun, model: ResolveModel) -> None:
    gauges = run.stage.gauges
    assert gauges["spanloom_waiting_spans"] == sum(map(len, model.waiting.values()))
    assert gauges["spanloom_bound_traces"] == len(model.bound)
    assert (gauges["spanloom_waiting_bytes"] > 0) == bool(model.waiting)


def by_trace(items: Iterable[Released]) -> dict[tuple[SessionKey, bytes], list[SpanFacts | SessionEnd]]:
    found: defaultdict[tuple[SessionKey, bytes], list[SpanFacts | SessionEnd]] = defaultdict(list)
    for key, _, item in items:
        found[key, item.session_trace if isinstance(item, SpanFacts) else item.trace_id].append(item)
    return dict(found)


def check_time(run: ResolveRun, model: ResolveModel) -> None:
    """What is told last is the time that it is."""
    told = watermarks(run.written)
    if model.time.is_known:
        assert told[-1][1].watermark == model.time.watermark
        assert told[-1][1].sources == 2 + 2
        assert [record.watermark for partition, record in told if partition == 0] == sorted(
            record.watermark for partition, record in told if partition == 0
        )
    else:
        assert not told


def check_nothing_stays(run: ResolveRun) -> None:
    """When all waits and bindings are over, the changelog holds no state but the partition's meta record."""
    for watermark in (T0 + 10**15, T0 + 2 * 10**15):  # a trace that times out may be bound to its own session
        for source in range(2):
            run.fold(T0 + 10**12, WatermarkRecord(f"otlp_spans/{source}", watermark, 2))
    run.flush()
    assert len(compact(run.changelog)) == 1
    assert not any(run.stage.gauges[name] for name in ("spanloom_waiting_spans", "spanloom_bound_traces"))


def test_spans_reach_the_sessions_that_the_interpreter_says() -> None:
    counts: Counter[str] = Counter()

    @streams(STREAMS)
    @given(trace_streams())
    def check(stream: TraceStream) -> None:
        counts.update(check_against_interpreter(stream), streams=1)

    check()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts["streams"] >= STREAMS * min(SCALE, 1)
    assert min(counts.values()) > counts["streams"] // 5, f"the streams are too tame: {counts}"
