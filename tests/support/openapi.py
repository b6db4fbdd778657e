"""The OpenAPI documents of the services, and where they are published.

`python -m tests.support.openapi` writes them anew after a change that is meant.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from services.gateway.app import build_app as build_gateway
from services.query_api.app import build_app as build_api
from services.shared.clock import SystemClock
from services.shared.room import Unlimited
from services.shared.telemetry import Telemetry
from tests.support.spans_topic import FakeProducer
from tests.support.store import FakeStore

PUBLISHED = Path(__file__).parents[2] / "schemas" / "openapi"


def documents() -> Mapping[str, dict[str, Any]]:
    """By file name."""
    clock = SystemClock()
    gateway = build_gateway(
        FakeProducer(), Unlimited(), Telemetry(), clock, topic="otlp_spans", max_request_bytes=16 << 20
    )
    return {
        "query_api.json": build_api(FakeStore(), None, Telemetry(), clock).openapi(),
        "gateway.json": gateway.openapi(),
    }


def main() -> None:
    for name, document in documents().items():
        (PUBLISHED / name).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
