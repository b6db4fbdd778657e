"""A ClickHouse server for tests: chDB, the real engine, behind ClickHouse's HTTP protocol, in a process of its own.

    python -m tests.support.clickhouse_server --port 0 --path DIR

Prints `{"port": ...}` when it listens on 127.0.0.1. Reads one JSON object a line from stdin, each the whole
set of faults in force (`Faults` in clickhouse_faults.py: what can go wrong, in one table), and answers each with its
statistics; ends when stdin ends. A test says `server.set_faults(down=True)` and, for all is well again,
`server.set_faults()` (tests/support/clickhouse.py). It speaks what clickhouse-connect speaks; statements run one
after another.
"""

import argparse
import gzip
import json
import re
import sys
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]  # has no stubs
from backports import zstd

from tests.support.clickhouse_faults import Faults

# What the transport uses itself: everything else in the URL is a setting of the statement.
_NOT_SETTINGS = frozenset(
    [
        "query",
        "database",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "user",
        "password",
        "default_format",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "enable_http_compression",
        "client_protocol_version",
        "role",
        "quota_key",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    ]
)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)[ \t]*\n", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code:\s*(\d+)")
_NOT_FOUND = frozenset({60, 81})  # no such table, no such database


@dataclass
class Statistics:
    inserts: Counter[str] = field(default_factory=Counter)  # statements by table, refused ones not
    refused: int = 0  # inserts that a fault refused or cut
    statements: int = 0


class Engine:
    """chDB. One statement at a time."""

    def __init__(self, path: str) -> None:
        self._connection = chdb.connect(path)
        self._lock = threading.Lock()
        self._database = "default"
        # Tests use times of any age as data.
        self._connection.query("SYSTEM STOP TTL MERGES", "TabSeparated")

    def run(self, sql: str, database: str, settings: Mapping[str, str], parameters: Mapping[str, str]) -> bytes:
        with self._lock, self._with(settings):
            if database != self._database:
                self._connection.query(f"USE {_name(database)}", "TabSeparated")
                self._database = database
            return self._connection.query(sql, "TabSeparated", params=dict(parameters)).bytes() or b""

    def insert(self, statement: str, form: str, data: bytes, database: str, settings: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile(suffix=".insert") as file:
            file.write(data)
            file.flush()
            self.run(f"{statement} FROM INFILE {_text(file.name)} FORMAT {form}", database, settings, {})

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _with(self, settings: Mapping[str, str]) -> Iterator[None]:
        if settings:
            assignments = ", ".join(f"{name} = {_text(value)}" for name, value in settings.items())
            self._connection.query(f"SET {assignments}", "TabSeparated")
        try:
            yield
        finally:
            if settings:
                self._connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in settings), "TabSeparated")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, engine: Engine, state: "_State") -> None:
        self.engine, self.state = engine, state
        super().__init__(("127.0.0.1", port), _Handler)


@dataclass
class _State:
    faults: Faults = field(default_factory=Faults)
    statistics: Statistics = field(default_factory=Statistics)
    lock: threading.Condition = field(default_factory=threading.Condition)  # notified when the faults change
    answers_to_lose: int = 0
    inserts_to_cut: int = 0

    def change(self, faults: Faults) -> None:
        with self.lock:
            self.faults = faults
            self.answers_to_lose, self.inserts_to_cut = faults.lose_answers, faults.cut_inserts
            self.lock.notify_all()

    def wait_while_hanging(self) -> Faults:
        with self.lock:
            self.lock.wait_for(lambda: not self.faults.hang)
            return self.faults


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    decoders: ClassVar = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": zstd.decompress,
    }

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass

    def _answer(self) -> None:
        state = self.server.state
        if "INSERT" in self.path and self._is_cut():
            return
        try:
            body = self._body()
        except (RuntimeError, OSError, zlib.error) as error:
            self._fail(271, f"Code: 271. DB::Exception: cannot decompress: {error}. (CANNOT_DECOMPRESS)")
            return
        faults = state.wait_while_hanging()
        if faults.down:
            self.close_connection = True
            return
        if faults.delay:
            threading.Event().wait(faults.delay)
        if faults.status:
            self._send(faults.status, b"not today\n", {})
            return
        path, _, _ = self.path.partition("?")
        if path == "/ping":
            self._send(HTTPStatus.OK, b"Ok.\n", {})
            return
        url = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if self.headers.get_content_maintype() == "multipart":
            url |= _form(self.headers.as_bytes(), body)
            body = b""
        try:
            self._run(url, body, faults)
        except (RuntimeError, chdb.ChdbError) as error:
            text = str(error)
            found = _CODE.search(text)
            self._fail(int(found[1]) if found else 1001, text)

    def _run(self, url: dict[str, str], body: bytes, faults: Faults) -> None:
        state, engine = self.server.state, self.server.engine
        query = url.get("query", "")
        database = url.get("database") or "default"
        settings = {name: value for name, value in url.items() if name not in _NOT_SETTINGS and name[:6] != "param_"}
        state.statistics.statements += 1
        statement = f"{query}\n".encode() + body if query else body
        if insert := _INSERT.match(statement):
            data = statement[insert.end() :]
            if code := _refusal(faults, data):
                state.statistics.refused += 1
                self._fail(code, f"Code: {code}. DB::Exception: refused by the test. (X)")
                return
            engine.insert(insert[1].decode(), insert[2].decode(), data, database, settings)
            table = insert[1].split()[2].decode().partition("(")[0].strip("`")
            with state.lock:
                state.statistics.inserts[table] += 1
                lost = state.answers_to_lose > 0
                state.answers_to_lose -= lost
            if lost:
                self.close_connection = True
            else:
                self._send(HTTPStatus.OK, b"", {})
            return
        sql = statement.decode()
        parameters = {name[6:]: value for name, value in url.items() if name.startswith("param_")}
        result = engine.run(sql, database, settings, parameters)
        form = _FORMAT.search(sql)
        headers = {"X-ClickHouse-Format": form[1] if form else "TabSeparated"}
        if url.get("enable_http_compression") == "1" and "gzip" in self.headers.get("Accept-Encoding", ""):
            result = gzip.compress(result, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        self._send(HTTPStatus.OK, result, headers)

    def _is_cut(self) -> bool:
        """Whether this insert is one to cut; then some of its bytes were read and its connection is to be closed."""
        state = self.server.state
        with state.lock:
            if state.inserts_to_cut <= 0:
                return False
            state.inserts_to_cut -= 1
            state.statistics.refused += 1
        self.rfile.read(10)
        self.close_connection = True
        return True

    def _fail(self, code: int, text: str) -> None:
        status = HTTPStatus.NOT_FOUND if code in _NOT_FOUND else HTTPStatus.INTERNAL_SERVER_ERROR
        self._send(status, text.encode(), {"X-ClickHouse-Exception-Code": str(code)})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-ClickHouse-Summary": "{}", **headers}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # a client that gave up
            self.end_headers()
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = bytearray()
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = bytearray(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        decode = self.decoders.get(self.headers.get("Content-Encoding", ""), bytes)
        return bytes(decode(bytes(data)))


def _refusal(faults: Faults, data: bytes) -> int:
    """The code with which an insert of these bytes fails; 0: it does not."""
    if faults.insert_code:
        return faults.insert_code
    if faults.large and len(data) > faults.large:
        return faults.large_code
    return faults.refuse_code if faults.refuse and faults.refuse.encode() in data else 0


def _form(headers: bytes, body: bytes) -> dict[str, str]:
    fields = {}
    for part in message_from_bytes(headers + b"\r\n" + body).walk():
        if name := part.get_param("name", header="content-disposition"):
            value = part.get_payload(decode=True)
            assert isinstance(value, bytes)
            fields[str(name)] = value.decode()
    return fields


def _name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Listener:
    """The port: open or closed, always the same one."""

    def __init__(self, port: int, engine: Engine, state: _State) -> None:
        self.port, self._engine, self._state = port, engine, state
        self._server: _Server | None = None

    def open(self) -> None:
        if self._server is None:
            self._server = _Server(self.port, self._engine, self._state)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", type=Path, required=True)
    arguments = parser.parse_args()
    engine, state = Engine(str(arguments.path.resolve())), _State()
    listener = _Listener(arguments.port, engine, state)
    listener.open()
    _say({"port": listener.port})
    for line in sys.stdin:
        state.change(Faults(**json.loads(line)))
        if state.faults.down:
            listener.close()
        else:
            listener.open()
        statistics = state.statistics
        _say({"inserts": statistics.inserts, "refused": statistics.refused, "statements": statistics.statements})
    listener.close()
    engine.close()


def _say(message: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(message), flush=True)  # noqa: T201 - its way to talk to the test


if __name__ == "__main__":
    main()
