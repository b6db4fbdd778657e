"""States of `resolve` as bytes: everything comes back, and those of a worker of another version are read or refused."""

from pathlib import Path

import msgpack
import pytest

from services.sessionizer import resolve_state as state
from services.sessionizer.engine.resolve import Held, Trace
from services.shared.errors import PermanentError
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SessionEnd
from services.shared.records.session_spans import WatermarkRecord
from services.shared.records.trace_spans import BindingGroup, WaitingGroup, WaitingSpan
from tests.support.resolve_run import ResolveRun, released
from tests.support.spans import T0, call, facts, trace_id
from tests.support.stage_run import compact
from tests.unit.sessionizer.test_resolve_stage import CHAT, POLICY, TIMEOUT, VOICE

DATA = Path(__file__).parent / "data"
SPANS = 40
WHO = Dimensions("ann", "prod", "bot", "", ("a",), (("session.type", "chat"),), (("k", "1"),))


def some_log() -> ResolveRun:
    """Trace 1 is bound, trace 2 waits in several pages, trace 3 ends a session; time is known."""
    run = ResolveRun(POLICY)
    run.add(BindingGroup(VOICE, T0, (trace_id(1),)), timestamp=T0)
    for number in range(1, SPANS + 1):
        span = facts(2, number, T0, T0 + number, error="x" * 1_000, call=call("gpt", 1, number), dimensions=WHO)
        run.add(WaitingGroup("shop", T0 + number, (WaitingSpan(span),)), timestamp=T0)
    run.add(WaitingGroup("shop", T0, (WaitingSpan(facts(3, 1, T0, T0), "old"),)), timestamp=T0)
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + 7, 1))
    run.flush()
    return run


def test_a_bound_trace_comes_back() -> None:
    trace = Trace(trace_id(1), SessionKey("shöp:1", "s \x00"), T0)
    assert state.decode_trace(trace.id, state.encode_trace(trace)) == trace
    assert state.header(state.encode_trace(trace)) == state.Header(is_bound=True, since=T0, spans=0, size=0, pages=0)


def test_a_waiting_trace_comes_back_with_its_last_page() -> None:
    trace = Trace(trace_id(1), None, -5, Held(3, 70_000, 4, b"tail"))
    data = state.encode_trace(trace)
    assert state.decode_trace(trace.id, data) == trace
    assert state.header(data) == state.Header(is_bound=False, since=-5, spans=3, size=70_000, pages=4)


def test_keys_of_traces_pages_and_the_meta_record_differ() -> None:
    keys = [trace_id(1), state.page_key(trace_id(1), 0), b"meta"]
    assert [state.is_trace_key(key) for key in keys] == [True, False, False]


def test_a_state_of_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(PermanentError, match="format 9, this worker reads up to 1: upgrade it"):
        state.header(b"\x09" + bytes(20))
    with pytest.raises(PermanentError, match="format 9"):
        state.decode_page(b"\x09")


def test_states_of_format_1_stay_readable() -> None:
    """The file holds the changelog of `some_log`, compacted, as a worker of format 1 wrote it."""
    run = ResolveRun(POLICY)
    run.changelog = [(key, value) for key, value in msgpack.unpackb((DATA / "resolve-state-1.bin").read_bytes())]
    run.crash()
    assert run.stage.gauges["spanloom_waiting_spans"] == SPANS + 1
    assert run.stage.gauges["spanloom_bound_traces"] == 1
    assert run.stage.gauges["spanloom_watermark_seconds"] == (T0 + 7) / 10**9
    folded = SPANS + 3
    run.folded = [*some_log().folded[:folded]]
    run.add(WaitingGroup("shop", T0, (WaitingSpan(facts(1, 1, T0, T0)),)), timestamp=T0)
    run.add(BindingGroup(CHAT, T0, (trace_id(2), trace_id(3))), timestamp=T0)
    found = released(run.flush())
    expected = [(CHAT, T0 + n, facts(2, n, T0, T0 + n, error="x" * 1_000, call=call("gpt", 1, n), dimensions=WHO))
                for n in range(1, SPANS + 1)]  # fmt: skip
    assert [item for item in found if item[2].trace_id == trace_id(2)] == expected
    assert (VOICE, T0, facts(1, 1, T0, T0)) in found
    assert (SessionKey("shop", "old"), T0, SessionEnd(T0, trace_id(3), facts(3, 1, 0, 0).span_id)) in found


def test_the_states_that_are_written_today_are_those_of_the_newest_format() -> None:
    """After a change of the format this fails: write a new file, and keep reading the old one."""
    stored = [(key, value) for key, value in msgpack.unpackb((DATA / "resolve-state-1.bin").read_bytes())]
    assert [key for key, _ in compact(some_log().changelog)] == [key for key, _ in stored]
    assert {value[0] for key, value in stored if key != b"meta"} == {state.FORMAT}


def test_a_wait_from_an_older_state_is_over_when_its_time_is() -> None:
    run = some_log()
    run.crash(compacted=True)
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + TIMEOUT + 2, 1))
    run.flush()
    assert run.outcomes()["no_session_id"] == SPANS + 1
