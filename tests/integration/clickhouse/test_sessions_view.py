"""A session merges its windows: every property on a session of two windows, by the words of the semantics."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from services.sessionizer.engine.quantiles import bucket, quantile
from services.shared.clickhouse import ClickHouse
from services.shared.model.rollup import TurnRollup, WindowRollup
from services.shared.model.span import PICODOLLARS
from services.shared.records.rollups import encode_turns, encode_window
from services.sink.rows import columns, rollup_rows
from tests.support.clickhouse import migrated
from tests.support.otlp import request, span
from tests.support.rollups import SECOND, at, turn, usage, window
from tests.support.sessions import sessions_of

_tokens = itertools.count()


@pytest.fixture(scope="module")
def shared(engine_folder: Path) -> Iterator[ClickHouse]:
    client = migrated(f"chdb://{engine_folder}?database=sessions_view")
    yield client
    client.close()


@pytest.fixture
def database(shared: ClickHouse) -> ClickHouse:
    for table in ("session_windows", "session_windows_by_session", "session_turns", "projects"):
        shared.command(f"TRUNCATE TABLE {table}")
    return shared


def store(client: ClickHouse, *rollups: WindowRollup | TurnRollup) -> None:
    """Through the records and the rows of the sink, one insert each."""
    for rollup in rollups:
        if isinstance(rollup, WindowRollup):
            values = [encode_window(rollup)]
        else:
            values = encode_turns(rollup.project, rollup.session_id, rollup.window_id, [rollup])
        for value in values:
            insert(client, value)


def insert(client: ClickHouse, value: bytes) -> None:
    """The rows of one record."""
    converted = rollup_rows(value, 0)
    assert isinstance(converted, list)
    for table, row in converted:
        client.insert(table, columns(table, [row]), f"{next(_tokens)}")


def session(client: ClickHouse, session_id: str = "s1", project: str = "p1") -> dict[str, Any]:
    found = client.query(
        "SELECT * FROM sessions WHERE project = {project:String} AND session_id = {session_id:String}",
        {"project": project, "session_id": session_id},
    )
    assert len(found) == 1
    return found[0]


def merged(client: ClickHouse, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The session of two windows, from 0 to 10 s and from 5000 to 5010 s, stored in the wrong order."""
    store(
        client,
        window("s1", "w2", **{"start": 5000, "end": 5010, "version": 2} | second),
        window("s1", "w1", **{"start": 0, "end": 10, "version": 1} | first),
    )
    return session(client)


def test_a_session_spans_from_its_first_start_to_its_last_end(database: ClickHouse) -> None:
    found = merged(database, {"first_seen": 30}, {"first_seen": 20})
    assert found["window_count"] == 2
    assert (found["started_at"], found["last_activity_at"]) == (at(0), at(5010))
    assert found["first_seen_at"] == at(20)


def test_the_version_is_that_of_the_window_that_changed_last(database: ClickHouse) -> None:
    assert merged(database, {"version": 7}, {"version": 5})["version"] == window(version=7).version


def test_a_session_is_open_while_any_window_is_open_and_has_no_close_reason_then(database: ClickHouse) -> None:
    found = merged(database, {"is_open": True}, {})
    assert (found["state"], found["close_reason"]) == ("open", "")


def test_a_closed_session_has_the_close_reason_of_its_last_window(database: ClickHouse) -> None:
    found = merged(database, {"close_reason": "max_spans"}, {"close_reason": "explicit"})
    assert (found["state"], found["close_reason"]) == ("closed", "explicit")


def test_late_windows_are_counted(database: ClickHouse) -> None:
    assert merged(database, {}, {"is_late": True})["late_window_count"] == 1


@pytest.mark.parametrize("name", ["user_ids", "service_names", "agent_names", "models", "tags", "conversation_ids"])
def test_lists_are_united_without_repetition(database: ClickHouse, name: str) -> None:
    assert merged(database, {name: ["b", "c"]}, {name: ["a", "b"]})[name] == ["a", "b", "c"]


def test_models_are_united_by_provider_and_calls_summed_by_tool(database: ClickHouse) -> None:
    found = merged(
        database,
        {"models_by_provider": {"a": ["m1", "m2"], "b": []}, "tool_calls_by_tool": {"t": 2}},
        {"models_by_provider": {"c": ["m3"], "a": ["m0"]}, "tool_calls_by_tool": {"t": 3, "u": 1}},
    )
    assert found["models_by_provider"] == {"a": ["m0", "m1", "m2"], "b": [], "c": ["m3"]}
    assert found["tool_calls_by_tool"] == {"t": 5, "u": 1}


@pytest.mark.parametrize(
    "name",
    ["span_count", "tool_call_count", "error_count", "late_span_count", "duplicate_span_count"],
)
def test_counts_are_summed(database: ClickHouse, name: str) -> None:
    assert merged(database, {name: 3}, {name: 40})[name] == 43


@pytest.mark.parametrize(
    "name",
    [
        *("prompt_tokens", "completion_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens"),
        *("reasoning_tokens", "llm_call_count", "unpriced_call_count"),
    ],
)
def test_tokens_and_calls_are_summed(database: ClickHouse, name: str) -> None:
    found = merged(
        database, {"usage": replace(usage(calls=0), **{name: 3})}, {"usage": replace(usage(calls=0), **{name: 2**31})}
    )
    assert found[name] == 2**31 + 3


@pytest.mark.parametrize("name", ["prompt_cost", "completion_cost", "total_cost"])
def test_costs_are_summed_exactly(database: ClickHouse, name: str) -> None:
    first, second = 3_897_500_001, 123_456_789 * PICODOLLARS + 1
    found = merged(
        database, {"usage": replace(usage(), **{name: first})}, {"usage": replace(usage(), **{name: second})}
    )
    assert found[name] == Decimal("123456789.003897500002")


@pytest.mark.parametrize("name", ["total_tokens_by_model", "prompt_tokens_by_model", "completion_tokens_by_model"])
def test_tokens_are_summed_by_model(database: ClickHouse, name: str) -> None:
    assert merged(database, {name: {"a": 1, "b": 2}}, {name: {"b": 3, "c": 4}})[name] == {"a": 1, "b": 5, "c": 4}


def test_costs_are_summed_by_model(database: ClickHouse) -> None:
    found = merged(database, {"total_cost_by_model": {"a": 1}}, {"total_cost_by_model": {"a": 2, "b": 3}})
    assert found["total_cost_by_model"] == {"a": Decimal("0.000000000003"), "b": Decimal("0.000000000003")}


def test_the_costs_of_priced_calls_are_stored_exactly_and_those_by_model_sum_to_the_total(database: ClickHouse) -> None:
    random, spans = Random(5), []
    for number in range(80):
        attributes: dict[str, object] = {
            "session.id": "s1",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": ("gpt-4o-mini", "gpt-4.1", "in-house")[number % 3],
            "gen_ai.usage.input_tokens": random.randrange(100_000),
            "gen_ai.usage.output_tokens": random.randrange(10_000),
        }
        if number % 4 == 0:
            attributes["gen_ai.usage.cost"] = random.random()
        spans.append(span(trace_id=number + 1, span_id=number + 1, start=at(number), attributes=attributes))
    sessions = sessions_of([request(*spans)], at(100))
    [cut] = sessions.windows.values()
    for record in (cut, {"type": "turns", "turns": sessions.turns["s1"]}):
        insert(database, orjson.dumps(record))

    found = session(database, project="default")
    [turns] = database.query("SELECT count() AS number, sum(total_cost) AS cost FROM session_turns FINAL")
    assert (found["llm_call_count"], found["unpriced_call_count"], turns["number"]) == (80, 20, 80)
    assert sum(found["total_cost_by_model"].values()) == found["total_cost"] == turns["cost"]
    for part in ("prompt_cost", "completion_cost"):
        assert sum(found[f"{part}_by_model"].values()) == found[part] == Decimal(cut[part]) > 0
    assert found["total_cost"] == Decimal(cut["total_cost"]) > 1


def test_the_environment_is_the_one_written_last_by_event_time(database: ClickHouse) -> None:
    found = merged(
        database,
        {"environment": "production", "environment_at": at(5008)},
        {"environment": "staging", "environment_at": at(5007)},
    )
    assert found["environment"] == "production"


def test_a_window_without_an_environment_takes_none_away(database: ClickHouse) -> None:
    found = merged(database, {"environment": "production", "environment_at": at(1)}, {"environment_at": at(5007)})
    assert found["environment"] == "production"


def test_of_equal_times_the_higher_window_id_wins(database: ClickHouse) -> None:
    found = merged(
        database, {"environment": "a", "environment_at": at(1)}, {"environment": "b", "environment_at": at(1)}
    )
    assert found["environment"] == "b"


@pytest.mark.parametrize("name", ["session_attributes", "metadata"])
def test_each_key_is_merged_for_itself_by_event_time(database: ClickHouse, name: str) -> None:
    found = merged(
        database,
        {name: {"type": "new", "mine": "1", "name": ""}, f"{name}_at": {"type": at(9), "mine": at(1), "name": at(9)}},
        {
            name: {"type": "old", "yours": "2", "name": "x"},
            f"{name}_at": {"type": at(8), "yours": at(2), "name": at(8)},
        },
    )
    assert found[name] == {"type": "new", "mine": "1", "yours": "2", "name": ""}


def texts(**values: tuple[str, float]) -> dict[str, Any]:
    return {name: text for name, (text, _) in values.items()} | {
        f"{name}_at": at(seconds) for name, (_, seconds) in values.items()
    }


def test_the_first_input_is_the_earliest_and_the_last_output_and_error_the_latest(database: ClickHouse) -> None:
    found = merged(
        database,
        texts(first_input=("hello", 1), last_output=("bye", 6000), last_error=("late error", 6000)),
        texts(first_input=("again", 2), last_output=("see you", 5009), last_error=("early error", 5009)),
    )
    assert (found["first_input"], found["last_output"], found["last_error"]) == ("hello", "bye", "late error")


def test_a_window_without_texts_takes_none_away(database: ClickHouse) -> None:
    found = merged(database, {}, texts(first_input=("a", 5001), last_output=("b", 5002), last_error=("c", 5003)))
    assert (found["first_input"], found["last_output"], found["last_error"]) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([0], [63]),
        ([64, 65, 66], [127, 128]),
        ([1_000_000, 2_000_000, 30_000_000_000], [5_000_000] * 50),
        ([86_400 * SECOND, 1], [2**62]),
        (list(range(1, 400, 3)), [10**9 + number * 10**7 for number in range(99)]),
    ],
)
def test_latency_quantiles_are_those_of_all_turns_together(
    database: ClickHouse, first: list[int], second: list[int]
) -> None:
    counts = [dict[int, int](), dict[int, int]()]
    for number, latencies in enumerate((first, second)):
        for latency in latencies:
            counts[number][bucket(latency)] = counts[number].get(bucket(latency), 0) + 1
    found = merged(database, {"turn_latency_buckets": counts[0]}, {"turn_latency_buckets": counts[1]})
    together = {key: counts[0].get(key, 0) + counts[1].get(key, 0) for key in sorted({**counts[0], **counts[1]})}
    assert found["turn_latency_buckets"] == together
    for percent in (50, 95, 99):
        assert found[f"turn_latency_p{percent}_ns"] == quantile(together, percent)


def test_a_trace_in_two_windows_is_one_turn_and_an_error_in_either_is_its_error(database: ClickHouse) -> None:
    store(
        database,
        turn("s1", "w1", 1, end=5, has_error=True),
        turn("s1", "w1", 2),
        turn("s1", "w2", 1, start=5000, end=5010),
    )
    found = merged(database, {}, {})
    assert (found["turn_count"], found["error_turn_count"]) == (2, 1)


def test_active_time_is_the_union_of_the_turns_even_where_sealed_windows_overlap(database: ClickHouse) -> None:
    store(
        database,
        turn("s1", "w1", 1, start=0, end=10),
        turn("s1", "w1", 2, start=5, end=12),
        turn("s1", "w2", 3, start=8, end=20),
        turn("s1", "w2", 4, start=5000, end=5010),
    )
    assert merged(database, {}, {})["active_ns"] == 30 * SECOND


def test_a_session_without_turns_yet_is_there_and_has_none(database: ClickHouse) -> None:
    found = merged(database, {}, {})
    assert (found["turn_count"], found["error_turn_count"], found["active_ns"]) == (0, 0, 0)


def test_a_later_version_replaces_an_earlier_one_whatever_comes_first(database: ClickHouse) -> None:
    store(
        database, window(version=3, span_count=30), window(version=2, span_count=20), turn(version=2), turn(version=1)
    )
    assert (session(database)["span_count"], session(database)["turn_count"]) == (30, 1)


def test_an_absorbed_window_and_its_turns_do_not_count(database: ClickHouse) -> None:
    absorbed = {"span_count": 100, "user_ids": ["gone"]}
    merged(database, {"span_count": 1}, absorbed)
    store(
        database,
        turn("s1", "w1", 1),
        turn("s1", "w2", 2, start=5000, end=5010),
        turn("s1", "w2", 2, start=5000, end=5010, version=9, is_deleted=True),
        window("s1", "w2", start=5000, end=5010, version=9, is_deleted=True),
    )
    found = session(database)
    assert (found["window_count"], found["span_count"], found["user_ids"], found["turn_count"]) == (1, 1, [], 1)


def test_a_session_whose_windows_are_all_deleted_is_no_session(database: ClickHouse) -> None:
    store(database, window(version=1), window(version=2, is_deleted=True))
    assert database.query("SELECT session_id FROM sessions") == []


def test_one_session_id_in_two_projects_is_two_sessions(database: ClickHouse) -> None:
    store(
        database,
        *(window(project="p1", span_count=1), window(project="p2", span_count=2)),
        *(turn(project="p1"), turn(project="p2"), turn(project="p2", trace=2)),
    )
    assert session(database, project="p1")["turn_count"] == 1
    assert session(database, project="p2")["turn_count"] == 2
    assert session(database, project="p2")["span_count"] == 2


def test_projects_are_known_since_their_first_window_however_often_it_is_inserted(database: ClickHouse) -> None:
    store(
        database,
        *(window("s2", "w2", first_seen=50), window("s1", first_seen=20), window("s1", first_seen=20, version=2)),
        window("s3", "w3", project="p2", first_seen=5),
    )
    found = database.query("SELECT project, min(first_seen_at) AS seen FROM projects GROUP BY project ORDER BY project")
    assert found == [{"project": "p1", "seen": at(20)}, {"project": "p2", "seen": at(5)}]


def read_plan(client: ClickHouse, sql: str) -> str:
    return "\n".join(row["explain"] for row in client.query(f"EXPLAIN indexes = 1, actions = 1 {sql}"))


def test_a_session_is_a_seek_in_windows_and_in_turns(database: ClickHouse) -> None:
    for table in ("session_windows", "session_turns"):
        database.command(
            f"""INSERT INTO {table} (project, session_id, window_id, version, first_seen_at)
            SELECT 'p1', 's' || toString(number), 'w', 1, fromUnixTimestamp64Nano({at(0)} + toInt64(number))
            FROM numbers(50000)"""
        )
    plan = read_plan(database, "SELECT * FROM sessions WHERE project = 'p1' AND session_id = 's77'")
    granules = [line.split("Granules:")[1].strip() for line in plan.splitlines() if "Granules:" in line and "/" in line]
    read, held = zip(*(map(int, each.split("/")) for each in granules), strict=True)
    assert max(held) > 100
    assert sorted(read)[:2] == [1, 1], plan


@pytest.mark.parametrize(("direction", "how"), [("ASC", "InOrder"), ("DESC", "InReverseOrder")])
def test_a_page_of_sessions_is_read_in_the_order_of_the_table(database: ClickHouse, direction: str, how: str) -> None:
    store(database, window())
    plan = read_plan(
        database,
        "SELECT session_id FROM session_windows WHERE project = 'p1'"
        f" ORDER BY first_seen_at {direction}, session_id {direction} LIMIT 10",
    )
    assert f"read type: {how}".lower() in plan.lower().replace("readtype", "read type")
