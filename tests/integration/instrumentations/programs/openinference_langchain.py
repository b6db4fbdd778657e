"""OpenInference for LangChain: a chain around a chat model with a tool."""

import json
from typing import Any

from conversation import MODEL, MODEL_URL, QUESTIONS, SESSION, SYSTEM, USER, order_status, provider
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.langchain import LangChainInstrumentor

tracers = provider()
LangChainInstrumentor().instrument(tracer_provider=tracers)
look_up = tool(order_status)
model = ChatOpenAI(model=MODEL, base_url=MODEL_URL, api_key="none", max_retries=0).bind_tools([look_up])
history: list[Any] = [SystemMessage(SYSTEM)]


def turn(question: str) -> str:
    history.append(HumanMessage(question))
    while True:
        said = model.invoke(history)
        history.append(said)
        if not said.tool_calls:
            return str(said.content)
        history.extend(
            ToolMessage(json.dumps(look_up.invoke(call["args"])), tool_call_id=call["id"]) for call in said.tool_calls
        )


for each in QUESTIONS:
    with using_attributes(session_id=SESSION, user_id=USER):
        RunnableLambda(turn, name="bot").invoke(each)
tracers.shutdown()
