"""PURE: the JSON of answers. The order of the fields is the order on the wire.

`SessionData`, `TraceData` and `ProjectData` are Phoenix's, field by field. `SessionSummary` and
`TurnData` are ours: times with nanoseconds, money as decimal strings of US dollars.
"""

from typing_extensions import TypedDict

from services.query_api import ids
from services.query_api.instants import iso, iso_nanoseconds
from services.query_api.session import Session, Turn
from services.shared.model.rollup import Usage, WindowRollup
from services.shared.records.rollups import dollars


class ProjectData(TypedDict):
    name: str
    description: str | None
    id: str


class TraceData(TypedDict):
    id: str
    trace_id: str
    start_time: str
    end_time: str


class SessionData(TypedDict):
    id: str
    session_id: str
    project_id: str
    start_time: str
    end_time: str
    traces: list[TraceData]
    token_count_prompt: int
    token_count_completion: int
    token_count_total: int


class UsageData(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    prompt_cost: str
    completion_cost: str
    total_cost: str
    llm_call_count: int
    unpriced_call_count: int


class WindowData(TypedDict):
    window_id: str
    version: int
    state: str
    close_reason: str
    is_late: bool
    start_time: str
    end_time: str
    turn_count: int
    span_count: int
    total_tokens: int
    total_cost: str


class SessionSummary(TypedDict):
    id: str
    session_id: str
    project_id: str
    project: str
    state: str
    close_reason: str
    start_time: str
    end_time: str
    first_seen_time: str
    duration_ns: int
    active_ns: int
    turn_latency_ns: dict[str, int]
    turn_count: int
    error_turn_count: int
    span_count: int
    tool_call_count: int
    error_count: int
    late_span_count: int
    duplicate_span_count: int
    usage: UsageData
    total_tokens_by_model: dict[str, int]
    prompt_tokens_by_model: dict[str, int]
    completion_tokens_by_model: dict[str, int]
    total_cost_by_model: dict[str, str]
    prompt_cost_by_model: dict[str, str]
    completion_cost_by_model: dict[str, str]
    user_ids: list[str]
    environment: str
    service_names: list[str]
    agent_names: list[str]
    models: list[str]
    tags: list[str]
    session_attributes: dict[str, str]
    metadata: dict[str, str]
    conversation_ids: list[str]
    models_by_provider: dict[str, list[str]]
    tool_calls_by_tool: dict[str, int]
    first_input: str
    last_output: str
    last_error: str
    windows: list[WindowData]


class TurnData(TypedDict):
    id: str
    trace_id: str
    window_ids: list[str]
    start_time: str
    end_time: str
    duration_ns: int
    root_span_id: str
    root_name: str
    has_error: bool
    error_count: int
    model: str
    span_count: int
    tool_call_count: int
    usage: UsageData
    time_to_first_token_ns: int | None
    input: str
    output: str
    user_ids: list[str]
    environment: str
    service_names: list[str]
    agent_names: list[str]
    conversation_ids: list[str]
    tags: list[str]
    session_attributes: dict[str, str]
    metadata: dict[str, str]


def project_data(project: str) -> ProjectData:
    description = "Default project" if project == "default" else None
    return {"name": project, "description": description, "id": ids.project_gid(project)}


def session_data(session: Session) -> SessionData:
    """Phoenix's total is prompt + completion; the total that spans name is in the summary."""
    usage = session.usage
    return {
        "id": ids.session_gid(session.key),
        "session_id": session.key.session_id,
        "project_id": ids.project_gid(session.key.project),
        "start_time": iso(session.started_at),
        "end_time": iso(session.ended_at),
        "traces": [
            {
                "id": ids.trace_gid(turn.trace_id),
                "trace_id": turn.trace_id,
                "start_time": iso(turn.started_at),
                "end_time": iso(turn.ended_at),
            }
            for turn in session.turns
        ],
        "token_count_prompt": usage.prompt_tokens,
        "token_count_completion": usage.completion_tokens,
        "token_count_total": usage.prompt_tokens + usage.completion_tokens,
    }


def session_summary(session: Session) -> SessionSummary:
    return {
        "id": ids.session_gid(session.key),
        "session_id": session.key.session_id,
        "project_id": ids.project_gid(session.key.project),
        "project": session.key.project,
        "state": session.state.value,
        "close_reason": session.close_reason.value,
        "start_time": iso_nanoseconds(session.started_at),
        "end_time": iso_nanoseconds(session.ended_at),
        "first_seen_time": iso_nanoseconds(session.first_seen_at),
        "duration_ns": session.ended_at - session.started_at,
        "active_ns": session.active_ns,
        "turn_latency_ns": session.turn_latency_ns,
        "turn_count": session.turn_count,
        "error_turn_count": session.error_turn_count,
        "span_count": session.span_count,
        "tool_call_count": session.tool_call_count,
        "error_count": session.error_count,
        "late_span_count": session.late_span_count,
        "duplicate_span_count": session.duplicate_span_count,
        "usage": _usage_data(session.usage),
        "total_tokens_by_model": session.total_tokens_by_model,
        "prompt_tokens_by_model": session.prompt_tokens_by_model,
        "completion_tokens_by_model": session.completion_tokens_by_model,
        "total_cost_by_model": {model: dollars(cost) for model, cost in session.total_cost_by_model.items()},
        "prompt_cost_by_model": {model: dollars(cost) for model, cost in session.prompt_cost_by_model.items()},
        "completion_cost_by_model": {model: dollars(cost) for model, cost in session.completion_cost_by_model.items()},
        "user_ids": session.user_ids,
        "environment": session.environment,
        "service_names": session.service_names,
        "agent_names": session.agent_names,
        "models": session.models,
        "tags": session.tags,
        "session_attributes": session.session_attributes,
        "metadata": session.metadata,
        "conversation_ids": session.conversation_ids,
        "models_by_provider": session.models_by_provider,
        "tool_calls_by_tool": session.tool_calls_by_tool,
        "first_input": session.first_input,
        "last_output": session.last_output,
        "last_error": session.last_error,
        "windows": [_window_data(window) for window in session.windows],
    }


def turn_data(turn: Turn) -> TurnData:
    return {
        "id": ids.trace_gid(turn.trace_id),
        "trace_id": turn.trace_id,
        "window_ids": list(turn.window_ids),
        "start_time": iso_nanoseconds(turn.started_at),
        "end_time": iso_nanoseconds(turn.ended_at),
        "duration_ns": turn.ended_at - turn.started_at,
        "root_span_id": turn.root_span_id,
        "root_name": turn.root_name,
        "has_error": turn.has_error,
        "error_count": turn.error_count,
        "model": turn.model,
        "span_count": turn.span_count,
        "tool_call_count": turn.tool_call_count,
        "usage": _usage_data(turn.usage),
        "time_to_first_token_ns": turn.time_to_first_token_ns,
        "input": turn.input,
        "output": turn.output,
        "user_ids": turn.user_ids,
        "environment": turn.environment,
        "service_names": turn.service_names,
        "agent_names": turn.agent_names,
        "conversation_ids": turn.conversation_ids,
        "tags": turn.tags,
        "session_attributes": turn.session_attributes,
        "metadata": turn.metadata,
    }


def _window_data(window: WindowRollup) -> WindowData:
    return {
        "window_id": window.window_id,
        "version": window.version,
        "state": window.state.value,
        "close_reason": window.close_reason.value,
        "is_late": window.is_late,
        "start_time": iso_nanoseconds(window.window_start),
        "end_time": iso_nanoseconds(window.window_end),
        "turn_count": window.turn_count,
        "span_count": window.span_count,
        "total_tokens": window.usage.total_tokens,
        "total_cost": dollars(window.usage.total_cost),
    }


def _usage_data(usage: Usage) -> UsageData:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "prompt_cost": dollars(usage.prompt_cost),
        "completion_cost": dollars(usage.completion_cost),
        "total_cost": dollars(usage.total_cost),
        "llm_call_count": usage.llm_call_count,
        "unpriced_call_count": usage.unpriced_call_count,
    }
