import openai
import pytest

from services.demo.conversations import OVERLOADED
from services.demo.model_server import MODEL, Message, answer, count_tokens, model_server


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def test_a_question_with_an_order_number_is_answered_by_calling_the_tool() -> None:
    call = answer([_user("Where is AB-1234?")])["tool_calls"][0]

    assert call["function"] == {"name": "order_status", "arguments": '{"order": "AB-1234"}'}


def test_the_result_of_the_tool_becomes_the_answer() -> None:
    result = {"role": "tool", "content": '{"order": "AB-1234", "status": "delivered"}'}

    assert answer([_user("Where is AB-1234?"), result])["content"] == "Order AB-1234 is delivered."


@pytest.mark.parametrize("question", ["Can I RETURN this?", "When is the delivery?", "What is the warranty?", "Hm"])
def test_the_same_question_has_the_same_answer(question: str) -> None:
    assert answer([_user(question)]) == answer([_user(question)])


def test_tokens_are_words_of_contents_and_tool_calls() -> None:
    call = answer([_user("Where is AB-1234?")])

    assert count_tokens([_user("one two  three"), call]) == 3 + 3


def test_openais_client_reads_answers_and_usage_from_the_server() -> None:
    with model_server() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "warranty?"}])

    assert completion.choices[0].message.content == "Every device has a warranty of two years."
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (1, 8)


def test_the_certain_question_gets_a_server_error() -> None:
    with (
        model_server() as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"tell me {OVERLOADED}"}])

    assert caught.value.status_code == 503
