"""What Spanloom publishes: windows at a version, turns at a version, retractions.

These dataclasses are the one list of columns: the JSON of the `session_rollups` topic, the
JSON Schema and the ClickHouse tables `session_windows` and `session_turns` have the same
names, and tests compare them. Times are ns since the epoch, money is picodollars here and a
decimal string of US dollars in JSON.
"""

from dataclasses import dataclass, field
from enum import StrEnum

COSTS_BY_MODEL = ("total_cost_by_model", "prompt_cost_by_model", "completion_cost_by_model")
"""Fields of a window that hold money by model."""


class WindowState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a window is closed: the first of these that holds; `NONE` while it is open."""

    MAX_SPANS = "max_spans"
    MAX_DURATION = "max_duration"
    EXPLICIT = "explicit"
    IDLE = "idle"
    INTERRUPTED = "interrupted"  # embedded mode only: open when the process was killed
    NONE = ""


@dataclass(slots=True)
class Usage:
    """Sums over model calls, exact integers. Costs in picodollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_cost: int = 0
    completion_cost: int = 0
    total_cost: int = 0
    llm_call_count: int = 0
    unpriced_call_count: int = 0


@dataclass(slots=True, kw_only=True)
class TurnRollup:
    """One trace inside one window: an upsert by (window, trace) at the version of its last change."""

    project: str
    session_id: str
    window_id: str
    trace_id: str  # 32 hex characters
    opened_at: int  # of the window
    first_seen_at: int  # of the window
    version: int
    is_deleted: bool = False
    root_span_id: str = ""
    root_name: str = ""
    started_at: int = 0
    ended_at: int = 0
    has_error: bool = False
    error_count: int = 0
    model: str = ""
    span_count: int = 0
    tool_call_count: int = 0
    usage: Usage = field(default_factory=Usage)  # flat in JSON and SQL
    time_to_first_token_ns: int | None = None
    input: str = ""
    output: str = ""
    user_ids: list[str] = field(default_factory=list)  # sorted; this and what follows as of the window, of this turn
    environment: str = ""
    service_names: list[str] = field(default_factory=list)
    agent_names: list[str] = field(default_factory=list)
    conversation_ids: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    session_attributes: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class WindowRollup:
    """The totals of one window at one version; a later version replaces an earlier one.

    `*_at` maps give the event time (end of the writing span, ns) of each last-writer value, so
    that a session can merge its windows by the same rule.
    """

    project: str
    session_id: str
    window_id: str  # 16 hex characters, never changes
    version: int
    is_deleted: bool = False  # a retraction: the window was absorbed by a merge
    state: WindowState = WindowState.OPEN
    close_reason: CloseReason = CloseReason.NONE
    is_late: bool = False
    opened_at: int = 0
    first_seen_at: int = 0
    window_start: int = 0
    window_end: int = 0
    gap_ns: int = 0
    allowed_lateness_ns: int = 0

    user_ids: list[str] = field(default_factory=list)  # sorted
    environment: str = ""
    environment_at: int = 0
    service_names: list[str] = field(default_factory=list)  # sorted
    agent_names: list[str] = field(default_factory=list)  # sorted
    models: list[str] = field(default_factory=list)  # sorted
    tags: list[str] = field(default_factory=list)  # sorted
    session_attributes: dict[str, str] = field(default_factory=dict)  # session.type, session.name, ...
    session_attributes_at: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    metadata_at: dict[str, int] = field(default_factory=dict)

    turn_count: int = 0
    span_count: int = 0
    tool_call_count: int = 0
    error_count: int = 0
    error_turn_count: int = 0
    late_span_count: int = 0
    duplicate_span_count: int = 0
    usage: Usage = field(default_factory=Usage)  # flat in JSON and SQL
    total_tokens_by_model: dict[str, int] = field(default_factory=dict)
    prompt_tokens_by_model: dict[str, int] = field(default_factory=dict)
    completion_tokens_by_model: dict[str, int] = field(default_factory=dict)
    total_cost_by_model: dict[str, int] = field(default_factory=dict)

    active_ns: int = 0  # union of turn intervals
    turn_latency_p50_ns: int = 0
    turn_latency_p95_ns: int = 0
    turn_latency_p99_ns: int = 0
    turn_latency_buckets: dict[int, int] = field(default_factory=dict)  # log-scaled, see engine/quantiles.py
    first_input: str = ""
    first_input_at: int = 0  # start of the root span it is from
    last_output: str = ""
    last_output_at: int = 0  # end of the root span it is from
    last_error: str = ""
    last_error_at: int = 0
    conversation_ids: list[str] = field(default_factory=list)  # sorted
    models_by_provider: dict[str, list[str]] = field(default_factory=dict)
    tool_calls_by_tool: dict[str, int] = field(default_factory=dict)
    prompt_cost_by_model: dict[str, int] = field(default_factory=dict)
    completion_cost_by_model: dict[str, int] = field(default_factory=dict)
