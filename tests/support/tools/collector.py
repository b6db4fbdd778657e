"""The real OpenTelemetry Collector."""

from hashlib import sha256
from pathlib import Path

from tests.support.tools.go_build import build_package, built, run

_BUILDER = "go.opentelemetry.io/collector/cmd/builder"
_BUILDER_VERSION = "v0.155.0"
_MANIFEST = Path(__file__).parent / "builder.yaml"


def collector() -> Path:
    """The program, built once for each content of builder.yaml (minutes the first time). Needs Go."""
    stamp = sha256(_MANIFEST.read_bytes() + _BUILDER_VERSION.encode()).hexdigest()[:12]
    return built("collector", stamp, _build)


def _build(folder: Path) -> Path:
    builder = build_package(folder, _BUILDER, _BUILDER_VERSION, "builder")
    manifest = folder / "builder.yaml"
    manifest.write_text(f"{_MANIFEST.read_text()}\n".replace("dist:\n", f"dist:\n  output_path: {folder / 'out'}\n", 1))
    run([str(builder), "--config", str(manifest)], folder)
    return folder / "out" / "otelcol"
