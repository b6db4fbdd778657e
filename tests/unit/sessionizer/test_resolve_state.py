"""States of `resolve` as bytes: everything comes back, and those of a worker of another version are read or refused."""

from pathlib import Path

import msgpack
import pytest

from services.sessionizer import resolve_state as state
from services.sessionizer.engine.resolve import Held, Wait
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


def test_a_segment_of_bindings_comes_back() -> None:
    names = b"".join(map(state.pack_name, (VOICE.encode(), SessionKey("shöp:1", "s \x00").encode())))
    bindings = [state.Binding(trace_id(n), T0 + n, 0 if n < 3 else 2 + len(VOICE.encode())) for n in range(1, 5)]
    data = state.encode_segment(bindings, names)
    assert state.decode_segment(state.segment_key(7), data) == (bindings, names)
    assert state.name_at(names, bindings[-1].name_at) == SessionKey("shöp:1", "s \x00").encode()
    assert [state.binding_at(data, place) for place in range(4)] == bindings
    assert state.names_of(data) == names


def test_a_segment_that_no_worker_wrote_is_refused() -> None:
    names = state.pack_name(b"4:shopchat")
    later, earlier = (state.Binding(trace_id(1), since, 0) for since in (T0, T0 - 1))
    key = state.segment_key(1)
    whole = state.encode_segment([earlier, later], names)
    for broken in (
        whole[:-1],
        whole[:40],
        whole[:1] + b"\x07" + whole[2:],
        state.encode_segment([], b""),
        state.encode_segment([later, earlier], names),
        state.encode_segment([later._replace(name_at=1)], names),
    ):
        with pytest.raises(PermanentError, match="cannot be read"):
            state.decode_segment(key, broken)


def test_a_wait_comes_back_with_its_last_page() -> None:
    wait = Wait(trace_id(1), -5, Held(3, 70_000, 4, b"tail"))
    data = state.encode_wait(wait)
    assert state.decode_wait(wait.trace_id, data) == wait
    assert state.header(data) == state.Header(since=-5, spans=3, size=70_000, pages=4)


def test_keys_of_traces_pages_segments_and_the_meta_record_differ() -> None:
    keys = [trace_id(1), state.page_key(trace_id(1), 0), state.segment_key(2**40), b"meta"]
    assert [state.is_trace_key(key) for key in keys] == [True, False, False, False]
    assert [state.segment_number(key) for key in keys] == [None, None, 2**40, None]


def test_a_state_of_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(PermanentError, match="format 9, this worker reads up to 2: upgrade it"):
        state.header(b"\x09" + bytes(20))
    with pytest.raises(PermanentError, match="format 9"):
        state.decode_page(b"\x09")


@pytest.mark.parametrize("form", [1, 2])
def test_states_of_older_formats_stay_readable(form: int) -> None:
    """The file holds the changelog of `some_log`, compacted, as a worker of that format wrote it."""
    run = ResolveRun(POLICY)
    run.changelog = [(key, value) for key, value in msgpack.unpackb((DATA / f"resolve-state-{form}.bin").read_bytes())]
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
    stored = msgpack.unpackb((DATA / f"resolve-state-{state.FORMAT}.bin").read_bytes())
    assert [[key, value] for key, value in compact(some_log().changelog)] == stored
    assert {value[0] for key, value in stored if key != b"meta"} == {state.FORMAT}


def test_bindings_of_format_1_have_records_of_their_own_until_they_are_used_or_over() -> None:
    run = ResolveRun(POLICY)
    stored = msgpack.unpackb((DATA / "resolve-state-1.bin").read_bytes())
    run.changelog = [(key, value) for key, value in stored if key in {trace_id(1), b"meta"}]
    run.crash()
    before = len(run.changelog)
    run.restart()
    assert dict(run.changelog).keys() == {trace_id(1), b"meta"}, "what is loaded is not written anew"
    run.add(WaitingGroup("shop", T0 + 9, (WaitingSpan(facts(1, 1, T0, T0)),)), timestamp=T0)
    run.flush()
    assert dict(run.changelog[before:])[trace_id(1)] is None
    assert {key for key, _ in compact(run.changelog)} == {state.segment_key(0), b"meta"}
    run.crash(compacted=True)
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + 9 + POLICY.kept, 1))
    assert run.stage.gauges["spanloom_bound_traces"] == 1
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + 10 + POLICY.kept, 1))
    assert run.stage.gauges["spanloom_bound_traces"] == 0
    run.flush()
    assert [key for key, _ in compact(run.changelog)] == [b"meta"]


def test_a_wait_from_an_older_state_is_over_when_its_time_is() -> None:
    run = some_log()
    run.crash(compacted=True)
    run.fold(T0, WatermarkRecord("otlp_spans/0", T0 + TIMEOUT + 2, 1))
    run.flush()
    assert run.outcomes()["no_session_id"] == SPANS + 1
