"""What every program here does: hold one conversation of two turns, the first with a tool. Run by the tests.

python <program>.py <URL of the OTLP receiver> <base URL of the model> <session id>
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

ENDPOINT, MODEL_URL, SESSION = sys.argv[1:4]
USER = "u-7"
MODEL = "gpt-4o-mini"
QUESTIONS = ("Where is my order AB-1234?", "thank you")
SYSTEM = "Look orders up with order_status."
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "order_status",
            "description": "Where an order is.",
            "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
        },
    }
]


def order_status(order: str) -> dict[str, str]:
    """Where an order is."""
    return {"order": order, "status": "on its way"}


def provider() -> TracerProvider:
    """A tracer provider that sends each span at once; also the global one."""
    found = TracerProvider()
    found.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=ENDPOINT)))
    trace.set_tracer_provider(found)
    return found


def client() -> OpenAI:
    return OpenAI(base_url=MODEL_URL, api_key="none", max_retries=0)


def answers(openai: Any, run_tool: Callable[..., dict[str, str]] = order_status) -> Callable[[str], str]:
    """Asks the model, with the conversation so far, until it says something."""
    history: list[Any] = [{"role": "system", "content": SYSTEM}]

    def ask(question: str) -> str:
        history.append({"role": "user", "content": question})
        while True:
            done = openai.chat.completions.create(model=MODEL, messages=history, tools=TOOLS)
            message = done.choices[0].message
            history.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return str(message.content)
            for call in message.tool_calls:
                found = run_tool(**json.loads(call.function.arguments))
                history.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(found)})

    return ask
