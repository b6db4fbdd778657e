"""A support bot as one would write it: OpenAI's client, a tool, and OpenInference's tracer around a turn."""

import json
from dataclasses import dataclass, field
from typing import Any

from openai import APIStatusError, OpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from openinference.instrumentation import OITracer, using_session, using_user
from opentelemetry.trace import Status, StatusCode, format_trace_id

from services.demo.conversations import HeldTurn
from services.demo.model_server import MODEL, Message

_SYSTEM = "You are the support bot of a small electronics shop. Be short. Look orders up with order_status."
_TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "order_status",
            "description": "Where an order is.",
            "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
        },
    }
]
_ORDERS = {"AB-1234": "on its way", "CD-5678": "delivered", "EF-9012": "being packed"}
_APOLOGY = "Sorry, I cannot answer right now. Please try again."


@dataclass(slots=True)
class _Tally:
    """What one turn used."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    has_error: bool = False


@dataclass(slots=True)
class SupportBot:
    """One conversation with one user. Every question becomes one trace of the session."""

    client: OpenAI
    tracer: OITracer
    session_id: str
    user: str
    history: list[Message] = field(default_factory=lambda: [{"role": "system", "content": _SYSTEM}])

    def ask(self, question: str) -> HeldTurn:
        """Answer, with an apology when the model does not. Returns what was said and used."""
        tally = _Tally()
        with (
            using_session(self.session_id),
            using_user(self.user),
            self.tracer.start_as_current_span("support-bot", openinference_span_kind="agent") as span,
        ):
            span.set_input(question)
            self.history.append({"role": "user", "content": question})
            said = self._complete(tally)
            span.set_output(said)
            span.set_status(Status(StatusCode.OK))
            trace_id = format_trace_id(span.get_span_context().trace_id)
        return HeldTurn(
            trace_id=trace_id,
            input=question,
            output=said,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            llm_calls=tally.llm_calls,
            tool_calls=tally.tool_calls,
            has_error=tally.has_error,
        )

    def _complete(self, tally: _Tally) -> str:
        """Ask the model until it says something, running the tools it calls."""
        while True:
            tally.llm_calls += 1
            try:
                completion = self.client.chat.completions.create(
                    model=MODEL, messages=self._messages(), tools=_TOOLS, temperature=0
                )
            except APIStatusError:
                tally.has_error = True
                self.history.append({"role": "assistant", "content": _APOLOGY})
                return _APOLOGY
            assert completion.usage is not None
            tally.prompt_tokens += completion.usage.prompt_tokens
            tally.completion_tokens += completion.usage.completion_tokens
            message = completion.choices[0].message
            self.history.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return message.content or ""
            for call in message.tool_calls:
                assert isinstance(call, ChatCompletionMessageFunctionToolCall)
                tally.tool_calls += 1
                result = self._run_tool(call.function.name, call.function.arguments)
                self.history.append({"role": "tool", "tool_call_id": call.id, "content": result})

    def _messages(self) -> Any:  # noqa: ANN401 - the client's type is a union of one dict type a role
        return self.history

    def _run_tool(self, name: str, arguments: str) -> str:
        with self.tracer.start_as_current_span(name, openinference_span_kind="tool") as span:
            span.set_tool(name=name, parameters=arguments)
            span.set_input(arguments, mime_type="application/json")
            order = json.loads(arguments)["order"]
            result = json.dumps({"order": order, "status": _ORDERS.get(order, "unknown")})
            span.set_output(result, mime_type="application/json")
            span.set_status(Status(StatusCode.OK))
        return result
