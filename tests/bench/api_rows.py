"""Rows of very many sessions for the API, made by ClickHouse itself: a second for 100,000 of them, about."""

from services.shared.clickhouse import ClickHouse

PROJECTS = 20
TURNS = 2
"""Of a session."""
DAYS = 30
"""Sessions are spread evenly over the last days."""

USERS = 50_000
_A_STATEMENT = 100_000  # sessions: about a part of a table each
_TEXT = """arrayStringConcat(arrayMap(
            i -> ['where', 'is', 'my', 'order', 'it', 'will', 'arrive', 'on', 'Monday', 'thank', 'you']
                [1 + cityHash64(n, i, {salt}) % 11], range(40)), ' ')"""  # about 200 characters

_SESSIONS = """
    FROM (
        SELECT number AS n, 'project-' || toString(n % {projects:UInt32}) AS project,
            'session-' || leftPad(toString(n), 12, '0') AS session_id,
            lower(hex(cityHash64(n))) AS window_id,
            fromUnixTimestamp64Nano({begin:Int64} + toInt64(n) * {step:Int64}, 'UTC') AS at
        FROM numbers({first:UInt64}, {rows:UInt64})
    )"""
_WINDOWS = f"""
    INSERT INTO session_windows (project, session_id, window_id, version, state, close_reason, opened_at, first_seen_at,
        window_start, window_end, gap_ns, allowed_lateness_ns, user_ids, environment, service_names, models, tags,
        metadata, turn_count, span_count, tool_call_count, error_count, error_turn_count, prompt_tokens,
        completion_tokens, total_tokens, total_cost, llm_call_count, total_tokens_by_model, active_ns,
        turn_latency_buckets, first_input, last_output)
    SELECT project, session_id, window_id, n + 1, 'closed', 'idle', at, at, at, addSeconds(at, 90),
        1800000000000, 3600000000000, ['user-' || toString(cityHash64(n, 1) % {USERS})], 'production',
        ['bot-' || toString(n % 7)], ['gpt-5-mini'], ['beta', 'web'], map('tenant', toString(n % 400)),
        2, 10, 2, n % 50 = 0, n % 50 = 0, cityHash64(n, 2) % 9000, cityHash64(n, 3) % 2000,
        cityHash64(n, 2) % 9000 + cityHash64(n, 3) % 2000, toDecimal128(cityHash64(n, 4) % 100000 / 1000000, 12), 4,
        map('gpt-5-mini', cityHash64(n, 2) % 9000 + cityHash64(n, 3) % 2000), 20000000000,
        map(toInt32(700 + n % 60), 2), {_TEXT.format(salt=5)}, {_TEXT.format(salt=6)}
    {_SESSIONS}"""
_TURNS = f"""
    INSERT INTO session_turns (project, session_id, window_id, trace_id, opened_at, first_seen_at, version,
        root_span_id, root_name, started_at, ended_at, model, span_count, prompt_tokens, completion_tokens,
        total_tokens, total_cost, llm_call_count, input, output)
    SELECT project, session_id, window_id, lower(hex(sipHash128(n, turn))), at, at, n + 1, '0000000000000005',
        'agent step', addSeconds(at, 40 * turn), addSeconds(at, 40 * turn + 10), 'gpt-5-mini', 5,
        cityHash64(n, 2) % 4500, cityHash64(n, 3) % 1000, cityHash64(n, 2) % 4500 + cityHash64(n, 3) % 1000,
        toDecimal128(cityHash64(n, 4) % 50000 / 1000000, 12), 2, {_TEXT.format(salt="7 + turn")},
        {_TEXT.format(salt="9 + turn")}
    FROM (SELECT *, arrayJoin([0, 1]) AS turn {_SESSIONS})"""


def fill(client: ClickHouse, sessions: int, now: int) -> None:
    """Closed sessions of one window and two turns, the last one first seen at `now` (ns)."""
    step = DAYS * 86_400 * 10**9 // sessions
    for first in range(0, sessions, _A_STATEMENT):
        parameters = {
            "projects": PROJECTS,
            "begin": now - sessions * step,
            "step": step,
            "first": first,
            "rows": min(_A_STATEMENT, sessions - first),
        }
        for statement in (_WINDOWS, _TURNS):
            client.command(statement, parameters)


def session_id(number: int) -> str:
    return f"session-{number:012d}"


def project(number: int) -> str:
    return f"project-{number % PROJECTS}"


def first_seen_at(number: int, sessions: int, now: int) -> int:
    """Of a session, as `fill` has it."""
    step = DAYS * 86_400 * 10**9 // sessions
    return now - sessions * step + number * step
