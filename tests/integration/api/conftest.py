from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.clickhouse import ClickHouse
from tests.support.clickhouse import ClickHouseServer, migrated


@pytest.fixture(scope="package")
def engine(engine_folder: Path) -> Iterator[ClickHouse]:
    """A migrated database of these tests on chDB in this process."""
    client = migrated(f"chdb://{engine_folder}?database=api")
    yield client
    client.close()


@pytest.fixture(scope="package")
def server(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouse]:
    """The same over HTTP."""
    client = migrated(clickhouse_server.url("api"))
    yield client
    client.close()
