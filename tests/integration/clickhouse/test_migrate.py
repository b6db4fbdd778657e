"""The schema in a real database: applied once, checked, and equal to what the code writes."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from services.migrate import runner
from services.migrate.main import run
from services.migrate.migrations import Migration, load_migrations
from services.migrate.runner import ChangedMigrationError
from services.shared.clickhouse import ClickHouse, connect
from services.shared.compiled import MODULES
from services.shared.errors import PermanentError
from services.shared.settings import Settings
from services.sink.rows import COLUMNS
from tests.support.clickhouse import ClickHouseServer, migrated
from tests.support.processes import REPOSITORY

NAMES = [str(migration) for migration in load_migrations()]


@pytest.fixture
def database(chdb_url: str) -> Iterator[ClickHouse]:
    client = connect(chdb_url)
    client.ensure_database()
    yield client
    client.close()


def schema(client: ClickHouse) -> list[dict[str, object]]:
    return client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} ORDER BY name",
        {"database": client.database},
    )


def test_all_migrations_apply_to_an_empty_database_and_the_second_time_none(database: ClickHouse) -> None:
    assert runner.check(database) == [f"{name} is not applied: run `spanloom migrate`" for name in NAMES]
    assert runner.apply(database) == NAMES
    assert runner.check(database) == []
    before = schema(database)
    assert runner.apply(database) == []
    assert schema(database) == before


def test_statements_that_ran_already_may_run_again(database: ClickHouse) -> None:
    runner.apply(database)
    before = schema(database)
    database.command("TRUNCATE TABLE schema_migrations")
    assert runner.apply(database) == NAMES
    assert schema(database) == before


def test_a_run_that_was_cut_short_is_finished_by_the_next(database: ClickHouse) -> None:
    broken = [*load_migrations()[:2], Migration(3, "broken", "CREATE TABLE IF NOT EXISTS a (b NoSuchType);")]
    with pytest.raises(PermanentError):
        runner.apply(database, migrations=broken)
    assert runner.apply(database) == NAMES[2:]


def test_a_changed_migration_is_refused_and_nothing_is_applied(database: ClickHouse) -> None:
    migrations = load_migrations()
    runner.apply(database, migrations=migrations[:2])
    changed = [migrations[0], replace(migrations[1], template=migrations[1].template + "\n-- changed"), *migrations[2:]]
    with pytest.raises(ChangedMigrationError, match="0002_session_windows was changed after it was applied"):
        runner.apply(database, migrations=changed)
    assert len(runner.check(database, migrations=changed)) == 1 + len(migrations[2:])
    assert runner.apply(database, migrations=migrations) == NAMES[2:]


def test_a_database_of_a_newer_version_is_refused(database: ClickHouse) -> None:
    migrations = load_migrations()
    newer = Migration(len(migrations) + 1, "from_the_future", "SELECT 1;")
    runner.apply(database, migrations=[*migrations, newer])
    assert runner.check(database) == [
        f"{newer} is in the database but not in this version: a newer Spanloom made it, upgrade"
    ]
    with pytest.raises(ChangedMigrationError):
        runner.apply(database)


@pytest.mark.parametrize("table", COLUMNS)
def test_the_columns_that_the_code_writes_are_the_columns_of_the_table(chdb_url: str, table: str) -> None:
    client = migrated(chdb_url)
    assert list(COLUMNS[table]) == list(client.column_types(table))
    client.close()


def test_the_copy_by_session_has_the_columns_of_the_windows(chdb_url: str) -> None:
    client = migrated(chdb_url)
    assert client.column_types("session_windows_by_session") == client.column_types("session_windows")
    client.close()


def test_rendered_for_a_cluster_every_statement_parses_with_its_clauses(database: ClickHouse) -> None:
    for migration in load_migrations():
        for statement in migration.statements("my-cluster"):
            # formatQuery parses; EXPLAIN AST would also ask ZooKeeper, which is not here.
            formatted = database.query("SELECT formatQuery({sql:String}) AS sql", {"sql": statement})[0]["sql"]
            assert "ON CLUSTER `my-cluster`" in formatted
            if "ENGINE" in formatted:
                assert re.search(r"ENGINE = Replicated(Replacing|Aggregating)MergeTree", formatted)


def test_names_of_versions_of_a_row_decide_no_sort_key_and_times_of_events_no_lifetime(chdb_url: str) -> None:
    client = migrated(chdb_url)
    fixed = {"project", "session_id", "window_id", "trace_id", "span_id", "first_seen_at", "ingested_at", "version"}
    fixed |= {"scope", "name", "identifier"}  # of annotations
    for table in [*COLUMNS, "session_windows_by_session"]:
        found = client.query(
            """SELECT sorting_key, partition_key, extract(engine_full, 'TTL (.*) SETTINGS') AS lifetime
               FROM system.tables WHERE database = {database:String} AND name = {table:String}""",
            {"database": client.database, "table": table},
        )[0]
        used = set(re.findall(r"[a-z_]+", f"{found['sorting_key']} {found['partition_key']}")) & set(
            COLUMNS[table.removesuffix("_by_session")]
        )
        assert used <= fixed, table
        assert re.search(r"toDateTime\((first_seen_at|ingested_at)\)", found["lifetime"]), table
    client.close()


def test_the_command_applies_then_checks(tmp_path: Path, clickhouse_url: str) -> None:
    settings = Settings(clickhouse_url=clickhouse_url, data_dir=tmp_path)
    said: list[str] = []
    assert run(settings, check=True, echo=said.append) == 1
    assert run(settings, check=False, echo=said.append) == 0
    assert [line for line in said if line.startswith("applied 0001_schema_migrations in ")]
    said.clear()
    assert run(settings, check=True, echo=said.append) == 0
    assert run(settings, check=False, echo=said.append) == 0
    assert said == ["the database is up to date", "nothing to apply: the database is up to date"]


def test_the_command_says_when_clickhouse_is_down(
    tmp_path: Path, clickhouse_url: str, clickhouse_server: ClickHouseServer
) -> None:
    clickhouse_server.set_faults(down=True)
    said: list[str] = []
    assert run(Settings(clickhouse_url=clickhouse_url, data_dir=tmp_path), check=False, echo=said.append) == 1
    assert "refused" in said[0]


@pytest.mark.slow
def test_a_built_wheel_holds_the_migrations_and_the_compiled_hot_path(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("services", "schemas"):
        not_tracked = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=not_tracked)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (REPOSITORY / name).exists():
            shutil.copy(REPOSITORY / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(command, cwd=source, check=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    found = {name for name in names if name.startswith("services/migrate/sql/")}
    compiled = {name.partition(".")[0].replace("/", ".") for name in names if name.endswith(".so")}
    assert compiled == set(MODULES)
    assert found == {f"services/migrate/sql/{name}.sql" for name in NAMES}
