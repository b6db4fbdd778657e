"""Every attribute name that is read, in order of precedence: one table, pure data.

The first name whose value is usable wins, on the span and then, where a meaning says so, on its
resource. `name{key}` is the member `key` of a JSON object held by the attribute `name`;
`name.*` is every attribute whose name begins with `name.`. The documentation is made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """What an attribute tells. The values are the keys of the documentation table."""

    PROJECT = "project"
    SESSION_ID = "session_id"
    PREVIOUS_SESSION_ID = "previous_session_id"
    CONVERSATION_ID = "conversation_id"
    USER_ID = "user_id"
    SERVICE = "service"
    ENVIRONMENT = "environment"
    AGENT = "agent"
    TAGS = "tags"
    SESSION_ATTRIBUTES = "session_attributes"
    METADATA = "metadata"
    SPAN_KIND = "span_kind"
    MODEL = "model"
    PROVIDER = "provider"
    PROMPT_TOKENS = "prompt_tokens"
    COMPLETION_TOKENS = "completion_tokens"
    TOTAL_TOKENS = "total_tokens"
    CACHE_READ_TOKENS = "cache_read_tokens"
    CACHE_WRITE_TOKENS = "cache_write_tokens"
    REASONING_TOKENS = "reasoning_tokens"
    PROMPT_COST = "prompt_cost"
    COMPLETION_COST = "completion_cost"
    TOTAL_COST = "total_cost"
    TOOL = "tool"
    INPUT = "input"
    OUTPUT = "output"
    TIME_TO_FIRST_TOKEN = "time_to_first_token"  # noqa: S105 - a token of a model
    ERROR_TEXT = "error_text"


@dataclass(frozen=True, slots=True)
class Names:
    """Where one meaning is read: names in order of precedence, and whether resources may hold it."""

    names: tuple[str, ...]
    on_resource: bool = False
    note: str = ""


TABLE: Mapping[Meaning, Names] = {
    Meaning.PROJECT: Names(
        ("openinference.project.name",),
        on_resource=True,
        note="Read on the resource only. More names by the setting `project_attributes`; else `default`.",
    ),
    Meaning.SESSION_ID: Names(
        (
            "session.id",
            "langfuse.session.id",
            "gen_ai.session.id",
            "traceloop.association.properties.session_id",
            "ai.telemetry.metadata.sessionId",
            "mlflow.trace.session",
            "mlflow.traceTag.session_id",
            "gcp.vertex.agent.session_id",
            "galileo.session.id",
            "langsmith.metadata.session_id",
            "langsmith.metadata.thread_id",
            "langsmith.metadata.conversation_id",
            "langfuse.trace.metadata.langfuse_session_id",
            "langfuse.observation.metadata.langfuse_session_id",
            "session_id",
            "wandb.thread_id",
            "ai.telemetry.metadata.threadId",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.chat_id",
            "traceloop.association.properties.thread_id",
            "gen_ai.conversation.id",
            "langsmith.trace.session_id",
        ),
        on_resource=True,
        note="Other names and another order by the setting `session_id_attributes`. `litellm.trace_id` is not in the "
        "list: it is a random id per call unless the caller sets it.",
    ),
    Meaning.PREVIOUS_SESSION_ID: Names(("session.previous_id",), on_resource=True),
    Meaning.CONVERSATION_ID: Names(
        ("gen_ai.conversation.id", "langsmith.metadata.conversation_id", "wandb.thread_id"), on_resource=True
    ),
    Meaning.USER_ID: Names(
        (
            "user.id",
            "langfuse.user.id",
            "enduser.id",
            "traceloop.association.properties.user_id",
            "ai.telemetry.metadata.userId",
            "langsmith.metadata.user_id",
            "mlflow.trace.user",
            "gen_ai.request.user",
            "llm.user",
        ),
        on_resource=True,
    ),
    Meaning.SERVICE: Names(("service.name",), on_resource=True, note="Read on the resource only."),
    Meaning.ENVIRONMENT: Names(
        ("deployment.environment.name", "deployment.environment", "langfuse.environment"), on_resource=True
    ),
    Meaning.AGENT: Names(
        (
            "gen_ai.agent.name",
            "agent.name",
            "gen_ai.workflow.name",
            "traceloop.workflow.name",
            "traceloop.entity.name",
        ),
        on_resource=True,
    ),
    Meaning.TAGS: Names(
        ("tag.tags", "langfuse.trace.tags", "langfuse.tags", "ai.telemetry.metadata.tags", "langsmith.span.tags"),
        on_resource=True,
        note="A list, a JSON list or text with commas.",
    ),
    Meaning.SESSION_ATTRIBUTES: Names(
        ("session.*",),
        on_resource=True,
        note="All but `session.id`, `session.previous_id`, `session.annotations.*` and `session.evaluations.*`.",
    ),
    Meaning.METADATA: Names(
        (
            "metadata",
            "metadata.*",
            "langfuse.trace.metadata",
            "langfuse.trace.metadata.*",
            "traceloop.association.properties.*",
            "langsmith.metadata.*",
            "ai.telemetry.metadata.*",
        ),
        on_resource=True,
        note="Each key for itself. Names that another row reads are not metadata.",
    ),
    Meaning.SPAN_KIND: Names(
        (
            "openinference.span.kind",
            "gen_ai.operation.name",
            "langfuse.observation.type",
            "traceloop.span.kind",
            "langsmith.span.kind",
            "ai.operationId",
            "llm.request.type",
        ),
        note="The first that is present decides, whatever it says.",
    ),
    Meaning.MODEL: Names(
        (
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.model_name",
            "langfuse.observation.model.name",
            "ai.response.model",
            "ai.model.id",
            "embedding.model_name",
            "reranker.model_name",
            "llm.response.model",
            "model",
        ),
        on_resource=True,
    ),
    Meaning.PROVIDER: Names(
        ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"), on_resource=True
    ),
    Meaning.PROMPT_TOKENS: Names(
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.promptTokens",
            "ai.usage.inputTokens",
            "langfuse.observation.usage_details{input}",
            "mlflow.chat.tokenUsage{input_tokens}",
        )
    ),
    Meaning.COMPLETION_TOKENS: Names(
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.completionTokens",
            "ai.usage.outputTokens",
            "langfuse.observation.usage_details{output}",
            "mlflow.chat.tokenUsage{output_tokens}",
        )
    ),
    Meaning.TOTAL_TOKENS: Names(
        (
            "llm.token_count.total",
            "gen_ai.usage.total_tokens",
            "llm.usage.total_tokens",
            "ai.usage.tokens",
            "ai.usage.totalTokens",
            "langfuse.observation.usage_details{total}",
            "mlflow.chat.tokenUsage{total_tokens}",
        ),
        note="Absent: prompt + completion.",
    ),
    Meaning.CACHE_READ_TOKENS: Names(
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_tokens",
            "llm.token_count.prompt_details.cache_read",
            "ai.usage.cachedInputTokens",
        )
    ),
    Meaning.CACHE_WRITE_TOKENS: Names(
        (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
        )
    ),
    Meaning.REASONING_TOKENS: Names(
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.reasoningTokens",
        )
    ),
    Meaning.PROMPT_COST: Names(("llm.cost.prompt", "langfuse.observation.cost_details{input}")),
    Meaning.COMPLETION_COST: Names(("llm.cost.completion", "langfuse.observation.cost_details{output}")),
    Meaning.TOTAL_COST: Names(
        ("llm.cost.total", "gen_ai.usage.cost", "langfuse.observation.cost_details{total}"),
        note="US dollars. `llm.cost.prompt` + `llm.cost.completion` come before `gen_ai.usage.cost`; "
        "the members of `cost_details` after its total.",
    ),
    Meaning.TOOL: Names(("gen_ai.tool.name", "tool.name", "ai.toolCall.name")),
    Meaning.INPUT: Names(
        (
            "input.value",
            "gen_ai.input.messages",
            "langfuse.trace.input",
            "langfuse.observation.input",
            "traceloop.entity.input",
            "ai.prompt",
            "gen_ai.prompt",
            "llm.input_messages.*",
            "gen_ai.prompt.*",
        ),
        note="Of root spans. Of a list of messages: the last one of the user, else the last.",
    ),
    Meaning.OUTPUT: Names(
        (
            "output.value",
            "gen_ai.output.messages",
            "langfuse.trace.output",
            "langfuse.observation.output",
            "traceloop.entity.output",
            "ai.response.text",
            "gen_ai.completion",
            "llm.output_messages.*",
            "gen_ai.completion.*",
        ),
        note="Of root spans. Of a list of messages: the last.",
    ),
    Meaning.TIME_TO_FIRST_TOKEN: Names(
        (
            "gen_ai.response.time_to_first_chunk",
            "ai.response.msToFirstChunk",
            "langfuse.observation.completion_start_time",
        ),
        note="Seconds, milliseconds, and a time (ISO 8601) from which the span's start is taken away.",
    ),
    Meaning.ERROR_TEXT: Names(
        ("error.type", "langfuse.observation.status_message"),
        note="Of spans with status code ERROR: status message, event `exception`, then these.",
    ),
}


SESSION_END = "session.end"
"""Name of the span or span event that ends its session."""

NO_SESSION_ATTRIBUTES = ("session.id", "session.previous_id")
NO_SESSION_ATTRIBUTE_PREFIXES = ("session.annotations.", "session.evaluations.")
