"""Traces of agents as each instrumentation writes them: agent, chain, model calls, usage repeated on the way up.

Attributes are the documented ones. A span is (parent, name, attributes); parents come first, by
their place. `calls` says what was asked of models, by hand: (model, prompt, completion).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SESSION = "nested"

Call = tuple[str, int, int]
Node = tuple[int | None, str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class NestedTrace:
    name: str
    calls: tuple[Call, ...]
    spans: tuple[Node, ...]
    unpriced: int = 0  # model calls that carry no usage of their own


def _openinference(kind: str, **tokens: int) -> dict[str, Any]:
    counts = {f"llm.token_count.{part}": count for part, count in tokens.items()}
    return {"openinference.span.kind": kind, **counts}


def _genai(operation: str, prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    said = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai"}
    return said | {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": completion, **more}


def _vercel(operation: str, prompt: int, completion: int, *, new: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operation.name": operation,
        "ai.operationId": operation,
        "ai.model.id": "gpt-4o",
        "ai.model.provider": "openai.chat",
        "ai.telemetry.metadata.sessionId": SESSION,
    }
    spelt = ("inputTokens", "outputTokens") if new else ("promptTokens", "completionTokens")
    said |= {f"ai.usage.{name}": count for name, count in zip(spelt, (prompt, completion), strict=True)}
    if operation.endswith("doGenerate"):
        said |= {
            "gen_ai.system": "openai.chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": completion,
        }
    return said


def _mlflow(kind: str, prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
    return {"mlflow.spanType": json.dumps(kind), "mlflow.chat.tokenUsage": json.dumps(usage), **more}


def _traceloop(kind: str, name: str) -> dict[str, Any]:
    return {
        "traceloop.span.kind": kind,
        "traceloop.entity.name": name,
        "traceloop.association.properties.session_id": SESSION,
        "traceloop.workflow.name": "bot",
    }


def _traceloop_call(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {
        "traceloop.association.properties.session_id": SESSION,
        "llm.request.type": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.prompt_tokens": prompt,
        "gen_ai.usage.completion_tokens": completion,
        "llm.usage.total_tokens": prompt + completion,
        **more,
    }


def _langfuse(kind: str, **usage: int) -> dict[str, Any]:
    said: dict[str, Any] = {"langfuse.observation.type": kind, "langfuse.session.id": SESSION}
    if usage:
        said["langfuse.observation.usage_details"] = json.dumps(usage)
        said["langfuse.observation.model.name"] = "gpt-4o"
    return said


_HELD = {"session.id": SESSION}
_GPT = {"llm.model_name": "gpt-4o", "llm.provider": "openai"}

TRACES = (
    NestedTrace(
        "Vercel AI SDK 4: the wrapper has the usage of the last step",
        (("gpt-4o-2024-08-06", 100, 20), ("gpt-4o-2024-08-06", 150, 30)),
        (
            (None, "ai.generateText", _vercel("ai.generateText", 150, 30, new=False)),
            (0, "ai.generateText.doGenerate", _vercel("ai.generateText.doGenerate", 100, 20, new=False)),
            (0, "ai.toolCall", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "weather"}),
            (0, "ai.generateText.doGenerate", _vercel("ai.generateText.doGenerate", 150, 30, new=False)),
        ),
    ),
    NestedTrace(
        "Vercel AI SDK 5: the wrapper has the sum",
        (("gpt-4o-2024-08-06", 100, 20), ("gpt-4o-2024-08-06", 150, 30)),
        (
            (None, "ai.generateText", _vercel("ai.generateText", 250, 50, new=True)),
            (0, "ai.generateText.doGenerate", _vercel("ai.generateText.doGenerate", 100, 20, new=True)),
            (0, "ai.generateText.doGenerate", _vercel("ai.generateText.doGenerate", 150, 30, new=True)),
        ),
    ),
    NestedTrace(
        "OpenInference for smolagents: the agent has the sum of its steps",
        (("gpt-4o", 100, 20), ("gpt-4o", 150, 30)),
        (
            (None, "CodeAgent.run", _HELD | _openinference("AGENT", prompt=250, completion=50, total=300)),
            (0, "Step 1", _openinference("CHAIN", prompt=100, completion=20, total=120)),
            (1, "OpenAIServerModel.generate", _GPT | _openinference("LLM", prompt=100, completion=20, total=120)),
            (0, "Step 2", _openinference("CHAIN", prompt=150, completion=30, total=180)),
            (3, "OpenAIServerModel.generate", _GPT | _openinference("LLM", prompt=150, completion=30, total=180)),
        ),
    ),
    NestedTrace(
        "OpenInference for LlamaIndex: a call within a call, usage on the innermost",
        (("gpt-4o", 100, 20),),
        (
            (None, "AgentWorkflow.run", _HELD | _openinference("AGENT")),
            (0, "FunctionAgent.take_step", _openinference("CHAIN")),
            (1, "OpenAI.astream_chat_with_tools", _GPT | _openinference("LLM")),
            (2, "OpenAI.astream_chat", _GPT | _openinference("LLM", prompt=100, completion=20, total=120)),
        ),
        unpriced=1,
    ),
    NestedTrace(
        "OpenInference for LangChain with OpenAI's beneath it: one call told by both",
        (("gpt-4o", 100, 20), ("gpt-4o", 100, 20)),
        (
            (None, "LangGraph", _HELD | _openinference("CHAIN", prompt=200, completion=40)),
            (0, "agent", _openinference("AGENT", prompt=200, completion=40)),
            (1, "ChatOpenAI", _GPT | _openinference("LLM", prompt=100, completion=20, total=120)),
            (2, "ChatCompletion", _GPT | _openinference("LLM", prompt=100, completion=20, total=120)),
            (1, "ChatOpenAI", _GPT | _openinference("LLM", prompt=100, completion=20, total=120)),
        ),
    ),
    NestedTrace(
        "MLflow: agent and chain have the sums as JSON",
        (("gpt-4o", 100, 20), ("gpt-4o", 150, 30)),
        (
            (None, "agent", _mlflow("AGENT", 250, 50, **{"mlflow.trace.session": f'"{SESSION}"'})),
            (0, "chain", _mlflow("CHAIN", 250, 50)),
            (1, "ChatOpenAI", _mlflow("CHAT_MODEL", 100, 20, **{"gen_ai.request.model": "gpt-4o"})),
            (1, "Completions", _mlflow("LLM", 150, 30, **{"gen_ai.request.model": "gpt-4o"})),
        ),
    ),
    NestedTrace(
        "Traceloop: workflow, agent, task and tool around OpenAI's spans",
        (("gpt-4o-2024-08-06", 100, 20), ("gpt-4o-2024-08-06", 150, 30)),
        (
            (None, "bot.workflow", _traceloop("workflow", "bot") | {"llm.usage.total_tokens": 300}),
            (0, "helper.agent", _traceloop("agent", "helper") | {"gen_ai.usage.prompt_tokens": 250}),
            (1, "openai.chat", _traceloop_call(100, 20)),
            (1, "weather.tool", _traceloop("tool", "weather")),
            (1, "answer.task", _traceloop("task", "answer")),
            (4, "openai.chat", _traceloop_call(150, 30)),
        ),
    ),
    NestedTrace(
        "pydantic-ai: the agent run has the sum",
        (("gpt-4o-2024-08-06", 100, 20), ("gpt-4o-2024-08-06", 150, 30)),
        (
            (
                None,
                "invoke_agent helper",
                _genai(
                    "invoke_agent",
                    250,
                    50,
                    **{"gen_ai.conversation.id": SESSION, "gen_ai.agent.name": "helper", "model_name": "gpt-4o"},
                ),
            ),
            (0, "chat gpt-4o", _genai("chat", 100, 20, **{"gen_ai.response.model": "gpt-4o-2024-08-06"})),
            (0, "running tools", {"tools": "['weather']"}),
            (2, "execute_tool weather", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}),
            (0, "chat gpt-4o", _genai("chat", 150, 30, **{"gen_ai.response.model": "gpt-4o-2024-08-06"})),
        ),
    ),
    NestedTrace(
        "pydantic-ai of before: an agent run with usage and without an operation",
        (("gpt-4o", 100, 20), ("gpt-4o", 150, 30)),
        (
            (
                None,
                "agent run",
                {
                    "session.id": SESSION,
                    "agent_name": "helper",
                    "model_name": "gpt-4o",
                    "gen_ai.usage.input_tokens": 250,
                    "gen_ai.usage.output_tokens": 50,
                },
            ),
            (0, "chat gpt-4o", _genai("chat", 100, 20, **{"gen_ai.request.model": "gpt-4o"})),
            (0, "chat gpt-4o", _genai("chat", 150, 30, **{"gen_ai.request.model": "gpt-4o"})),
        ),
    ),
    NestedTrace(
        "Langfuse: span, agent and generation",
        (("gpt-4o", 100, 20), ("gpt-4o", 150, 30)),
        (
            (None, "bot", _langfuse("span")),
            (0, "agent", _langfuse("agent", input=250, output=50, total=300)),
            (1, "first", _langfuse("generation", input=100, output=20, total=120)),
            (1, "second", _langfuse("generation", input=150, output=30, total=180)),
        ),
    ),
    NestedTrace(
        "OpenTelemetry GenAI: workflow, agent, two models",
        (("gpt-4o", 100, 20), ("gpt-4o-mini", 150, 30)),
        (
            (None, "invoke_workflow", _genai("invoke_workflow", 250, 50, **_HELD)),
            (0, "invoke_agent", _genai("invoke_agent", 250, 50)),
            (1, "chat", _genai("chat", 100, 20, **{"gen_ai.request.model": "gpt-4o"})),
            (1, "chat", _genai("chat", 150, 30, **{"gen_ai.request.model": "gpt-4o-mini"})),
        ),
    ),
)
