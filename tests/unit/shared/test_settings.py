from pathlib import Path

import pytest

from services.shared.errors import SettingsError
from services.shared.otlp.configured_names import names_by_dimension
from services.shared.settings import load_settings, parse_duration, variable

SECOND = 10**9


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPANLOOM_CONFIG", raising=False)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30m", 1800 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("500ms", SECOND // 2),
        ("2", 2 * SECOND),
        ("1d", 86400 * SECOND),
    ],
)
def test_durations_are_read_with_their_unit_and_are_seconds_without(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 hour", "1h30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "spanloom.toml"
    file.write_text('gap = "1h"\nallowed_lateness = "2h"\nproject_attributes = ["service.namespace"]\n')
    monkeypatch.setenv("SPANLOOM_CONFIG", str(file))
    monkeypatch.setenv("SPANLOOM_GAP", "5m")

    settings = load_settings()

    assert settings.gap == 300 * SECOND
    assert settings.allowed_lateness == 7200 * SECOND
    assert settings.project_attributes == ("service.namespace",)
    assert settings.max_spans == 50_000


def test_lists_and_gaps_by_project_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_SESSION_ID_ATTRIBUTES", "session.id, thread.id")
    monkeypatch.setenv("SPANLOOM_GAP_BY_PROJECT", '{"voice-bot": "5m"}')

    settings = load_settings()

    assert settings.session_id_attributes == ("session.id", "thread.id")
    assert settings.gap_by_project == {"voice-bot": 300 * SECOND}


def test_every_fault_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "spanloom.toml"
    file.write_text("max_span = 3\n")
    monkeypatch.setenv("SPANLOOM_CONFIG", str(file))
    monkeypatch.setenv("SPANLOOM_PORT", "70000")
    monkeypatch.setenv("SPANLOOM_GPA", "5m")

    with pytest.raises(SettingsError) as caught:
        load_settings()

    faults = str(caught.value).splitlines()
    assert faults[0] == "settings that cannot be used:"
    assert sorted(fault.strip() for fault in faults[1:]) == [
        "SPANLOOM_GPA: there is no such setting (perhaps SPANLOOM_GAP?)",
        "SPANLOOM_MAX_SPAN: there is no such setting (perhaps SPANLOOM_MAX_SPANS?)",
        "SPANLOOM_PORT: Input should be less than or equal to 65535 (got '70000')",
    ]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"gap": "2h", "max_duration": "1h"}, "SPANLOOM_MAX_DURATION: must be at least SPANLOOM_GAP"),
        ({"gap_by_project": {"shop": "0s"}}, "SPANLOOM_GAP_BY_PROJECT: the gap of 'shop' must be more than 0"),
        ({"gap_by_project": {"shop": "25h"}}, "must be at least SPANLOOM_GAP_BY_PROJECT of 'shop'"),
        ({"idle_after": "10m"}, "SPANLOOM_SOURCE_TIMEOUT: must be more than SPANLOOM_IDLE_AFTER"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match="settings that cannot be used") as caught:
        load_settings(**overrides)

    assert said in str(caught.value)


def test_a_contradiction_is_told_together_with_faults_of_single_settings() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(gap="2h", max_duration="1h", idle_after="10m", port=70_000)

    assert [fault.split(":")[0].strip() for fault in str(caught.value).splitlines()[1:]] == [
        "SPANLOOM_MAX_DURATION",
        "SPANLOOM_SOURCE_TIMEOUT",
        "SPANLOOM_PORT",
    ]


@pytest.mark.parametrize("text", ['{"shop":', "5m", "[1]", '{"shop": "soon"}'])
def test_gaps_that_are_no_json_object_of_durations_are_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_GAP_BY_PROJECT", text)

    with pytest.raises(SettingsError, match="SPANLOOM_GAP_BY_PROJECT"):
        load_settings()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"kafka_bootstrap": "kafka:9092,other"}, "SPANLOOM_KAFKA_BOOTSTRAP: 'other' is no `host:port`"),
        ({"clickhouse_url": "ftp://u:secret@host"}, "SPANLOOM_CLICKHOUSE_URL: a ClickHouse URL is http://"),
        ({"redis_url": "u:secret@host:6379"}, "SPANLOOM_REDIS_URL: a Redis URL is redis://"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_without_its_password(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)

    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_duration_that_64_bits_of_nanoseconds_do_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="longest duration"):
        parse_duration("9" * 400)


def test_a_settings_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_CONFIG", "nowhere.toml")

    with pytest.raises(SettingsError, match=r"nowhere\.toml, which is no file"):
        load_settings()


def test_a_settings_file_that_is_not_toml_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "spanloom.toml"
    file.write_text("gap: 5m")
    monkeypatch.setenv("SPANLOOM_CONFIG", str(file))

    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("session_id_attributes", "session.id,metadata{", "'metadata{' is no `attribute{key}`"),
        ("session_id_attributes", "{a}", "'{a}' is no `attribute{key}`"),
        ("session_id_attributes", "metadata{a..b}", "'metadata{a..b}' is no `attribute{key}`"),
        ("dimension_attributes", "metadata{a}", "'metadata{a}' is no `dimension=attribute`"),
        ("dimension_attributes", "user_id=", "'user_id=' is no `dimension=attribute`"),
        ("dimension_attributes", "model=x", "'model' is none of user_id"),
        ("dimension_attributes", "session.id=x", "'session.id' is none of user_id"),
    ],
)
def test_names_of_attributes_that_cannot_be_read_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(variable(name), value)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert fault in str(refused.value)


def test_names_of_attributes_may_be_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_SESSION_ID_ATTRIBUTES", "metadata{requester_metadata.session_id}, session.id")
    monkeypatch.setenv("SPANLOOM_DIMENSION_ATTRIBUTES", "user_id=metadata{user}, session.type=kind, user_id=who")

    settings = load_settings()

    assert settings.session_id_attributes == ("metadata{requester_metadata.session_id}", "session.id")
    assert names_by_dimension(settings.dimension_attributes) == (
        ("user_id", ("metadata{user}", "who")),
        ("session.type", ("kind",)),
    )
