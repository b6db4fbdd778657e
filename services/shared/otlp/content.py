"""The attributes that hold what was said: prompts, completions, arguments and results of tools, documents.

One switch leaves them out (see `redaction`). Names are patterns: `*` is any text, and a name covers
what is beneath it. Everything that is read as an input or an output is one of them.
"""

from services.shared.semconv import TABLE, Meaning

_READ = (*TABLE[Meaning.INPUT].names, *TABLE[Meaning.OUTPUT].names)

CONTENT_NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(name.partition("{")[0].removesuffix(".*") for name in _READ),
            # OpenInference
            "llm.prompts",
            "llm.completions",
            "llm.choices",
            "llm.prompt_template",
            "llm.function_call",
            "message",
            "message_content",
            "tool.parameters",
            "tool_call.function.arguments",
            "retrieval.documents",
            "document.content",
            "document.metadata",
            "embedding.embeddings",
            "embedding.text",
            "reranker.query",
            "reranker.input_documents",
            "reranker.output_documents",
            "prompt.vendor",
            # OpenTelemetry GenAI, current and old, and those that build on it
            "gen_ai.system_instructions",
            "gen_ai.tool.call.arguments",
            "gen_ai.tool.call.result",
            "gen_ai.retrieval.query.text",
            "gen_ai.retrieval.documents",
            "gen_ai.content.prompt",
            "gen_ai.content.completion",
            "gen_ai.event.content",
            "gen_ai.request.prompt",
            "gen_ai.memory.*",
            # pydantic-ai and Logfire
            "all_messages_events",
            "pydantic_ai.all_messages",
            "final_result",
            "events",
            "tool_arguments",
            "tool_response",
            "request_data",
            "response_data",
            "logfire.msg",
            # Vercel AI SDK
            "ai.prompt",
            "ai.response.text",
            "ai.response.object",
            "ai.response.toolCalls",
            "ai.response.reasoning",
            "ai.result",
            "ai.toolCall.args",
            "ai.toolCall.result",
            "ai.value",
            "ai.values",
            "ai.embedding",
            "ai.embeddings",
            "ai.documents",
            "ai.ranking",
            # Traceloop, MLflow, LangSmith, Weave, Google ADK, Datadog, Claude Code, OpenLIT
            "traceloop.entity.input",
            "traceloop.entity.output",
            "traceloop.prompt.template",
            "traceloop.prompt.template_variables",
            "mlflow.chat.messages",
            "mlflow.traceInputs",
            "mlflow.traceOutputs",
            "mlflow.trace_inputs",
            "mlflow.trace_outputs",
            "inputs",
            "outputs",
            "input",
            "output",
            "weave.input",
            "weave.output",
            "gcp.vertex.agent.tool_call_args",
            "gcp.vertex.agent.tool_response",
            "gcp.vertex.agent.data",
            "_ml_obs.meta.input",
            "_ml_obs.meta.output",
            "meta.input",
            "meta.output",
            "user_prompt",
            "prompt",
            "completion",
            "response",
            "new_context",
            "tool_input",
            "tool_output",
            "tool_parameters",
            "full_command",
            # what went wrong, in the words of whoever wrote it
            "exception.message",
            "exception.stacktrace",
            "error.message",
            "error.stack",
            "langfuse.observation.status_message",
            "status.message",
            # what an evaluator said about the content
            "gen_ai.evaluation.explanation",
            "*annotation.explanation",
            "*evaluation.explanation",
            "eval.explanation",
        )
    )
)

CONTENT_EVENTS = "gen_ai."
"""Events with names that begin so are messages, and their attributes content but for `EVENT_NAMES`."""

EVALUATIONS = "gen_ai.evaluation."
EVENT_NAMES = frozenset(
    {"id", "index", "role", "name", "finish_reason", "event.name", "gen_ai.system", "gen_ai.provider.name"}
)
