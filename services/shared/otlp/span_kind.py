"""Span kinds of every convention, mapped to those of OpenInference."""

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """OpenInference's span kinds, to which those of other conventions are mapped."""

    LLM = "LLM"
    EMBEDDING = "EMBEDDING"
    RERANKER = "RERANKER"
    CHAIN = "CHAIN"
    RETRIEVER = "RETRIEVER"
    TOOL = "TOOL"
    AGENT = "AGENT"
    GUARDRAIL = "GUARDRAIL"
    EVALUATOR = "EVALUATOR"
    PROMPT = "PROMPT"
    UNKNOWN = "UNKNOWN"


MODEL_CALLS = frozenset({Kind.LLM, Kind.EMBEDDING, Kind.RERANKER})
"""Kinds whose tokens and cost count. Every other kind repeats what its children used."""

KINDS: Mapping[str, Mapping[str, Kind]] = {
    "openinference.span.kind": {kind.value.lower(): kind for kind in Kind},
    "gen_ai.operation.name": {
        "chat": Kind.LLM,
        "generate_content": Kind.LLM,
        "text_completion": Kind.LLM,
        "embeddings": Kind.EMBEDDING,
        "retrieval": Kind.RETRIEVER,
        "create_agent": Kind.AGENT,
        "invoke_agent": Kind.AGENT,
        "execute_tool": Kind.TOOL,
        "invoke_workflow": Kind.CHAIN,
        "plan": Kind.CHAIN,
    },
    "langfuse.observation.type": {
        "generation": Kind.LLM,
        "embedding": Kind.EMBEDDING,
        "span": Kind.CHAIN,
        "event": Kind.CHAIN,
        "chain": Kind.CHAIN,
        "agent": Kind.AGENT,
        "tool": Kind.TOOL,
        "retriever": Kind.RETRIEVER,
        "guardrail": Kind.GUARDRAIL,
        "evaluator": Kind.EVALUATOR,
    },
    "traceloop.span.kind": {
        "workflow": Kind.CHAIN,
        "task": Kind.CHAIN,
        "agent": Kind.AGENT,
        "tool": Kind.TOOL,
    },
    "langsmith.span.kind": {
        "llm": Kind.LLM,
        "embedding": Kind.EMBEDDING,
        "chain": Kind.CHAIN,
        "parser": Kind.CHAIN,
        "tool": Kind.TOOL,
        "retriever": Kind.RETRIEVER,
        "prompt": Kind.PROMPT,
    },
    "ai.operationId": {
        "ai.generatetext.dogenerate": Kind.LLM,
        "ai.streamtext.dostream": Kind.LLM,
        "ai.generateobject.dogenerate": Kind.LLM,
        "ai.streamobject.dostream": Kind.LLM,
        "ai.embed.doembed": Kind.EMBEDDING,
        "ai.embedmany.doembed": Kind.EMBEDDING,
        "ai.rerank.dorerank": Kind.RERANKER,
        "ai.generatetext": Kind.CHAIN,
        "ai.streamtext": Kind.CHAIN,
        "ai.generateobject": Kind.CHAIN,
        "ai.streamobject": Kind.CHAIN,
        "ai.embed": Kind.CHAIN,
        "ai.embedmany": Kind.CHAIN,
        "ai.rerank": Kind.CHAIN,
        "ai.toolcall": Kind.TOOL,
    },
    "mlflow.spanType": {
        "llm": Kind.LLM,
        "chat_model": Kind.LLM,
        "embedding": Kind.EMBEDDING,
        "reranker": Kind.RERANKER,
        "chain": Kind.CHAIN,
        "parser": Kind.CHAIN,
        "memory": Kind.CHAIN,
        "agent": Kind.AGENT,
        "tool": Kind.TOOL,
        "retriever": Kind.RETRIEVER,
        "guardrail": Kind.GUARDRAIL,
        "evaluator": Kind.EVALUATOR,
    },
    "llm.request.type": {
        "chat": Kind.LLM,
        "completion": Kind.LLM,
        "embedding": Kind.EMBEDDING,
        "rerank": Kind.RERANKER,
    },
    "span.type": {
        "llm_request": Kind.LLM,
        "llm": Kind.LLM,
        "interaction": Kind.AGENT,
        "tool": Kind.TOOL,
        "tool.execution": Kind.CHAIN,
        "tool.blocked_on_user": Kind.CHAIN,
        "hook": Kind.CHAIN,
    },
    "_ml_obs.meta.span.kind": {
        "llm": Kind.LLM,
        "embedding": Kind.EMBEDDING,
        "agent": Kind.AGENT,
        "workflow": Kind.CHAIN,
        "task": Kind.CHAIN,
        "tool": Kind.TOOL,
        "retrieval": Kind.RETRIEVER,
    },
}
"""What each convention's words mean, in lower case. A word that is not here is `UNKNOWN`: no model call."""
