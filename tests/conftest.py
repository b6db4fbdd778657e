"""Hooks and fixtures that every test can have; they are written in tests/support."""

from tests.support.clickhouse import chdb_url, clickhouse, clickhouse_server, clickhouse_url, engine_folder
from tests.support.kafka.fixtures import embedded_kafka, kafka, own_kafka
from tests.support.missing_programs import (
    pytest_collection_modifyitems,
    pytest_runtest_setup,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

__all__ = [
    "chdb_url",
    "clickhouse",
    "clickhouse_server",
    "clickhouse_url",
    "embedded_kafka",
    "engine_folder",
    "kafka",
    "own_kafka",
    "pytest_collection_modifyitems",
    "pytest_runtest_setup",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]
