"""ClickHouse for tests: a server with faults to switch on, the engine in this process, a database for each test."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from services.migrate import runner
from services.shared.clickhouse import ClickHouse, connect
from tests.support.clickhouse_faults import Faults
from tests.support.processes import REPOSITORY

_numbers = itertools.count(1)


class ClickHouseServer:
    """A server process (clickhouse_server.py) on a free port. `path` keeps the data for a later server."""

    def __init__(self, path: Path, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.support.clickhouse_server", "--port", str(port), "--path", str(path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True, start_new_session=True
        )
        self.port = int(self._answer()["port"])

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def url(self, database: str = "default") -> str:
        return f"http://default:@127.0.0.1:{self.port}/{database}"

    def set_faults(self, **faults: Any) -> dict[str, Any]:
        """Replace the faults in force (none: all is well); the server's statistics so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(Faults(**faults))) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End it cleanly."""
        if self._process.poll() is None:
            self._process.communicate(timeout=30)
        else:
            self._process.communicate()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the ClickHouse server ended with status {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def migrated(url: str) -> ClickHouse:
    """A client of the database that `url` names, made and migrated; the caller closes it."""
    client = connect(url)
    runner.apply(client)
    return client


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """One server for the whole session. Tests share it, each with a database of its own; faults end with the test."""
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickHouseServer) -> Iterator[str]:
    """A database of this test only, not yet made, on the shared server."""
    yield clickhouse_server.url(f"test_{next(_numbers)}")
    clickhouse_server.set_faults()


@pytest.fixture
def clickhouse(clickhouse_url: str) -> Iterator[ClickHouse]:
    """A migrated database of this test only, on the shared server."""
    client = migrated(clickhouse_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where chDB in this process keeps its data."""
    return tmp_path_factory.mktemp("chdb")


@pytest.fixture
def chdb_url(engine_folder: Path) -> str:
    """A database of this test only, not yet made, on chDB in this process.

    A process has one engine, and it has one folder as long as any client is open. These tests share
    a folder; a test that wants another folder opens and closes its clients itself.
    """
    return f"chdb://{engine_folder}?database=test_{next(_numbers)}"
