"""Each property of a session of two windows."""

from services.query_api.session import Session, merge_session, merge_turns
from services.shared.model.rollup import CloseReason, WindowState
from tests.support.rollups import at, turn, usage, window

SECOND = 10**9


def _merged() -> Session:
    """A trace (2) is in both windows: the first one was sealed."""
    first = window(
        window_id="w1",
        start=0,
        end=100,
        first_seen=5,
        close_reason=CloseReason.MAX_SPANS,
        user_ids=["ann", "bob"],
        environment="staging",
        environment_at=at(100),
        service_names=["api"],
        agent_names=["router"],
        models=["gpt-4o"],
        tags=["beta"],
        session_attributes={"session.type": "chat", "session.name": "old"},
        session_attributes_at={"session.type": at(9), "session.name": at(9)},
        metadata={"tenant": "acme", "plan": "gold"},
        metadata_at={"tenant": at(90), "plan": at(90)},
        turn_count=2,
        error_turn_count=1,
        span_count=10,
        tool_call_count=1,
        error_count=2,
        late_span_count=1,
        duplicate_span_count=3,
        usage=usage(prompt=100, completion=10, cost="0.5", cache_read_tokens=7, reasoning_tokens=2),
        total_tokens_by_model={"gpt-4o": 110},
        total_cost_by_model={"gpt-4o": 500_000_000_000},
        active_ns=60 * SECOND,
        first_input="hello",
        first_input_at=at(0),
        last_output="first answer",
        last_output_at=at(99),
        last_error="boom",
        last_error_at=at(50),
    )
    second = window(
        window_id="w2",
        start=90,
        end=200,
        first_seen=95,
        user_ids=["bob", "cyd"],
        environment="production",
        environment_at=at(150),
        service_names=["api", "tools"],
        agent_names=["answerer"],
        models=["claude", "gpt-4o"],
        tags=["vip"],
        session_attributes={"session.name": "new"},
        session_attributes_at={"session.name": at(150)},
        metadata={"tenant": "other"},
        metadata_at={"tenant": at(80)},
        turn_count=2,
        error_turn_count=1,
        span_count=5,
        tool_call_count=2,
        error_count=1,
        usage=usage(prompt=1, completion=2, calls=2, cost="0.000000000001"),
        total_tokens_by_model={"claude": 1, "gpt-4o": 2},
        total_cost_by_model={"claude": 1},
        active_ns=80 * SECOND,
        first_input="later",
        first_input_at=at(91),
        last_output="last answer",
        last_output_at=at(200),
    )
    return merge_session(
        [second, first],
        [
            turn(window_id="w1", trace=1, start=0, end=20),
            turn(window_id="w1", trace=2, start=60, end=100, has_error=True, error_count=1, usage=usage(prompt=3)),
            turn(
                window_id="w2",
                trace=2,
                start=90,
                end=110,
                has_error=True,
                error_count=2,
                usage=usage(prompt=4),
                root_span_id="",
                root_name="",
                input="",
                output="",
                model="gpt-4o",
            ),
            turn(window_id="w2", trace=3, start=140, end=200),
        ],
    )


def test_bounds_span_all_windows() -> None:
    session = _merged()
    assert (session.started_at, session.ended_at) == (at(0), at(200))
    assert session.first_seen_at == at(5)
    assert [w.window_id[:2] for w in session.windows] == ["w1", "w2"]


def test_traces_in_two_windows_count_once() -> None:
    session = _merged()
    assert session.turn_count == 3
    assert [t.trace_id[-1] for t in session.turns] == ["1", "2", "3"]
    assert session.error_turn_count == 1


def test_counts_are_sums() -> None:
    session = _merged()
    assert (session.span_count, session.tool_call_count, session.error_count) == (15, 3, 3)
    assert (session.late_span_count, session.duplicate_span_count) == (1, 3)


def test_tokens_and_cost_are_sums_in_out_and_total() -> None:
    session = _merged()
    assert (session.usage.prompt_tokens, session.usage.completion_tokens, session.usage.total_tokens) == (101, 12, 113)
    assert (session.usage.cache_read_tokens, session.usage.reasoning_tokens) == (7, 2)
    assert session.usage.prompt_cost + session.usage.completion_cost == session.usage.total_cost == 500_000_000_001
    assert session.usage.llm_call_count == 3
    assert session.total_tokens_by_model == {"claude": 1, "gpt-4o": 112}
    assert session.total_cost_by_model == {"claude": 1, "gpt-4o": 500_000_000_000}


def test_people_services_agents_models_and_tags_are_unions() -> None:
    session = _merged()
    assert session.user_ids == ["ann", "bob", "cyd"]
    assert session.service_names == ["api", "tools"]
    assert session.agent_names == ["answerer", "router"]
    assert session.models == ["claude", "gpt-4o"]
    assert session.tags == ["beta", "vip"]


def test_the_last_writer_by_event_time_wins_whatever_its_window() -> None:
    session = _merged()
    assert session.environment == "production"
    assert session.session_attributes == {"session.name": "new", "session.type": "chat"}
    assert session.metadata == {"plan": "gold", "tenant": "acme"}


def test_the_first_input_and_the_last_output_and_error_are_those_of_the_session() -> None:
    session = _merged()
    assert (session.first_input, session.last_output, session.last_error) == ("hello", "last answer", "boom")


def test_time_that_two_windows_share_is_active_once() -> None:
    # turns of w1: [0,20] [60,100]; of w2: [90,110] [140,200]; [90,100] is in both
    assert _merged().active_ns == (60 + 80 - 10) * SECOND
    some_known = [turn(window_id="w1", start=60, end=100), turn(window_id="w2", start=90, end=110)]
    windows = [window(window_id="w1", turn_count=9, active_ns=60), window(window_id="w2", active_ns=10 * SECOND)]
    assert merge_session(windows, some_known).active_ns == 60


def test_the_parts_of_a_turn_are_one_turn() -> None:
    second = _merged().turns[1]
    assert (second.started_at, second.ended_at) == (at(60), at(110))
    assert (second.error_count, second.span_count, second.usage.prompt_tokens) == (3, 4, 7)
    assert (second.root_name, second.input, second.output, second.model) == (
        "agent",
        "question 2",
        "answer 2",
        "gpt-4o",
    )
    assert [id_[:2] for id_ in second.window_ids] == ["w1", "w2"]


def test_turn_latencies_are_those_of_the_merged_buckets() -> None:
    first = window(window_id="w1", turn_latency_buckets={10: 98, 63: 1})
    second = window(window_id="w2", turn_latency_buckets={10: 1, 96: 100})
    # from 64 ns on a bucket is 2 ns wide, from 128 ns on 4 ns: number 96 is [128, 132)
    assert merge_session([first, second], []).turn_latency_ns == {"p50": 63, "p95": 130, "p99": 130}
    assert merge_session([window()], []).turn_latency_ns == {}


def test_a_session_is_open_while_one_window_is() -> None:
    assert _merged().state is WindowState.CLOSED
    assert _merged().close_reason is CloseReason.IDLE
    session = merge_session([window(window_id="w1"), window(window_id="w2", start=90, end=95, is_open=True)], [])
    assert session.state is WindowState.OPEN
    assert session.close_reason is CloseReason.NONE


def test_turns_that_are_not_kept_any_more_still_count() -> None:
    session = merge_session([window(turn_count=5, error_turn_count=2, active_ns=7)], [])
    assert (session.turn_count, session.error_turn_count, session.active_ns) == (5, 2, 7)
    assert session.turns == ()


def test_turns_that_are_newer_than_their_window_count() -> None:
    assert merge_session([window(turn_count=1)], [turn(trace=1), turn(trace=2)]).turn_count == 2


def test_turns_are_in_the_order_of_their_start_and_then_of_their_trace() -> None:
    turns = merge_turns([turn(trace=3, start=5), turn(trace=2, start=5), turn(trace=9, start=1)])
    assert [t.trace_id[-1] for t in turns] == ["9", "2", "3"]
