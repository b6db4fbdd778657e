"""One trace of each instrumentation that no test records from the real library: the attributes as its documentation
or its source names them. Each must give the right session, turn, tokens, tools and texts.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from tests.support.extraction import extraction_of, items_of, sources
from tests.support.otlp import SECOND, T0, request, span
from tests.support.totals import turn_totals, window_totals

QUESTION, ANSWER = "Where is my order?", "It arrives on Tuesday."
CHAT_IN = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTION}]
CHAT_OUT = [{"role": "assistant", "content": ANSWER}]


@dataclass(frozen=True)
class Case:
    """`spans`: the root first; children are exported before it. `tokens`: prompt, completion, total."""

    name: str
    spans: list[Span]
    source: str
    tokens: tuple[int, int, int]
    model: str
    session_id: str = "conversation-7"
    resource: dict[str, Any] = field(default_factory=dict)
    cached: tuple[int, int] = (0, 0)
    calls: int = 1
    tools: dict[str, int] = field(default_factory=dict)
    providers: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)
    first_token: int | None = None
    texts: tuple[str, str] = (QUESTION, ANSWER)


def one(number: int, parent: int, name: str, attributes: dict[str, Any]) -> Span:
    return span(
        trace_id=7,
        span_id=number,
        parent_id=parent or b"",
        start=T0 + number * SECOND,
        end=T0 + (20 - number) * SECOND,
        name=name,
        attributes=attributes,
    )


LANGSMITH = Case(
    "LangSmith",
    [
        one(
            *(1, 0, "AgentExecutor"),
            {
                "langsmith.span.kind": "chain",
                "langsmith.metadata.session_id": "conversation-7",
                "langsmith.metadata.user_id": "ann",
                "langsmith.metadata.plan": "gold",
                "langsmith.span.tags": "beta, web",
                "langsmith.trace.session_id": "the-project",
                "gen_ai.prompt": json.dumps({"messages": CHAT_IN}),
                "gen_ai.completion": json.dumps({"messages": CHAT_OUT}),
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 30,
            },
        ),
        one(
            *(2, 1, "ChatOpenAI"),
            {
                "langsmith.span.kind": "llm",
                "langsmith.metadata.session_id": "conversation-7",
                "gen_ai.operation.name": "chat",
                "gen_ai.system": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 30,
                "gen_ai.usage.total_tokens": 150,
                "gen_ai.usage.input_token_details": '{"cache_read": 20}',
            },
        ),
    ],
    "langsmith.metadata.session_id",
    (120, 30, 150),
    "gpt-4o",
    cached=(20, 0),
    providers=["openai"],
    users=["ann"],
)

VERCEL = Case(
    "Vercel AI SDK",
    [
        one(
            *(1, 0, "ai.streamText"),
            {
                "ai.operationId": "ai.streamText",
                "ai.telemetry.metadata.sessionId": "conversation-7",
                "ai.telemetry.metadata.userId": "ann",
                "ai.telemetry.metadata.tags": ["beta"],
                "ai.prompt": json.dumps({"system": "Be kind.", "messages": CHAT_IN[1:]}),
                "ai.response.text": ANSWER,
                "ai.usage.inputTokens": 99,
                "ai.usage.outputTokens": 31,
            },
        ),
        one(
            *(2, 1, "ai.streamText.doStream"),
            {
                "ai.operationId": "ai.streamText.doStream",
                "ai.telemetry.metadata.sessionId": "conversation-7",
                "ai.model.id": "gpt-4o",
                "ai.model.provider": "openai.chat",
                "ai.usage.inputTokens": 99,
                "ai.usage.outputTokens": 31,
                "ai.usage.totalTokens": 130,
                "ai.usage.cachedInputTokens": 9,
                "ai.response.msToFirstChunk": 250.5,
                "gen_ai.system": "openai.chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 99,
                "gen_ai.usage.output_tokens": 31,
            },
        ),
        one(
            *(3, 1, "ai.toolCall"),
            {
                "ai.operationId": "ai.toolCall",
                "ai.telemetry.metadata.sessionId": "conversation-7",
                "ai.toolCall.name": "track",
                "ai.toolCall.args": '{"order": 1}',
            },
        ),
    ],
    "ai.telemetry.metadata.sessionId",
    (99, 31, 130),
    "gpt-4o",
    cached=(9, 0),
    tools={"track": 1},
    providers=["openai.chat"],
    users=["ann"],
    first_token=250_500_000,
)

MLFLOW = Case(
    "MLflow",
    [
        one(
            *(1, 0, "predict"),
            {
                "mlflow.spanType": '"AGENT"',
                "mlflow.trace.session": '"conversation-7"',
                "mlflow.trace.user": '"ann"',
                "mlflow.spanInputs": json.dumps({"messages": CHAT_IN}),
                "mlflow.spanOutputs": json.dumps(CHAT_OUT),
                "mlflow.chat.tokenUsage": '{"input_tokens": 50, "output_tokens": 8, "total_tokens": 58}',
            },
        ),
        one(
            *(2, 1, "Completions"),
            {
                "mlflow.spanType": '"CHAT_MODEL"',
                "mlflow.llm.model": '"gpt-4o-mini"',
                "mlflow.llm.provider": '"openai"',
                "mlflow.chat.tokenUsage": json.dumps(
                    {"input_tokens": 50, "output_tokens": 8, "total_tokens": 58, "cache_read_input_tokens": 5}
                ),
            },
        ),
        one(3, 1, "lookup", {"mlflow.spanType": '"TOOL"'}),
    ],
    "mlflow.trace.session",
    (50, 8, 58),
    "gpt-4o-mini",
    cached=(5, 0),
    tools={"lookup": 1},
    providers=["openai"],
    users=["ann"],
)

ADK = Case(
    "Google ADK",
    [
        one(1, 0, "invocation", {}),
        one(
            *(2, 1, "invoke_agent helper"),
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "helper",
                "gen_ai.conversation.id": "conversation-7",
                "gcp.vertex.agent.session_id": "conversation-7",
            },
        ),
        one(
            *(3, 2, "call_llm"),
            {
                "gen_ai.system": "gcp.vertex.agent",
                "gen_ai.request.model": "gemini-2.5-flash",
                "gcp.vertex.agent.session_id": "conversation-7",
                "gcp.vertex.agent.llm_request": json.dumps(
                    {"model": "gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": QUESTION}]}]}
                ),
                "gcp.vertex.agent.llm_response": json.dumps(
                    {"content": {"role": "model", "parts": [{"text": ANSWER}]}}
                ),
                "gen_ai.usage.input_tokens": 70,
                "gen_ai.usage.output_tokens": 12,
            },
        ),
        one(
            *(4, 2, "execute_tool track"),
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "track",
                "gcp.vertex.agent.session_id": "conversation-7",
                "gcp.vertex.agent.llm_request": "{}",
            },
        ),
    ],
    "gcp.vertex.agent.session_id",
    (70, 12, 82),
    "gemini-2.5-flash",
    tools={"track": 1},
    providers=["gcp.vertex.agent"],
    agents=["helper"],
    conversations=["conversation-7"],
)

WEAVE = Case(
    "Weave",
    [
        one(
            *(1, 0, "turn"),
            {
                "wandb.thread_id": "conversation-7",
                "wandb.is_turn": True,
                "input.value": QUESTION,
                "output.value": ANSWER,
                "openinference.span.kind": "CHAIN",
            },
        ),
        one(
            *(2, 1, "chat gpt-4o"),
            {
                "wandb.thread_id": "conversation-7",
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 6,
            },
        ),
    ],
    "wandb.thread_id",
    (40, 6, 46),
    "gpt-4o-2024-08-06",
    providers=["openai"],
    conversations=["conversation-7"],
)

DATADOG = Case(
    "Datadog",
    [
        one(
            *(1, 0, "support"),
            {
                "_ml_obs.meta.span.kind": "workflow",
                "_ml_obs.session_id": "conversation-7",
                "_ml_obs.meta.input.value": QUESTION,
                "_ml_obs.meta.output.value": ANSWER,
            },
        ),
        one(
            *(2, 1, "openai.request"),
            {
                "_ml_obs.meta.span.kind": "llm",
                "_ml_obs.meta.model_name": "gpt-4o",
                "_ml_obs.meta.model_provider": "openai",
                "_ml_obs.metrics": '{"input_tokens": 33, "output_tokens": 4, "total_tokens": 37}',
            },
        ),
    ],
    "_ml_obs.session_id",
    (33, 4, 37),
    "gpt-4o",
    providers=["openai"],
)

CLAUDE_CODE = Case(
    "Claude Code",
    [
        one(
            *(1, 0, "claude_code.interaction"),
            {"span.type": "interaction", "session.id": "conversation-7", "user.id": "ann", "user_prompt": QUESTION},
        ),
        one(
            *(2, 1, "claude_code.llm_request"),
            {
                "span.type": "llm_request",
                "session.id": "conversation-7",
                "model": "\x1b[1mclaude-sonnet-5\x1b[22m",
                "input_tokens": 12,
                "output_tokens": 90,
                "cache_read_tokens": 5000,
                "cache_creation_tokens": 300,
                "ttft_ms": 640,
                "output.value": ANSWER,
            },
        ),
        one(3, 1, "claude_code.tool", {"span.type": "tool", "session.id": "conversation-7", "tool_name": "Bash"}),
        one(4, 3, "claude_code.tool.execution", {"span.type": "tool.execution", "session.id": "conversation-7"}),
    ],
    "session.id",
    (5312, 90, 5402),
    "claude-sonnet-5",
    cached=(5000, 300),
    tools={"Bash": 1},
    users=["ann"],
    first_token=640_000_000,
)

OPENLIT = Case(
    "OpenLIT",
    [
        one(
            *(1, 0, "chat claude-sonnet-5"),
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.system": "anthropic",
                "gen_ai.request.model": "claude-sonnet-5",
                "gen_ai.conversation.id": "conversation-7",
                "gen_ai.usage.input_tokens": 900,
                "gen_ai.usage.output_tokens": 50,
                "gen_ai.usage.total_tokens": 950,
                "gen_ai.usage.cache_read_input_tokens": 400,
                "gen_ai.server.time_to_first_token": 0.5,
                "gen_ai.input.messages": json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
                ),
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]
                ),
            },
        )
    ],
    "gen_ai.conversation.id",
    (1300, 50, 1350),
    "claude-sonnet-5",
    resource={"telemetry.sdk.name": "openlit"},
    cached=(400, 0),
    providers=["anthropic"],
    conversations=["conversation-7"],
    first_token=500_000_000,
)

LANGFUSE_LANGCHAIN = Case(
    "Langfuse, from LangChain's callback",
    [
        one(
            *(1, 0, "agent"),
            {
                "langfuse.observation.type": "agent",
                "session.id": "conversation-7",
                "user.id": "ann",
                "langfuse.observation.input": json.dumps({"messages": CHAT_IN}),
                "langfuse.observation.output": json.dumps({"messages": CHAT_OUT}),
            },
        ),
        one(
            *(2, 1, "ChatAnthropic"),
            {
                "langfuse.observation.type": "generation",
                "session.id": "conversation-7",
                "langfuse.observation.model.name": "claude-sonnet-5",
                "langfuse.observation.completion_start_time": '"2025-06-15T15:06:43.250000Z"',
                "langfuse.observation.usage_details": json.dumps(
                    {"input": 10, "output": 5, "total": 121, "input_cache_read": 100, "output_reasoning": 6}
                ),
            },
        ),
    ],
    "session.id",
    (110, 11, 121),
    "claude-sonnet-5",
    cached=(100, 0),
    users=["ann"],
    first_token=1_250_000_000,
)

CASES = [LANGSMITH, VERCEL, MLFLOW, ADK, WEAVE, DATADOG, CLAUDE_CODE, OPENLIT, LANGFUSE_LANGCHAIN]


def facts_of(case: Case) -> list[SpanFacts]:
    extraction = extraction_of(request(*reversed(case.spans), resource=case.resource))
    [(key, items)] = items_of(extraction).items()
    assert key == SessionKey("default", case.session_id)
    assert case.source in sources(extraction)
    return [item for item in items if isinstance(item, SpanFacts)]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_trace_gives_its_session_tokens_tools_and_texts(case: Case) -> None:
    facts = facts_of(case)

    turn, window = turn_totals(facts), window_totals(facts)

    assert len(facts) == len(case.spans)
    usage = turn.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == case.tokens
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == case.cached
    assert (usage.llm_call_count, turn.tool_call_count) == (case.calls, sum(case.tools.values()))
    assert (window.models, window.tool_calls_by_tool) == ([case.model], case.tools)
    assert list(window.models_by_provider) == case.providers
    assert (turn.user_ids, turn.agent_names, turn.conversation_ids) == (case.users, case.agents, case.conversations)
    assert turn.time_to_first_token_ns == case.first_token
    assert (turn.input, turn.output) == case.texts
