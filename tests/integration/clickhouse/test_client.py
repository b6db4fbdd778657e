"""The client does the same over HTTP and on chDB in this process."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from services.shared.clickhouse import AsyncClickHouse, ClickHouse, connect
from services.shared.clickhouse_errors import ERROR_NAMES, RefusedRowsError
from services.shared.errors import PermanentError, SettingsError, TransientError
from tests.support.clickhouse import ClickHouseServer

ODD_TEXT = "NUL \0, tab \t, newline \n, quotes ' \" `, backslash \\, braces {a:String}, emoji \U0001f600"
FIRST_NS, LAST_NS = -2_208_988_800 * 10**9, 2**63 - 1


@pytest.fixture(params=["http", "chdb"])
def client(request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    url = request.getfixturevalue({"http": "clickhouse_url", "chdb": "chdb_url"}[request.param])
    client = connect(url, timeout=5)
    client.ensure_database()
    client.command(
        """
        CREATE TABLE things
        (
            id String, number UInt64, at DateTime64(9, 'UTC'), money Decimal(38, 12), flag Bool, maybe Nullable(UInt64),
            names Array(LowCardinality(String)), texts Map(LowCardinality(String), String), buckets Map(Int32, UInt64),
            costs Map(LowCardinality(String), Decimal(38, 12)), doubled UInt64 MATERIALIZED number * 2
        )
        ENGINE = ReplacingMergeTree(number) PARTITION BY toYYYYMM(at) ORDER BY id
        SETTINGS non_replicated_deduplication_window = 100
        """
    )
    yield client
    client.close()


def rows(*ids: str, **more: Any) -> dict[str, list[Any]]:
    row: dict[str, Any] = {
        "number": 2**64 - 1,
        "at": 1_795_000_000_123_456_789,
        "money": Decimal("0.003897500001"),
        "flag": True,
        "maybe": None,
        "names": ["a", "b"],
        "texts": {"k": ODD_TEXT},
        "buckets": {-1: 2**63, 7: 1},
        "costs": {"gpt-4o": Decimal("99999999999999999999999999.000000000001")},
    } | more
    return {"id": list(ids), **{name: [value] * len(ids) for name, value in row.items()}}


def test_values_come_back_as_they_went_in(client: ClickHouse) -> None:
    inserted = rows(ODD_TEXT)
    client.insert("things", inserted, "t")
    assert client.query("SELECT * FROM things") == [{name: values[0] for name, values in inserted.items()}]


@pytest.mark.parametrize("time", [FIRST_NS, -1, 0, 1, LAST_NS])
def test_times_are_exact_nanoseconds_from_1900_to_2262(client: ClickHouse, time: int) -> None:
    client.insert("things", rows("a", at=time), "t")
    assert client.query("SELECT at FROM things") == [{"at": time}]


def test_parameters_are_values_whatever_characters_they_hold(client: ClickHouse) -> None:
    client.insert("things", rows(ODD_TEXT, "b"), "t")
    found = client.query(
        "SELECT count() AS n FROM things"
        " WHERE id = {id:String} AND id IN {ids:Array(String)} AND texts['k'] = {id:String}",
        {"id": ODD_TEXT, "ids": [ODD_TEXT, "x"]},
    )
    assert found == [{"n": 1}]


def test_many_and_long_parameters_pass(client: ClickHouse) -> None:
    ids = [f"{number:05d}" + "x" * 250 for number in range(1000)]
    client.insert("things", rows(*ids), "t")
    assert client.query("SELECT count() AS n FROM things WHERE id IN {ids:Array(String)}", {"ids": ids}) == [
        {"n": 1000}
    ]


def test_an_empty_result_is_an_empty_list(client: ClickHouse) -> None:
    assert client.query("SELECT * FROM things") == []


def test_a_second_insert_with_the_same_token_adds_nothing(client: ClickHouse) -> None:
    client.insert("things", rows("a", "b"), "same")
    client.insert("things", rows("a", "b"), "same")
    client.insert("things", rows("c"), "other")
    assert client.query("SELECT count() AS n FROM things") == [{"n": 3}]


def test_one_insert_may_touch_hundreds_of_partitions(client: ClickHouse) -> None:
    month = 31 * 86_400 * 10**9
    columns = rows(*(str(number) for number in range(300)))
    columns["at"] = [number * month for number in range(300)]
    client.insert("things", columns, "t")
    assert client.query("SELECT count() AS n FROM things") == [{"n": 300}]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"number": -1}, id="below the range"),
        pytest.param({"number": 2**64}, id="above the range"),
        pytest.param({"number": "many"}, id="no number"),
        pytest.param({"at": 2**63}, id="no time"),
        pytest.param({"money": "cheap"}, id="no decimal"),
        pytest.param({"texts": ["k"]}, id="no map"),
        pytest.param({"names": 7}, id="no array"),
        pytest.param({"id": [None]}, id="null"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_client_goes_on(client: ClickHouse, wrong: dict[str, Any]) -> None:
    with pytest.raises(RefusedRowsError):
        client.insert("things", {**rows("a"), **{k: v if k == "id" else [v] for k, v in wrong.items()}}, "bad")
    client.insert("things", rows("b"), "good")
    assert client.query("SELECT id FROM things") == [{"id": "b"}]


def test_a_missing_table_is_permanent_but_no_row_s_fault(client: ClickHouse) -> None:
    with pytest.raises(PermanentError) as caught:
        client.insert("nothing", rows("a"), "t")
    assert not isinstance(caught.value, RefusedRowsError)


def test_a_column_that_the_table_lacks_is_permanent_but_no_row_s_fault(client: ClickHouse) -> None:
    with pytest.raises(PermanentError, match="has no column newer: run `spanloom migrate`") as caught:
        client.insert("things", {**rows("a"), "newer": [1]}, "t")
    assert not isinstance(caught.value, RefusedRowsError)


def test_a_query_that_takes_too_long_is_transient(client: ClickHouse) -> None:
    with pytest.raises(TransientError):
        client.query(
            "SELECT sleepEachRow(0.5) FROM numbers(5)", settings={"max_execution_time": 1, "max_block_size": 1}
        )


def test_only_an_insert_has_rows_to_refuse(client: ClickHouse) -> None:
    with pytest.raises(PermanentError) as caught:
        client.query("SELECT toUInt8('x')")
    assert not isinstance(caught.value, RefusedRowsError)


def test_computed_columns_are_not_ours_to_insert(client: ClickHouse) -> None:
    assert "doubled" not in client.column_types("things")


def test_calls_from_several_threads_do_not_disturb_each_other(client: ClickHouse) -> None:
    def work(number: int) -> list[dict[str, Any]]:
        client.insert("things", rows(f"id {number}", number=number), f"token {number}")
        return client.query("SELECT number FROM things WHERE id = {id:String}", {"id": f"id {number}"})

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(40)))
    assert results == [[{"number": number}] for number in range(40)]


async def test_the_event_loop_goes_on_while_a_query_runs(client: ClickHouse) -> None:
    store = AsyncClickHouse(client, threads=2)
    slow = asyncio.ensure_future(store.query("SELECT sleep(0.3) AS slept"))
    turns = 0
    while not slow.done():
        turns += 1
        await asyncio.wait({slow}, timeout=0.01)
    assert turns > 5
    assert await slow == [{"slept": 0}]


def test_a_server_that_is_down_is_transient_and_the_next_call_finds_it_again(
    clickhouse_server: ClickHouseServer, clickhouse_url: str
) -> None:
    client = connect(clickhouse_url)
    client.ensure_database()
    clickhouse_server.set_faults(down=True)
    with pytest.raises(TransientError, match="refused"):
        client.query("SELECT 1 AS one")
    clickhouse_server.set_faults(status=503)
    with pytest.raises(TransientError):
        client.query("SELECT 1 AS one")
    clickhouse_server.set_faults()
    assert client.query("SELECT 1 AS one") == [{"one": 1}]
    clickhouse_server.set_faults(down=True)
    with pytest.raises(TransientError):
        client.query("SELECT 1 AS one")
    clickhouse_server.set_faults()
    assert client.query("SELECT 1 AS one") == [{"one": 1}]
    client.close()


def test_a_proxy_that_answers_for_the_server_is_transient(
    clickhouse_server: ClickHouseServer, clickhouse: ClickHouse
) -> None:
    clickhouse_server.set_faults(status=502)
    with pytest.raises(TransientError, match="502"):
        clickhouse.query("SELECT 1")


@pytest.mark.parametrize(
    "url", ["", "localhost:8123", "tcp://h:9000/db", "chdb://relative/path", "http://", "http://h:port/db", "redis://h"]
)
def test_a_url_that_names_no_clickhouse_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError):
        connect(url)


def test_a_password_is_in_no_error_message() -> None:
    with pytest.raises(SettingsError) as caught:
        connect("clickhouse://me:secret@h/db")
    assert "secret" not in str(caught.value)
    client = connect("http://me:secret@127.0.0.1:9/db")
    with pytest.raises(TransientError) as failed:
        client.query("SELECT 1")
    assert "secret" not in str(failed.value)


def test_user_password_and_database_are_read_from_the_url() -> None:
    url = connect("https://me:p%40ss%2Fword@host/my%20db").url
    assert (url.scheme, url.host, url.port, url.user, url.password, url.database) == (
        *("https", "host", 8443, "me", "p@ss/word", "my db"),
    )


def test_our_names_of_error_codes_are_those_of_the_engine(client: ClickHouse) -> None:
    known = client.query("SELECT number AS code, errorCodeToName(number) AS name FROM numbers(1100)")
    names = {row["code"]: row["name"] for row in known}
    assert {code: names.get(code) for code in ERROR_NAMES} == dict(ERROR_NAMES)
