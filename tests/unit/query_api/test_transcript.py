"""What was said in a session, out of the spans of its turns."""

from typing import Any

import httpx
import pytest

from services.query_api import annotation_shapes as shapes
from services.query_api.app import build_app
from services.query_api.session import Turn, merge_turns
from services.query_api.transcript import StoredSpan, as_text, transcripts
from services.shared.telemetry import Telemetry
from tests.support.clock import ManualClock
from tests.support.live import FakeLiveView
from tests.support.rollups import at, turn, window
from tests.support.store import FakeStore

TRACE = f"{1:032x}"


def stored(number: int, kind: str, start: float, end: float, parent: int = 9, **attributes: Any) -> StoredSpan:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    parent_id = f"{parent:016x}" if parent else ""
    return StoredSpan(TRACE, f"{number:016x}", parent_id, at(start), at(end), f"span {number}", kind, False, named)


def messages(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be kind."}, {"role": role, "content": text}]


ROOT = stored(9, "CHAIN", 0, 10, parent=0)
FIRST = stored(
    *(1, "LLM", 1, 2),
    gen_ai__input__messages=messages("user", "Where is it?"),
    gen_ai__output__messages=[{"role": "assistant", "tool_calls": [{"id": "c", "name": "track", "arguments": "{}"}]}],
)
TOOL = stored(2, "TOOL", 3, 4, tool__name="track", input__value='{"order": 1}', output__value="Tuesday")
SECOND_CALL = stored(
    *(3, "LLM", 5, 9),
    gen_ai__input__messages=messages("tool", "Tuesday"),
    gen_ai__output__messages=[{"role": "assistant", "content": "On Tuesday."}],
)


def turns() -> list[Turn]:
    return merge_turns([turn("s1", trace=1, input="preview in", output="preview out")])


def entries(*spans: StoredSpan) -> list[tuple[str, str]]:
    [found] = transcripts(turns(), spans)
    return [(entry.role, entry.text) for entry in found.entries]


def test_a_turn_is_the_question_the_answers_and_the_tool_calls_by_time() -> None:
    [found] = transcripts(turns(), [SECOND_CALL, TOOL, FIRST, ROOT])

    assert [(entry.role, entry.text, entry.at) for entry in found.entries] == [
        ("user", "Where is it?", at(0)),
        ("assistant", "", at(2)),
        ("tool", "Tuesday", at(3)),
        ("assistant", "On Tuesday.", at(9)),
    ]
    assert [call.name for call in found.entries[1].tool_calls] == ["track"]
    assert (found.entries[2].name, found.entries[2].input) == ("track", '{"order": 1}')
    assert found.is_stored


def test_a_model_call_around_another_one_says_it_only_once() -> None:
    wrapper = stored(4, "LLM", 0.5, 9.5, input__value="Where?", output__value="On Tuesday.")
    inner = StoredSpan(TRACE, "a" * 16, wrapper.span_id, at(5), at(9), "chat", "LLM", False, SECOND_CALL.attributes)

    assert entries(ROOT, wrapper, inner) == [("user", "Where?"), ("assistant", "On Tuesday.")]


def test_without_messages_of_model_calls_the_texts_of_the_turn_are_told_whole() -> None:
    root = stored(9, "CHAIN", 0, 10, parent=0, input__value="i" * 5_000, output__value="o" * 5_000)

    assert entries(root, TOOL) == [("user", "i" * 5_000), ("tool", "Tuesday"), ("assistant", "o" * 5_000)]


def test_a_turn_without_stored_spans_has_its_previews() -> None:
    [found] = transcripts(turns(), [])

    assert [entry.text for entry in found.entries] == ["preview in", "preview out"]
    assert not found.is_stored


def test_a_span_without_a_kind_is_a_model_call_when_it_names_a_model() -> None:
    call = stored(1, "UNKNOWN", 1, 2, llm__model_name="m", output__value="Yes.")

    assert entries(ROOT, call)[-1] == ("assistant", "Yes.")


def test_as_text_it_can_be_read() -> None:
    text = as_text(transcripts(turns(), [ROOT, FIRST, TOOL, SECOND_CALL]))

    assert text == (
        f"# turn 1, trace {TRACE}\n"
        "user: Where is it?\n"
        "  assistant calls track({})\n"
        '  [track({"order": 1}) -> Tuesday]\n'
        "assistant: On Tuesday.\n"
    )
    assert as_text([]) == ""


@pytest.mark.parametrize("form", ["json", "text"])
async def test_transcripts_are_read_page_by_page(form: str) -> None:
    clock, store = ManualClock(), FakeStore()
    store.add(window("s1"), *(turn("s1", trace=number, start=number) for number in (1, 2, 3)))
    store.stored_spans = [ROOT, FIRST, TOOL, SECOND_CALL]
    app = build_app(store, FakeLiveView(clock), Telemetry(), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get(f"/v1/sessions/s1/transcript?limit=2&format={form}")
        missing = await client.get("/v1/sessions/ghost/transcript")
    assert (answer.status_code, missing.status_code) == (200, 404)
    if form == "text":
        assert answer.text.startswith(f"# turn 1, trace {TRACE}\nuser: Where is it?\n")
        return
    body = answer.json()
    assert list(body["data"]) == list(shapes.TranscriptData.__annotations__)
    first, second = body["data"]["turns"]
    assert list(first) == list(shapes.TurnTranscriptData.__annotations__)
    assert list(first["entries"][0]) == list(shapes.EntryData.__annotations__)
    assert (first["is_stored"], second["is_stored"]) == (True, False)
    assert body["next_cursor"]
