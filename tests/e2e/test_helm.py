"""The chart, rendered and linted by the real helm. Nothing here runs in a cluster."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.main import main
from services.shared.settings import Settings, parse_duration, variable
from tests.support.processes import REPOSITORY
from tests.support.tools.helm import helm

pytestmark = [pytest.mark.slow, pytest.mark.go]

CHART = REPOSITORY / "helm" / "spanloom"
NEEDED = ("--set", "kafka.bootstrap=kafka:9092", "--set", "clickhouse.url=http://clickhouse:8123/default")
BOTH = ("--set", "settings.REDACT_KEY=a,secretSettings.REDACT_KEY.name=a,secretSettings.REDACT_KEY.key=b")
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def program() -> Path:
    return helm()


def _helm(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def _render(program: Path, *arguments: str) -> list[Manifest]:
    done = _helm(program, "template", "try", str(CHART), *arguments)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def _pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Service and pod of everything that runs."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            template = manifest["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]


def _environment(pod: Manifest) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod["containers"][0]["env"]}


def test_helm_lint_finds_nothing(program: Path) -> None:
    done = _helm(program, "lint", "--strict", str(CHART), *NEEDED)

    assert done.returncode == 0, done.stdout


def test_every_service_is_rendered_once_with_a_command_that_exists(program: Path) -> None:
    commands = [(service, pod["containers"][0]["args"]) for service, pod in _pods(_render(program, *NEEDED))]

    assert sorted(commands) == [(name, [name]) for name in ("api", "gateway", "migrate", "sink", "worker")]
    assert all(service in main.commands for service, _ in commands)


def test_every_variable_is_a_setting_and_its_value_is_one(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {variable(name) for name in Settings.model_fields}

    for _, pod in _pods(_render(program, *NEEDED, "--set", "settings.GAP=45m", "--set", "redis.url=redis://redis/0")):
        environment = _environment(pod)
        assert set(environment) <= known
        assert environment["SPANLOOM_GAP"] == "45m"
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            assert Settings().redis_url == "redis://redis/0"


def test_a_pod_gets_longer_to_stop_than_its_drain_may_take(program: Path) -> None:
    pods = [(service, pod) for service, pod in _pods(_render(program, *NEEDED)) if service != "migrate"]

    assert len(pods) == 4
    for _, pod in pods:
        drain = parse_duration(_environment(pod)["SPANLOOM_DRAIN_TIMEOUT"]) / 10**9
        assert drain < pod["terminationGracePeriodSeconds"]


def test_a_worker_keeps_its_name_in_the_group(program: Path) -> None:
    manifests = _render(program, *NEEDED)
    worker = dict(_pods(manifests))["worker"]
    [kind] = [
        m["kind"] for m in manifests if "template" in m.get("spec", {}) and m["metadata"]["name"].endswith("worker")
    ]

    assert kind == "StatefulSet"
    assert {
        "name": "SPANLOOM_INSTANCE_ID",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    } in worker["containers"][0]["env"]


def test_services_select_the_pods_that_listen_on_their_port(program: Path) -> None:
    manifests = _render(program, *NEEDED)
    pods = dict(_pods(manifests))

    services = [manifest["spec"] for manifest in manifests if manifest["kind"] == "Service"]
    assert len(services) == 3
    for service in services:
        container = pods[service["selector"]["app.kubernetes.io/component"]]["containers"][0]
        assert {port["targetPort"] for port in service["ports"]} <= {port["name"] for port in container["ports"]}


def test_no_pod_may_do_more_than_it_needs(program: Path) -> None:
    for _, pod in _pods(_render(program, *NEEDED)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_passwords_come_from_secrets_where_they_are_named(program: Path) -> None:
    secrets = ("--set", "clickhouse.existingSecret.name=db", "--set", "redis.existingSecret.name=cache")
    for _, pod in _pods(_render(program, "--set", "kafka.bootstrap=kafka:9092", *secrets)):
        sources = {entry["name"]: entry.get("valueFrom") for entry in pod["containers"][0]["env"]}
        assert sources["SPANLOOM_CLICKHOUSE_URL"] == {"secretKeyRef": {"name": "db", "key": "clickhouse-url"}}
        assert sources["SPANLOOM_REDIS_URL"] == {"secretKeyRef": {"name": "cache", "key": "redis-url"}}


def test_a_secret_setting_reaches_every_service_from_its_secret(program: Path) -> None:
    arguments = ("--set", "settings.REDACT=hash:user.id", "--set", "secretSettings.REDACT_KEY.name=privacy")
    pods = list(_pods(_render(program, *NEEDED, *arguments, "--set", "secretSettings.REDACT_KEY.key=hash")))

    assert len(pods) == 5
    for _, pod in pods:
        sources = {entry["name"]: entry.get("valueFrom") for entry in pod["containers"][0]["env"]}
        assert sources["SPANLOOM_REDACT_KEY"] == {"secretKeyRef": {"name": "privacy", "key": "hash"}}


def test_the_worker_gets_the_price_file_whole_and_starts_anew_with_another_one(program: Path, tmp_path: Path) -> None:
    def render(text: str) -> tuple[list[Manifest], Manifest]:
        (tmp_path / "prices.toml").write_text(text)
        arguments = ("--set", "worker.podAnnotations.team=a", "--set-file", f"prices={tmp_path / 'prices.toml'}")
        manifests = _render(program, *NEEDED, *arguments)
        [worker] = [manifest for manifest in manifests if manifest["kind"] == "StatefulSet"]
        return manifests, worker["spec"]["template"]

    text = '[[price]]\nmodel = "in-house-*"\nunpriced = true\n'
    manifests, template = render(text)
    [file] = [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"]
    pod = template["spec"]
    [container] = pod["containers"]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "prices"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "prices"]

    assert volume["configMap"]["name"] == file["metadata"]["name"]
    assert file["data"] == {Path(_environment(pod)["SPANLOOM_PRICES_FILE"]).name: text}
    assert Path(_environment(pod)["SPANLOOM_PRICES_FILE"]).parent == Path(mount["mountPath"])
    assert [name for name, other in _pods(manifests) if "SPANLOOM_PRICES_FILE" in _environment(other)] == ["worker"]
    assert template["metadata"]["annotations"]["team"] == "a"
    assert render(text)[1] == template != render(f"{text}\n")[1]


def test_the_migration_runs_before_the_rest_unless_hooks_are_off(program: Path) -> None:
    def hook(*arguments: str) -> str | None:
        [job] = [manifest for manifest in _render(program, *NEEDED, *arguments) if manifest["kind"] == "Job"]
        annotations: dict[str, str] = job["metadata"].get("annotations", {})
        return annotations.get("helm.sh/hook")

    assert hook() == "pre-install,pre-upgrade"
    assert hook("--set", "migrate.useHelmHooks=false") is None


def test_the_gateway_can_be_left_out(program: Path) -> None:
    assert "gateway" not in dict(_pods(_render(program, *NEEDED, "--set", "gateway.enabled=false")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "clickhouse.url=http://c"), "name the Kafka brokers"),
        (("--set", "kafka.bootstrap=k:9092"), "say where ClickHouse is"),
        ((*NEEDED, "--set", "worker.replica=3"), "replica"),
        ((*NEEDED, "--set", "worker.replicas=0"), "replicas"),
        ((*NEEDED, "--set-string", "settings.PORT=7000"), "PORT"),
        ((*NEEDED, "--set", "settings.MAX_SPANS=100000"), "MAX_SPANS"),
        ((*NEEDED, "--set", "secretSettings.REDACT_KEY.name=privacy"), "key"),
        ((*NEEDED, "--set", "secretSettings.PORT.name=a", "--set", "secretSettings.PORT.key=b"), "PORT"),
        ((*NEEDED, *BOTH), "REDACT_KEY is in settings and in secretSettings"),
        ((*NEEDED, "--set", "settings.PRICES_FILE=/a,prices=b"), "prices and settings.PRICES_FILE"),
    ],
)
def test_values_that_cannot_work_are_refused(program: Path, arguments: tuple[str, ...], said: str) -> None:
    done = _helm(program, "template", "try", str(CHART), *arguments)

    assert done.returncode != 0
    assert said in done.stderr
