import sys

import pytest
from click.testing import CliRunner

from services.cli.main import main

COMMANDS = ("up", "worker", "sink", "api", "gateway", "migrate", "dead-letter", "reprocess", "demo", "settings")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPANLOOM_CONFIG", raising=False)


def test_help_names_every_command() -> None:
    assert sorted(main.commands) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_in_its_help_what_it_does(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])

    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize("command", ["up", "worker", "sink", "api", "gateway", "migrate", "settings"])
def test_unusable_settings_are_told_all_at_once_with_exit_code_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_PORT", "70000")
    monkeypatch.setenv("SPANLOOM_GAP", "soon")

    result = CliRunner().invoke(main, [command])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "SPANLOOM_PORT: " in result.stderr
    assert "SPANLOOM_GAP: 'soon' is no duration" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("services.demo")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "openai", None)

    result = CliRunner().invoke(main, ["demo"])

    assert result.exit_code == 1
    assert result.stderr == "Error: openai is not installed; install 'spanloom[demo]'\n"


def test_settings_shows_what_is_in_force_and_hides_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_GAP", "90m")
    monkeypatch.setenv("SPANLOOM_CLICKHOUSE_URL", "http://reader:s3cret@db:8123/sessions")

    result = CliRunner().invoke(main, ["settings"])

    assert result.exit_code == 0
    assert "SPANLOOM_GAP=90m\n" in result.output
    assert "SPANLOOM_CLICKHOUSE_URL=http://reader:***@db:8123/sessions\n" in result.output


def test_settings_of_the_named_file_count(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("settings") / "spanloom.toml"
    file.write_text('gap = "45m"\n')
    monkeypatch.setenv("SPANLOOM_CONFIG", "")  # so that it is put back afterwards

    result = CliRunner().invoke(main, ["--config", str(file), "settings"])

    assert "SPANLOOM_GAP=45m\n" in result.output


def test_a_demo_whose_spans_nobody_takes_fails() -> None:
    result = CliRunner().invoke(main, ["demo", "--endpoint", "not a url"])

    assert result.exit_code == 1
    assert "did not take" in result.stderr
