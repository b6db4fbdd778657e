"""The one client of ClickHouse: a server over HTTP, or chDB, the same engine inside this process.

    http://user:password@host:8123/database     (https:// likewise)
    chdb:///folder                              (?database=name; without it `default`)

Times are integers (ns), money is `Decimal`, in both directions. Every insert names all settings
that decide what an insert means, because their defaults differ between versions.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import clickhouse_connect
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform
from urllib3.exceptions import ReadTimeoutError
from urllib3.util.timeout import Timeout

from services.shared.clickhouse_errors import Fault, MemoryLimitError, RefusedRowsError, fault_of, remedy
from services.shared.clickhouse_url import ClickHouseUrl
from services.shared.errors import PermanentError, SettingsError, TransientError

Row = dict[str, Any]
Columns = Mapping[str, Sequence[Any]]
"""Values by column name; all columns have the same length."""

_TIMES_AS_NANOSECONDS = {"DateTime64*": "int"}
_CONNECT_TIMEOUT = 5
_LONGEST_INSERT = 600.0  # seconds
_TEXT_LIMIT = 500  # ClickHouse repeats the rows it refuses in its message
_URL = re.compile(r" \(for url [^)]*\)| with url: \S+")  # of no use to a reader

_INSERT_SETTINGS = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "max_partitions_per_insert_block": "0",  # replays of long outages touch many days at once
}
# With FINAL, too, read the other columns of matching rows only; ClickHouse does it for conditions on sort keys alone.
_QUERY_SETTINGS = {"optimize_move_to_prewhere_if_final": "1"}

_T = TypeVar("_T")


def embedded_url(data_dir: Path) -> str:
    """Where embedded mode keeps its ClickHouse data."""
    return f"chdb://{(data_dir / 'clickhouse').resolve()}"


def connect(url: str, *, timeout: float = 30.0) -> "ClickHouse":
    """A client for the database that `url` names. Opens nothing yet. Raises `SettingsError` for a bad URL."""
    where = ClickHouseUrl.parse(url)
    if where.scheme == "chdb" and find_spec("chdb") is None:
        raise SettingsError("chDB is not installed: name a server in SPANLOOM_CLICKHOUSE_URL")
    return ClickHouse(where, timeout=timeout)


class ClickHouse:
    """One database. The first call opens the connection; a server that is down is a `TransientError` of that call.

    Safe to use from several threads: calls over HTTP run at the same time, chDB runs them one
    after another. All clients of one process must name the same chDB folder: the engine has one.
    Every method blocks, and raises `TransientError` or `PermanentError`.
    """

    def __init__(self, url: ClickHouseUrl, *, timeout: float) -> None:
        self.url = url
        self._timeout = self._insert_timeout = timeout
        self._client: Client | None = None
        self._opening = threading.Lock()
        self._types: dict[str, dict[str, ClickHouseType]] = {}

    @property
    def database(self) -> str:
        return self.url.database or "default"

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """All rows of a SELECT, by column name. Parameters are bound by the server: `{name:Type}`."""
        with _translated("query"):
            result = self._open().query(
                sql,
                parameters=dict(parameters or {}),
                settings={"max_execution_time": round(self._timeout), **_QUERY_SETTINGS, **(settings or {})},
                query_formats=_TIMES_AS_NANOSECONDS,
            )
            return list(result.named_results())

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns nothing."""
        with _translated("command"):
            self._open().command(sql, parameters=dict(parameters or {}))

    def insert(self, table: str, columns: Columns, token: str) -> None:
        """Insert rows, given column by column, in one statement.

        A second insert with the same token adds nothing, whatever its rows are: the token must
        name the rows. Raises `RefusedRowsError` when a row does not fit; nothing else does that.
        A server that is slow may do an insert after its client gave up, so one that took too long
        is to be repeated as it is, and has twice the time then, up to ten minutes.
        """
        with _translated(f"insert into {table}", inserting=True):
            types = self._types_of(table, columns)
            self._insert_native(table, list(columns), _native(table, columns, types), token)

    def insert_block(self, table: str, columns: Sequence[str], data: bytes | bytearray, token: str) -> None:
        """The same of a block in ClickHouse's Native format, whose columns are these. It is not copied."""
        with _translated(f"insert into {table}", inserting=True):
            self._types_of(table, columns)
            self._insert_native(table, columns, data, token)

    def _insert_native(self, table: str, columns: Sequence[str], data: bytes | bytearray, token: str) -> None:
        client = self._open()
        is_server = isinstance(client, HttpClient)
        self._give_time(client)
        try:
            client.raw_insert(
                _quoted(table),
                column_names=columns,
                # A server gets it uncopied, and once more after a connection that broke off: as neither view nor file.
                insert_block=cast("bytes", data) if is_server else bytes(data),
                fmt="Native",
                settings={**_INSERT_SETTINGS, "insert_deduplication_token": token},
            )
        except OperationalError as error:
            if isinstance(error.__cause__, ReadTimeoutError):
                self._insert_timeout = min(2 * self._insert_timeout, _LONGEST_INSERT)
            raise
        self._insert_timeout = self._timeout

    def _types_of(self, table: str, columns: Iterable[str]) -> list[ClickHouseType]:
        types = self._types.get(table) or self._types.setdefault(table, self._column_types(table))
        if unknown := set(columns) - types.keys():
            raise PermanentError(f"table {table} has no column {', '.join(sorted(unknown))}: run `spanloom migrate`")
        return [types[name] for name in columns]

    def column_types(self, table: str) -> dict[str, str]:
        """The types of a table's stored columns by name, in the table's order."""
        return {name: column.name for name, column in self._column_types(table).items()}

    def ensure_database(self, on_cluster: str = "") -> None:
        """Make the database of the URL where it is missing. One that is there needs no right to make any."""
        if not self.url.database:
            return
        with _translated("create database"):
            client = self._connect("")
            try:
                found = client.query(
                    "SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": self.url.database}
                )
                if not found.result_rows:
                    client.command(f"CREATE DATABASE IF NOT EXISTS {_quoted(self.url.database)} {on_cluster}")
            finally:
                client.close()

    def close(self) -> None:
        """Let go of the connection; chDB writes what it holds and frees the folder."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> Client:
        with self._opening:
            if self._client is None:
                self._client = self._connect(self.url.database)
            return self._client

    def _connect(self, database: str) -> Client:
        url = self.url
        if url.scheme == "chdb":
            Path(url.folder).mkdir(parents=True, exist_ok=True)
            return clickhouse_connect.get_client(interface="chdb", path=url.folder, database=database or "default")
        return clickhouse_connect.get_client(
            interface=url.scheme,
            host=url.host,
            port=url.port,
            username=url.user,
            password=url.password,
            database=database or "__default__",
            connect_timeout=_CONNECT_TIMEOUT,
            send_receive_timeout=round(self._timeout) + 5,  # the server gives up first, and says why
            autogenerate_session_id=False,  # a session would forbid calls at the same time
            query_retries=0,
        )

    def _give_time(self, client: Client) -> None:
        if isinstance(client, HttpClient):
            client.timeout = Timeout(connect=_CONNECT_TIMEOUT, read=self._insert_timeout + 5)

    def _column_types(self, table: str) -> dict[str, ClickHouseType]:
        described = self._open().query(f"DESCRIBE TABLE {_quoted(table)}")
        return {
            row["name"]: get_from_name(row["type"])
            for row in described.named_results()
            if row["default_type"] not in ("ALIAS", "MATERIALIZED")
        }


class AsyncClickHouse:
    """The same calls for an event loop, each on a thread of a pool of its own."""

    def __init__(self, client: ClickHouse, *, threads: int = 4) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[Row]:
        return await self.run(lambda client: client.query(sql, parameters, settings))

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        await self.run(lambda client: client.command(sql, parameters))

    async def insert(self, table: str, columns: Columns, token: str) -> None:
        await self.run(lambda client: client.insert(table, columns, token))

    async def insert_block(self, table: str, columns: Sequence[str], data: bytes | bytearray, token: str) -> None:
        await self.run(lambda client: client.insert_block(table, columns, data, token))

    async def run(self, call: Callable[[ClickHouse], _T]) -> _T:
        """Any use of the client. A cancelled wait does not end the call."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, self._client)

    async def close(self) -> None:
        """Wait for calls that still run, then close the client."""
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._client.close)


def _native(table: str, columns: Columns, types: Sequence[ClickHouseType]) -> bytes:
    """The rows in ClickHouse's own format, whole before anything is sent: a value that does not fit sends nothing."""
    count = len(next(iter(columns.values())))
    context = InsertContext(table, list(columns), types, list(columns.values()), column_oriented=True, block_size=count)
    data = b"".join(NativeTransform.build_insert(context))
    if (error := context.insert_exception) is not None:
        raise RefusedRowsError(f"ClickHouse: {count} rows for {table}: {_short(error)}") from error
    return data.partition(b"\n")[2]  # the statement is in front of the rows


@contextmanager
def _translated(doing: str, *, inserting: bool = False) -> Iterator[None]:
    """Say what failed in the words of our error tree."""
    try:
        yield
    except Error as error:
        raise _of_our_tree(doing, error, inserting=inserting) from error
    except OSError as error:
        # chDB takes an insert from a file that the client writes, so this is a full disk as a rule.
        raise TransientError(f"ClickHouse: {doing}: {error}") from error


def _of_our_tree(doing: str, error: Error, *, inserting: bool) -> TransientError | PermanentError:
    text = f"ClickHouse: {doing}: {_short(error)}"
    match fault_of(error.code):
        case Fault.ROWS if inserting:
            return RefusedRowsError(text)
        case Fault.MEMORY:
            return MemoryLimitError(text)
        case Fault.SERVER:
            return TransientError(text)
        case _ if isinstance(error, OperationalError) or _is_gateway_trouble(error):
            return TransientError(text)
        case _:
            return PermanentError(text + remedy(error.code))


def _is_gateway_trouble(error: Error) -> bool:
    """Without a code of ClickHouse it is a proxy or a broken connection that answered."""
    with suppress(IndexError, ValueError):
        status = int(str(error).partition("HTTP status ")[2].split()[0].rstrip(","))
        return error.code is None and (status >= 500 or status in (408, 425, 429))  # noqa: PLR2004 - HTTP's numbers
    return False


def _short(error: BaseException) -> str:
    text = _URL.sub("", str(error) or repr(error))
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]} ..."


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
