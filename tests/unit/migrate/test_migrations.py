"""Migrations as files."""

from pathlib import Path

import pytest

from services.migrate.migrations import Migration, load_migrations, render, split_statements
from tests.support.processes import REPOSITORY

SCHEMAS = REPOSITORY / "schemas" / "clickhouse" / "migrations"


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("SELECT 1;")
    return folder


def test_statements_are_split_at_semicolons_outside_of_text_names_and_comments() -> None:
    sql = """
        -- a comment; with a semicolon
        SELECT 'text; with '' quotes \\' ;' AS `a;name`, "b;name"; /* another;
        comment */ SELECT 2
        ;;
        SELECT 3 -- the last, without a semicolon
    """
    assert list(split_statements(sql)) == [
        "SELECT 'text; with '' quotes \\' ;' AS `a;name`, \"b;name\"",
        "SELECT 2",
        "SELECT 3",
    ]


def test_a_comment_between_two_words_leaves_them_apart() -> None:
    assert [statement.split() for statement in split_statements("SELECT/* x */1")] == [["SELECT", "1"]]


def test_a_file_of_comments_has_no_statements() -> None:
    assert list(split_statements("-- nothing; here\n/* nor here; */")) == []


def test_without_a_cluster_the_placeholders_vanish() -> None:
    assert render("A {{on_cluster}} B = {{engine_prefix}}MergeTree", "") == "A  B = MergeTree"


def test_with_a_cluster_every_server_gets_a_replicated_engine() -> None:
    assert render("A {{on_cluster}} B = {{engine_prefix}}MergeTree", "o`ne") == (
        "A ON CLUSTER `o\\`ne` B = ReplicatedMergeTree"
    )


def test_an_unknown_placeholder_is_a_bug() -> None:
    with pytest.raises(KeyError):
        render("{{cluster}}", "")


def test_the_checksum_does_not_depend_on_the_cluster_but_on_every_byte_of_the_file() -> None:
    migration = Migration(1, "a", "SELECT {{on_cluster}} 1")
    assert migration.checksum == Migration(1, "a", "SELECT {{on_cluster}} 1").checksum
    assert migration.checksum != Migration(1, "a", "SELECT {{on_cluster}} 1 ").checksum


def test_migrations_are_loaded_in_order(tmp_path: Path) -> None:
    folder = files(tmp_path, "0002_b.sql", "0001_a.sql", "0003_c.sql")
    assert [str(migration) for migration in load_migrations(folder)] == ["0001_a", "0002_b", "0003_c"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c should have the number 0002"),
        (["0001_a.sql", "0001_b.sql"], "0001_b should have the number 0002"),
        (["1_a.sql"], "no name of a migration"),
        (["0001_a.sql", "notes.txt"], "no name of a migration"),
    ],
)
def test_gaps_repeated_numbers_and_other_names_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_migrations(files(tmp_path, *names))


def test_the_package_holds_the_migrations_of_the_schemas_folder() -> None:
    assert [(f"{migration}.sql", migration.template) for migration in load_migrations()] == [
        (file.name, file.read_text()) for file in sorted(SCHEMAS.iterdir())
    ]


def test_every_statement_can_be_run_again_and_goes_to_the_whole_cluster() -> None:
    for migration in load_migrations():
        for statement in migration.statements("c"):
            can_be_repeated = ("IF NOT EXISTS", "OR REPLACE", "MODIFY QUERY")
            assert any(words in statement for words in can_be_repeated), migration
            assert "ON CLUSTER `c`" in statement, migration
            assert "ENGINE" not in statement or "ENGINE = Replicated" in statement, migration
