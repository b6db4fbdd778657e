"""Every attribute name that is read, in order of precedence: one table, pure data.

The first name whose value is usable wins, on the span and then, where a meaning says so, on its
resource. `name{key}` is the member `key` of a JSON object (text or map) held by the attribute
`name`, `name{a.b}` the member `b` of its member `a` where it has no member `a.b`; `name.*` is every
attribute whose name begins with `name.`. The documentation (services/shared/ATTRIBUTES.md) is made from it.
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
    ANNOTATIONS = "annotations"
    INPUT = "input"
    OUTPUT = "output"
    TIME_TO_FIRST_TOKEN = "time_to_first_token"  # noqa: S105 - a token of a model
    ERROR_TEXT = "error_text"


@dataclass(frozen=True, slots=True)
class Names:
    """Where one meaning is read: names in order of precedence, and whether resources may hold it.

    `limit` says what is kept of it.
    """

    names: tuple[str, ...]
    on_resource: bool = False
    note: str = ""
    limit: str = ""


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
            "_ml_obs.session_id",
            "wandb.thread_id",
            "ai.telemetry.metadata.threadId",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.chat_id",
            "traceloop.association.properties.thread_id",
            "gen_ai.conversation.id",
            "langsmith.trace.session_id",
        ),
        on_resource=True,
        note="Other names and another order by the setting `session_id_attributes`; a path finds an id inside a JSON "
        "attribute: `metadata{requester_metadata.session_id}`. `litellm.trace_id` is not in the list: it is a random "
        "id per call unless the caller sets it. `spanloom_session_id_source_total` tells which name ids came from.",
        limit="256 characters after trimming; longer ids are none (Langfuse drops ids over 200)",
    ),
    Meaning.PREVIOUS_SESSION_ID: Names(("session.previous_id",), on_resource=True, limit="256 characters"),
    Meaning.CONVERSATION_ID: Names(
        ("gen_ai.conversation.id", "langsmith.metadata.conversation_id", "wandb.thread_id"),
        on_resource=True,
        note="Kept beside the session id: an agent inside a session may have a conversation of its own.",
        limit="256 characters, the rest is cut; of a window 16 KB",
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
            "gcp.vertex.agent.user_id",
        ),
        on_resource=True,
        note="More names, tried first, by the setting `dimension_attributes`, paths into JSON attributes included.",
        limit="256 characters, the rest is cut (Langfuse drops ids over 200); of a window 16 KB",
    ),
    Meaning.SERVICE: Names(
        ("service.name",), on_resource=True, note="Read on the resource only.", limit="256 characters"
    ),
    Meaning.ENVIRONMENT: Names(
        ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
        on_resource=True,
        note="The last writer by event time.",
        limit="256 characters",
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
        limit="256 characters; of a window 16 KB",
    ),
    Meaning.TAGS: Names(
        ("tag.tags", "langfuse.trace.tags", "langfuse.tags", "ai.telemetry.metadata.tags", "langsmith.span.tags"),
        on_resource=True,
        note="A list, a JSON list or text with commas. The union over all spans.",
        limit="64 of a span, 1,024 characters each; of a window 16 KB",
    ),
    Meaning.SESSION_ATTRIBUTES: Names(
        ("session.*",),
        on_resource=True,
        note="All but `session.id`, `session.previous_id`, `session.annotations.*` and `session.evaluations.*`. Each "
        "for itself: the last writer by event time. Others by the setting `dimension_attributes`.",
        limit="64 of a span, 1,024 characters each; of a window 32 KB",
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
        note="Each key for itself: the last writer by event time. Names that another row reads are not metadata.",
        limit="64 of a span, 1,024 characters each; of a window 32 KB",
    ),
    Meaning.SPAN_KIND: Names(
        (
            "openinference.span.kind",
            "gen_ai.operation.name",
            "langfuse.observation.type",
            "traceloop.span.kind",
            "langsmith.span.kind",
            "ai.operationId",
            "mlflow.spanType",
            "llm.request.type",
            "span.type",
            "_ml_obs.meta.span.kind",
        ),
        note="The first that is present decides, whatever it says. Without any, a span with a model and usage is a "
        "model call.",
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
            "mlflow.llm.model",
            "_ml_obs.meta.model_name",
            "model",
        ),
        on_resource=True,
        note="Of model calls. Colours of a terminal are taken out (Claude Code).",
        limit="256 characters; of a window 32 KB with its sums",
    ),
    Meaning.PROVIDER: Names(
        (
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            "mlflow.llm.provider",
            "_ml_obs.meta.model_provider",
        ),
        on_resource=True,
        note="Of model calls.",
        limit="256 characters; of a window 16 KB with their models",
    ),
    Meaning.PROMPT_TOKENS: Names(
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.promptTokens",
            "ai.usage.inputTokens",
            "langfuse.observation.usage_details{prompt_tokens}",
            "langfuse.observation.usage_details{input_tokens}",
            "langfuse.observation.usage_details{input}",
            "mlflow.chat.tokenUsage{input_tokens}",
            "input_tokens",
            "_ml_obs.metrics{input_tokens}",
        ),
        note="With cached ones. `usage_details{input}` and `input_tokens` (Claude Code) leave these out, and so does "
        "OpenLIT for Claude: there they are added, and wherever fewer tokens are named than were cached.",
    ),
    Meaning.COMPLETION_TOKENS: Names(
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.completionTokens",
            "ai.usage.outputTokens",
            "langfuse.observation.usage_details{completion_tokens}",
            "langfuse.observation.usage_details{output_tokens}",
            "langfuse.observation.usage_details{output}",
            "mlflow.chat.tokenUsage{output_tokens}",
            "output_tokens",
            "_ml_obs.metrics{output_tokens}",
        ),
        note="With those of reasoning. `usage_details{output}` leaves them out: there they are added.",
    ),
    Meaning.TOTAL_TOKENS: Names(
        (
            "llm.token_count.total",
            "gen_ai.usage.total_tokens",
            "llm.usage.total_tokens",
            "ai.usage.tokens",
            "ai.usage.totalTokens",
            "langfuse.observation.usage_details{total_tokens}",
            "langfuse.observation.usage_details{total}",
            "mlflow.chat.tokenUsage{total_tokens}",
            "_ml_obs.metrics{total_tokens}",
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
            "gen_ai.usage.input_token_details{cache_read}",
            "langfuse.observation.usage_details{prompt_tokens_details.cached_tokens}",
            "langfuse.observation.usage_details{input_tokens_details.cached_tokens}",
            "langfuse.observation.usage_details{input_cached_tokens}",
            "langfuse.observation.usage_details{input_cache_read}",
            "langfuse.observation.usage_details{cache_read_input_tokens}",
            "mlflow.chat.tokenUsage{cache_read_input_tokens}",
            "cache_read_tokens",
            "_ml_obs.metrics{cache_read_input_tokens}",
        )
    ),
    Meaning.CACHE_WRITE_TOKENS: Names(
        (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "gen_ai.usage.input_token_details{cache_creation}",
            "langfuse.observation.usage_details{input_cache_creation}",
            "langfuse.observation.usage_details{cache_creation_input_tokens}",
            "mlflow.chat.tokenUsage{cache_creation_input_tokens}",
            "cache_creation_tokens",
            "_ml_obs.metrics{cache_write_input_tokens}",
        )
    ),
    Meaning.REASONING_TOKENS: Names(
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.reasoningTokens",
            "gen_ai.usage.output_token_details{reasoning}",
            "langfuse.observation.usage_details{completion_tokens_details.reasoning_tokens}",
            "langfuse.observation.usage_details{output_tokens_details.reasoning_tokens}",
            "langfuse.observation.usage_details{output_reasoning_tokens}",
            "langfuse.observation.usage_details{output_reasoning}",
        )
    ),
    Meaning.PROMPT_COST: Names(("llm.cost.prompt", "langfuse.observation.cost_details{input}")),
    Meaning.COMPLETION_COST: Names(("llm.cost.completion", "langfuse.observation.cost_details{output}")),
    Meaning.TOTAL_COST: Names(
        ("llm.cost.total", "gen_ai.usage.cost", "operation.cost", "langfuse.observation.cost_details{total}"),
        note="US dollars. `llm.cost.prompt` + `llm.cost.completion` come before `gen_ai.usage.cost`; "
        "the members of `cost_details` after its total.",
    ),
    Meaning.TOOL: Names(
        ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "tool_name"),
        note="Of tool calls; without a name that of the span.",
        limit="256 characters; of a window 16 KB with the number of calls",
    ),
    Meaning.INPUT: Names(
        (
            "input.value",
            "gen_ai.input.messages",
            "langfuse.trace.input",
            "langfuse.observation.input",
            "traceloop.entity.input",
            "ai.prompt",
            "gen_ai.prompt",
            "mlflow.spanInputs",
            "pydantic_ai.all_messages",
            "gcp.vertex.agent.llm_request",
            "user_prompt",
            "_ml_obs.meta.input.messages",
            "_ml_obs.meta.input.value",
            "llm.input_messages.*",
            "gen_ai.prompt.*",
        ),
        note="Of root spans; of a turn whose roots have none, that of the span that began first, tool calls apart. Of "
        "a list of messages: the last one of the user, else the last.",
        limit="1,024 characters",
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
            "mlflow.spanOutputs",
            "final_result",
            "gcp.vertex.agent.llm_response",
            "_ml_obs.meta.output.messages",
            "_ml_obs.meta.output.value",
            "llm.output_messages.*",
            "gen_ai.completion.*",
        ),
        note="Of root spans; of a turn whose roots have none, that of the span that ended last, tool calls apart. Of a "
        "list of messages: the last.",
        limit="1,024 characters",
    ),
    Meaning.TIME_TO_FIRST_TOKEN: Names(
        (
            "gen_ai.response.time_to_first_chunk",
            "ai.response.msToFirstChunk",
            "langfuse.observation.completion_start_time",
            "gen_ai.server.time_to_first_token",
            "gen_ai.latency.time_to_first_token",
            "ttft_ms",
        ),
        note="Seconds; of `ai.response.msToFirstChunk` and `ttft_ms` milliseconds; of `completion_start_time` a time "
        "(ISO 8601) from which the span's start is taken away.",
    ),
    Meaning.ERROR_TEXT: Names(
        ("error.type", "langfuse.observation.status_message"),
        note="Of spans with status code ERROR: status message, event `exception`, then these.",
        limit="1,024 characters",
    ),
    Meaning.ANNOTATIONS: Names(
        (
            "session.annotations.*",
            "session.evaluations.*",
            "trace.annotations.*",
            "trace.evaluations.*",
            "annotations.*",
            "evaluations.*",
        ),
        note="`<form>.<i>.annotation.<field>` (`evaluation` for the forms that end so): `name`, `score`, `label`, "
        "`explanation`, `annotator_kind`, `identifier`, `metadata`. Of the session, of the trace, of the span; on an "
        "`EVALUATOR` span with one Span Link of the trace and the span that it links to; without a session id such a "
        "root is of that trace's session. Events `gen_ai.evaluation.result` annotate their span.",
        limit="32 of a span, 16,384 characters in all",
    ),
}


SESSION_END = "session.end"
"""Name of the span or span event that ends its session."""

ANNOTATION_PREFIXES = tuple(name.removesuffix("*") for name in TABLE[Meaning.ANNOTATIONS].names)

EVALUATION_EVENT = "gen_ai.evaluation.result"
"""Name of the span event that annotates its span."""

CACHE_APART_SDKS = frozenset({"openlit"})
"""Values of the resource attribute `telemetry.sdk.name` under which Claude's prompt tokens leave out cached ones."""

NO_SESSION_ATTRIBUTES = ("session.id", "session.previous_id")
