"""Every setting, in one place: name, default, meaning and check.

Read once at the start, from (highest first) the environment (`SPANLOOM_<NAME>`), then the TOML
file named by `SPANLOOM_CONFIG`, then the defaults. Frozen afterwards. Components receive
values, never this object. The settings table in README.md is generated from this file.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from services.shared.clickhouse_url import ClickHouseUrl
from services.shared.errors import SettingsError
from services.shared.otlp.configured_names import faults_of_dimensions, faults_of_names
from services.shared.otlp.redaction import Action, parse_rule
from services.shared.setting_types import (
    Duration,
    Names,
    Pattern,
    PricesFile,
    RedactionRules,
    json_object,
    parse_duration,
    written,
)

__all__ = ["Settings", "load_settings", "parse_duration", "variable"]

_SHORTEST_KEY = 16


class Settings(BaseSettings):
    """See the module; each field's description is its row in the settings table."""

    model_config = SettingsConfigDict(env_prefix="SPANLOOM_", frozen=True, extra="forbid", validate_default=True)

    # where things are
    data_dir: Path = Field(Path(".data"), description="Folder of embedded mode: ClickHouse data, saved states.")
    kafka_bootstrap: str = Field("", description="Kafka brokers, `host:port,...`. Empty: the embedded broker.")
    clickhouse_url: str = Field(
        "", description="ClickHouse, `http://user:password@host:8123/database`. Empty: embedded (chDB)."
    )
    clickhouse_cluster: str = Field("", description="Cluster name for ON CLUSTER and Replicated engines in migrations.")
    redis_url: str = Field("", description="Redis for live values, `redis://host:6379/0`. Empty: embedded.")

    # topics
    app_id: str = Field(
        "spanloom", min_length=1, description="Prefix of groups, transactional ids and changelog topics."
    )
    spans_topic: str = Field("otlp_spans", min_length=1, description="Input: OTLP export requests, protobuf or JSON.")
    trace_spans_topic: str = Field(
        "trace_spans", min_length=1, description="Spans without a session id, and which trace is of which session."
    )
    session_spans_topic: str = Field("session_spans", min_length=1, description="Facts of spans by session key.")
    rollups_topic: str = Field("session_rollups", min_length=1, description="Output: windows, turns, retractions.")
    topic_partitions: int = Field(4, ge=1, le=10_000, description="Partitions of topics that Spanloom makes.")
    topic_replication: int = Field(
        -1, ge=-1, description="Replicas of topics that Spanloom makes; -1: the broker's default."
    )

    # sessions (the policy of the engine)
    gap: Duration = Field(written("30m"), gt=0, description="Longest silence inside one window.")
    gap_by_project: Annotated[dict[str, Duration], NoDecode, BeforeValidator(json_object)] = Field(
        default_factory=dict, description='Other gaps by project, as JSON: `{"voice-bot": "5m"}`.'
    )
    allowed_lateness: Duration = Field(
        written("1h"), ge=0, description="How long a closed window is held and corrected."
    )
    max_duration: Duration = Field(written("24h"), gt=0, description="A window this long is sealed and closed.")
    max_spans: int = Field(50_000, ge=1, description="A window of this many spans is sealed and closed.")
    snapshot_interval: Duration = Field(
        written("30s"), ge=0, description="How often an open window's changes are emitted."
    )
    out_of_orderness: Duration = Field(
        written("10s"), ge=0, description="How far the watermark stays behind the latest span."
    )
    idle_after: Duration = Field(
        written("5s"), gt=0, description="A caught-up source silent this long lets time go on."
    )
    source_timeout: Duration = Field(
        written("10m"), gt=0, description="A source unheard this long no longer holds time back."
    )
    max_future: Duration = Field(
        written("10m"), ge=0, description="A span may end this long after its record's timestamp."
    )
    session_id_attributes: Names = Field(
        (), description="Attributes, or paths into JSON ones (`metadata{a.b}`), read for ids; empty: the built-in list."
    )
    dimension_attributes: Names = Field((), description="`dimension=name`, tried first: services/shared/ATTRIBUTES.md.")
    project_attributes: Names = Field(
        (), description="Resource attributes read for the project after `openinference.project.name`."
    )
    prices_file: PricesFile = Field("", description="TOML file of prices that come before those of genai-prices.")

    # privacy
    redact: RedactionRules = Field(
        (), description="What is not kept, by attribute name: `drop:user.email,hash:user.id,mask:*.api_key`."
    )
    redact_key: SecretStr = Field(SecretStr(""), description="Secret of the hashes that `hash:` rules make.")
    redact_values: Pattern = Field("", description="Regular expression; what it finds in any text is masked.")
    capture_content: bool = Field(
        default=True, description="`false`: inputs, outputs and messages of errors are not kept."
    )
    dead_letters: Literal["keep", "drop"] = Field(
        "keep", description="Whether records that nobody can decode are kept in the dead letter topic."
    )
    dead_letter_retention: Duration = Field(
        written("7d"), ge=60 * 10**9, description="How long topics of dead letters that Spanloom makes keep them."
    )

    resolve: Literal["always", "when_missing", "off"] = Field(
        "always", description="Which traces tell their session to spans of theirs that name none in other records."
    )
    resolve_timeout: Duration = Field(
        written("10m"), ge=0, description="How long a span waits for the session id of its trace."
    )
    resolve_max_bytes: int = Field(
        64 << 20, ge=1 << 20, description="Bytes of waiting spans a partition; over it, the longest wait ends early."
    )
    unresolved: Literal["drop", "trace"] = Field(
        "drop", description="Spans whose trace has no session: `drop`, or `trace`: a session `trace:<trace id>`."
    )

    # the worker
    epoch: int = Field(
        1, ge=1, lt=1 << 15, description="High bits of every version; raise it when `session_spans` was made anew."
    )
    resolve_epoch: int = Field(1, ge=1, lt=1 << 15, description="Raise it when `trace_spans` was made anew.")
    instance_id: str = Field("", description="Static Kafka group membership: a stable name for this worker.")
    checkpoint_interval: Duration = Field(
        written("500ms"), gt=0, description="How often outputs, states and position commit; a quarter so when behind."
    )
    kafka_session_timeout: Duration = Field(
        written("15s"), ge=10**9, description="A silent worker loses its partitions after this."
    )
    transaction_timeout: Duration = Field(
        written("30s"), ge=10**9, description="The broker aborts an older open transaction."
    )
    metadata_refresh: Duration = Field(
        written("30s"), ge=10**9, description="How soon a worker finds new partitions of `otlp_spans`."
    )
    drain_timeout: Duration = Field(written("60s"), gt=0, description="SIGTERM: the clean stop may take this long.")

    # sinks
    span_storage: Literal["all", "roots", "off"] = Field("all", description="Which spans the span sink stores.")
    sink_flush_interval: Duration = Field(written("500ms"), gt=0, description="A sink inserts at least this often.")
    sink_batch_rows: int = Field(30_000, ge=1, description="A sink inserts at this many rows.")
    sink_refused_rows: int = Field(
        100, ge=1, description="More refused rows in a row mean that a table does not fit: the sink waits for a person."
    )

    # HTTP
    host: str = Field("127.0.0.1", description="Address that HTTP services listen on.")
    port: int = Field(6006, ge=0, le=65535, description="Port of the query API (and of the gateway in embedded mode).")
    gateway_port: int = Field(4318, ge=0, le=65535, description="Port of a gateway that runs by itself.")
    metrics_port: int = Field(
        9464, ge=0, le=65535, description="Port of /metrics, /healthz, /readyz of worker and sink."
    )
    max_request_bytes: int = Field(16 << 20, ge=1024, description="Largest body the gateway takes, unpacked.")
    gateway_timeout: Duration = Field(
        written("10s"), gt=0, description="The gateway answers 503 when Kafka takes longer."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_kafka_bootstrap(cls, bootstrap: str) -> str:
        for broker in bootstrap.split(",") if bootstrap else ():
            host, _, port = broker.strip().rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError(f"{broker!r} is no `host:port`")
        return bootstrap

    @field_validator("clickhouse_url")
    @classmethod
    def _check_clickhouse_url(cls, url: str) -> str:
        try:
            if url:
                ClickHouseUrl.parse(url)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return url

    @field_validator("redact_key")
    @classmethod
    def _check_redact_key(cls, key: SecretStr, info: ValidationInfo) -> SecretStr:
        hashes = any(parse_rule(rule).action is Action.HASH for rule in info.data.get("redact", ()))
        if hashes and len(key.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(f"`hash:` rules need a secret of at least {_SHORTEST_KEY} characters")
        return key

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("a Redis URL is redis://host:6379/0, rediss://host:6379/0 or unix:///socket")
        return url

    @field_validator("session_id_attributes", "dimension_attributes")
    @classmethod
    def _check_attribute_names(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        check = faults_of_names if info.field_name == "session_id_attributes" else faults_of_dimensions
        if faults := check(names):
            raise ValueError("; ".join(faults))
        return names

    # Across settings: at the later one, of those before it that are usable, so that all faults are told at once.

    @field_validator("gap_by_project")
    @classmethod
    def _check_gaps(cls, gaps: dict[str, int]) -> dict[str, int]:
        if empty := [name for name, gap in gaps.items() if gap == 0]:
            raise ValueError(f"the gap of {', '.join(map(repr, empty))} must be more than 0")
        return gaps

    @field_validator("max_duration")
    @classmethod
    def _check_max_duration(cls, max_duration: int, info: ValidationInfo) -> int:
        if max_duration < info.data.get("gap", 0):
            raise ValueError(f"must be at least {variable('gap')}")
        if longer := [name for name, gap in info.data.get("gap_by_project", {}).items() if gap > max_duration]:
            raise ValueError(f"must be at least {variable('gap_by_project')} of {', '.join(map(repr, longer))}")
        return max_duration

    @field_validator("source_timeout")
    @classmethod
    def _check_source_timeout(cls, source_timeout: int, info: ValidationInfo) -> int:
        if source_timeout <= info.data.get("idle_after", 0):
            raise ValueError(
                f"must be more than {variable('idle_after')}, or a silent source is given up before it is idle"
            )
        return source_timeout

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Code, then environment, then the TOML file."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get("SPANLOOM_CONFIG")
        return (init_settings, env_settings, *([TomlConfigSettingsSource(settings_cls, Path(file))] if file else []))


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - a setting may be anything
    """Read and check every setting. Raises `SettingsError`, which names all faults at once."""
    file = os.environ.get("SPANLOOM_CONFIG")
    if file and not Path(file).is_file():
        raise SettingsError(f"SPANLOOM_CONFIG names {file}, which is no file: correct the path or unset it")
    faults = [f"{name}: there is no such setting{_meant(name)}" for name in sorted(os.environ) if _is_unknown(name)]
    try:
        settings = Settings(**overrides)
    except TOMLDecodeError as error:
        faults.append(f"{file} is not TOML: {error}")
    except ValidationError as error:
        faults += [_fault(fault["type"], fault["loc"], fault["msg"], fault["input"]) for fault in error.errors()]
    if faults:
        raise SettingsError("\n  ".join(["settings that cannot be used:", *faults]))
    return settings


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"SPANLOOM_{name.upper()}"


def _is_unknown(name: str) -> bool:
    known = {"SPANLOOM_CONFIG", "SPANLOOM_COMPILED", *(variable(field) for field in Settings.model_fields)}
    return name.startswith("SPANLOOM_") and name not in known


def _meant(name: str) -> str:
    near = get_close_matches(name, [variable(field) for field in Settings.model_fields], n=1)
    return f" (perhaps {near[0]}?)" if near else ""


def _fault(kind: str, where: tuple[int | str, ...], what: str, value: object) -> str:
    what = what.removeprefix("Value error, ")
    name, *keys = where
    path = variable(str(name)) + "".join(f"[{key!r}]" for key in keys)
    if kind == "extra_forbidden":
        return f"{path}: there is no such setting{_meant(path)}"
    # URLs have passwords in them.
    return f"{path}: {what}" if path.endswith(("_URL", "_KEY")) else f"{path}: {what} (got {value!r})"
