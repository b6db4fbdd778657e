"""The real helm."""

from pathlib import Path

from tests.support.tools.go_build import build_package, built

_VERSION = "v3.22.0"
_PACKAGE = "helm.sh/helm/v3/cmd/helm"
_KUBERNETES_MINOR = "36"
# Without these, helm tells charts and its linter that Kubernetes is 1.20.
_FLAGS = " ".join(
    [
        "-s -w",
        f"-X helm.sh/helm/v3/internal/version.version={_VERSION}",
        *(
            f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
            for package in ("lint/rules", "chartutil")
            for part, number in (("Major", "1"), ("Minor", _KUBERNETES_MINOR))
        ),
    ]
)


def helm() -> Path:
    """The program, built once (two to three minutes). Needs Go."""
    return built(
        "helm",
        f"{_VERSION}-1.{_KUBERNETES_MINOR}",
        lambda folder: build_package(folder, _PACKAGE, _VERSION, "program", _FLAGS),
    )
