"""Langfuse's SDK: its decorator, and its wrapper of OpenAI's client."""

from typing import Any

import langfuse.openai
from conversation import ENDPOINT, MODEL_URL, QUESTIONS, SESSION, USER, answers, order_status
from langfuse import Langfuse, observe, propagate_attributes

own = Langfuse(public_key="pk", secret_key="sk", base_url=ENDPOINT.removesuffix("/v1/traces"))
run_tool: Any = observe(as_type="tool", name="order_status")(order_status)
openai = langfuse.openai.OpenAI(base_url=MODEL_URL, api_key="none", max_retries=0)
turn: Any = observe(as_type="agent", name="bot")(answers(openai, run_tool))
for each in QUESTIONS:
    with propagate_attributes(session_id=SESSION, user_id=USER):
        turn(each)
own.shutdown()
