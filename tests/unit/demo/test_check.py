from dataclasses import replace

import pytest

from services.demo.check import ShownSession, differences
from services.demo.conversations import HeldConversation, HeldTurn

TURN = HeldTurn(
    trace_id="0a", input="Hi", output="Hello", prompt_tokens=3, completion_tokens=2, llm_calls=1, tool_calls=0,
    has_error=False,
)  # fmt: skip
OTHER_TURN = replace(TURN, trace_id="0b", input="Bye", output="Bye", prompt_tokens=7)
HELD = HeldConversation("faq-1", "ada", (TURN, OTHER_TURN))
SHOWN = ShownSession(
    session_id="faq-1",
    state="closed",
    users=("ada",),
    trace_ids=("0a", "0b"),
    turn_count=2,
    prompt_tokens=10,
    completion_tokens=4,
    turns=(TURN, OTHER_TURN),
)


def test_sessions_that_show_what_was_held_do_not_differ() -> None:
    assert differences([HELD], [SHOWN]) == []


def test_a_conversation_that_is_not_shown_is_a_difference() -> None:
    assert differences([HELD], []) == ["faq-1 was held and is not shown"]


def test_a_session_that_nobody_held_is_a_difference() -> None:
    assert differences([], [SHOWN]) == ["faq-1 is shown and was not held"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(SHOWN, users=("ada", "bob")), "faq-1: users: held ('ada',), shown ('ada', 'bob')"),
        (replace(SHOWN, trace_ids=("0b", "0a")), "faq-1: traces: held ('0a', '0b'), shown ('0b', '0a')"),
        (replace(SHOWN, turn_count=3), "faq-1: turns: held 2, shown 3"),
        (replace(SHOWN, prompt_tokens=13), "faq-1: prompt tokens: held 10, shown 13"),
        (replace(SHOWN, completion_tokens=0), "faq-1: completion tokens: held 4, shown 0"),
        (replace(SHOWN, turns=(TURN,)), "faq-1: turns that can be read: held 2, shown 1"),
        (
            replace(SHOWN, turns=(TURN, replace(OTHER_TURN, output=""))),
            "faq-1: turn 2: output: held 'Bye', shown ''",
        ),
        (
            replace(SHOWN, turns=(replace(TURN, has_error=True), OTHER_TURN)),
            "faq-1: turn 1: has_error: held False, shown True",
        ),
    ],
)
def test_whatever_is_shown_otherwise_than_it_was_held_is_named(wrong: ShownSession, said: str) -> None:
    assert differences([HELD], [wrong]) == [said]
