from services.demo.check import ShownSession
from services.demo.conversations import HeldTurn
from services.demo.report import session_table


def _session(session_id: str, state: str, question: str, *, has_error: bool = False) -> ShownSession:
    turn = HeldTurn(
        trace_id="0a",
        input=question,
        output="",
        prompt_tokens=0,
        completion_tokens=0,
        llm_calls=0,
        tool_calls=0,
        has_error=has_error,
    )
    return ShownSession(
        session_id=session_id,
        state=state,
        users=(),
        trace_ids=("0a",),
        turn_count=1,
        prompt_tokens=100,
        completion_tokens=23,
        turns=(turn,),
    )


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    lines = list(
        session_table([_session("faq-1", "closed", "Hi"), _session("overloaded-1", "open", "?", has_error=True)])
    )

    assert lines == [
        "session       state   turns  tokens  errors  first question",
        "faq-1         closed  1      123     0       Hi",
        "overloaded-1  open    1      123     1       ?",
    ]


def test_a_long_question_is_cut_so_that_a_line_fits_a_terminal() -> None:
    line = list(session_table([_session("faq-1", "closed", "why " * 40)]))[1]

    assert line.endswith("…")
    assert len(line) <= 100
