"""`spanloom api` and `spanloom gateway` as services: on real neighbours, from start to clean stop."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from services.embedded.broker import PARTITIONS, EmbeddedBroker
from services.gateway import main as gateway
from services.query_api import main as query_api
from services.shared.clickhouse import ClickHouse
from services.shared.errors import SettingsError
from services.shared.health import Health
from services.shared.otlp.decode import decode_request
from services.shared.process import Service
from services.shared.settings import load_settings
from services.shared.telemetry import Telemetry
from tests.support.kafka.log import read_all
from tests.support.otlp import request, span, to_protobuf
from tests.support.ports import free_ports
from tests.support.redis import redis_server
from tests.support.rollups import window
from tests.support.stored_rollups import insert_rollups

WITHIN = 20.0


@asynccontextmanager
async def running(service: Service, at: int, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The service, which listens on port `at`, until the block ends, then drained; raises what it raises."""
    stop = asyncio.Event()
    task = asyncio.create_task(service(load_settings(**settings), Telemetry(), stop, Health()))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at}", timeout=WITHIN) as client:
        await answers(client, task)
        yield client
    stop.set()
    await asyncio.wait_for(task, WITHIN)


async def answers(client: httpx.AsyncClient, task: "asyncio.Task[None]") -> None:
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        try:
            await client.get("/healthz")
        except httpx.ConnectError:
            await asyncio.wait({task}, timeout=0.05)
            if task.done():
                task.result()
        else:
            return
    raise AssertionError("the service did not listen in time")


async def test_the_api_serves_what_clickhouse_has(clickhouse: ClickHouse, clickhouse_url: str) -> None:
    insert_rollups(clickhouse, [window("s1")])
    (port,) = free_ports(1)
    with redis_server() as redis_url:
        async with running(query_api.run, port, port=port, clickhouse_url=clickhouse_url, redis_url=redis_url) as api:
            assert (await api.get("/readyz")).status_code == 200
            answer = await api.get("/v1/sessions/s1")
            assert answer.json()["data"]["session_id"] == "s1"
            assert "x-spanloom-live" not in answer.headers


async def test_the_api_answers_without_redis_and_says_so(clickhouse: ClickHouse, clickhouse_url: str) -> None:
    insert_rollups(clickhouse, [window("s1")])
    port, nobody = free_ports(2)
    redis_url = f"redis://127.0.0.1:{nobody}/0"
    async with running(query_api.run, port, port=port, clickhouse_url=clickhouse_url, redis_url=redis_url) as api:
        answer = await api.get("/v1/projects/p1/sessions")
        assert [s["session_id"] for s in answer.json()["data"]] == ["s1"]
        assert answer.headers["x-spanloom-live"] == "missing"
        assert (await api.get("/readyz")).status_code == 200


async def test_the_api_starts_without_clickhouse_and_is_not_ready() -> None:
    port, nobody = free_ports(2)
    async with running(query_api.run, port, port=port, clickhouse_url=f"http://127.0.0.1:{nobody}") as api:
        assert (await api.get("/readyz")).status_code == 503
        answer = await api.get("/v1/projects")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_api_before_the_migrations_says_what_is_missing(clickhouse_url: str) -> None:
    (port,) = free_ports(1)
    url = clickhouse_url.rpartition("/")[0] + "/default"
    async with running(query_api.run, port, port=port, clickhouse_url=url) as api:
        assert "projects" in (await api.get("/readyz")).text
        assert (await api.get("/v1/projects")).status_code == 503


@pytest.mark.parametrize("service", [query_api.run, gateway.run], ids=["api", "gateway"])
async def test_a_service_without_its_neighbours_named_says_which_setting_is_missing(service: Service) -> None:
    with pytest.raises(SettingsError, match="SPANLOOM_"):
        await service(load_settings(), Telemetry(), asyncio.Event(), Health())


async def test_a_port_that_is_taken_is_a_settings_error(clickhouse_url: str) -> None:
    (port,) = free_ports(1)
    async with running(query_api.run, port, port=port, clickhouse_url=clickhouse_url):
        with pytest.raises(SettingsError, match="SPANLOOM_PORT"):
            await query_api.run(
                load_settings(port=port, clickhouse_url=clickhouse_url), Telemetry(), asyncio.Event(), Health()
            )


async def test_spans_of_a_real_exporter_reach_the_topic(embedded_kafka: EmbeddedBroker) -> None:
    (port,) = free_ports(1)
    settings = {"gateway_port": port, "kafka_bootstrap": embedded_kafka.bootstrap}
    async with running(gateway.run, port, **settings) as client:
        await asyncio.to_thread(_export, f"http://127.0.0.1:{port}/v1/traces")
        metrics = (await client.get("/metrics")).text
    (record,) = await asyncio.to_thread(read_all, embedded_kafka.bootstrap, "otlp_spans", PARTITIONS)
    decoded = decode_request(record.value or b"")
    assert isinstance(decoded, TracesData)
    (group,) = decoded.resource_spans
    assert group.scope_spans[0].spans[0].name == "question"
    attributes = {a.key: a.value.string_value for a in group.resource.attributes}
    assert attributes["openinference.project.name"] == "support"
    assert 'spanloom_gateway_spans_total{outcome="accepted"} 1.0' in metrics


def _export(endpoint: str) -> None:
    exporter = OTLPSpanExporter(endpoint, headers={"x-project-name": "support"}, compression=Compression.Gzip)
    provider = TracerProvider(resource=Resource({"service.name": "bot"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("question", attributes={"session.id": "s1"}).end()
    provider.shutdown()


async def test_everything_that_was_acknowledged_is_in_the_topic(embedded_kafka: EmbeddedBroker) -> None:
    (port,) = free_ports(1)
    settings = {"gateway_port": port, "kafka_bootstrap": embedded_kafka.bootstrap}
    bodies = [
        to_protobuf(request(*(span(trace_id=n, span_id=k, attributes={"session.id": f"s{n}"}) for k in range(1, 11))))
        for n in range(1, 201)
    ]
    async with running(gateway.run, port, **settings) as client:
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        posts = (client.post("/v1/traces", content=gzip.compress(body), headers=headers) for body in bodies)
        assert {answer.status_code for answer in await asyncio.gather(*posts)} == {200}
    records = await asyncio.to_thread(read_all, embedded_kafka.bootstrap, "otlp_spans", PARTITIONS)
    assert sorted(record.value or b"" for record in records) == sorted(bodies)


async def test_the_gateway_waits_for_kafka_and_stops_while_it_waits() -> None:
    port, nobody = free_ports(2)
    stop = asyncio.Event()
    settings = load_settings(gateway_port=port, kafka_bootstrap=f"127.0.0.1:{nobody}", gateway_timeout="1s")
    task = asyncio.create_task(gateway.run(settings, Telemetry(), stop, Health()))
    stop.set()
    await asyncio.wait_for(task, WITHIN)
