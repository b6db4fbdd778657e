"""What the documents say is what the code has."""

import re
import subprocess

import pytest

from services.cli.main import main
from services.cli.settings_table import format_duration
from services.shared.settings import Settings, parse_duration, variable
from tests.support.documents import REPOSITORY, TABLES

README = REPOSITORY / "README.md"


def _documents() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    return listed.split()


@pytest.mark.parametrize("name", TABLES)
def test_tables_made_from_the_code_are_up_to_date(name: str) -> None:
    assert TABLES[name].written() == TABLES[name].make()


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("document", _documents())
def test_every_setting_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"SPANLOOM_[A-Z_]+[A-Z]", (REPOSITORY / document).read_text()))

    assert named <= {"SPANLOOM_CONFIG", "SPANLOOM_COMPILED", *(variable(name) for name in Settings.model_fields)}


@pytest.mark.parametrize("document", _documents())
def test_every_command_that_a_document_names_exists(document: str) -> None:
    named = re.findall(r"`spanloom ([a-z][a-z-]*)", (REPOSITORY / document).read_text())

    assert set(named) <= set(main.commands)


@pytest.mark.parametrize("document", _documents())
def test_every_file_that_a_document_links_to_is_there(document: str) -> None:
    path = REPOSITORY / document
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())

    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("text", ["0s", "1ns", "500ms", "1s", "90s", "30m", "90m", "1h", "1d", "36h"])
def test_durations_are_shown_as_they_are_written(text: str) -> None:
    assert format_duration(parse_duration(text)) == text
