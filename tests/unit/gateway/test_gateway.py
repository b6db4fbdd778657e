"""The gateway over HTTP: what is taken, what is refused, and that 200 means Kafka has it."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it has no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from services.gateway.app import build_app
from services.gateway.records import LARGEST, PREFERRED
from services.shared.clock import SystemClock
from services.shared.room import BoundedRoom
from services.shared.telemetry import Telemetry
from tests.support.otlp import request, span, to_json, to_protobuf
from tests.support.spans_topic import FakeProducer

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
MOST = 4 << 20
TOPIC = "otlp_spans"


class Setup:
    """A gateway on a fake topic of four partitions with room of their own."""

    def __init__(self, timeout: float = 10.0, room_bytes: int = 2 << 20) -> None:
        self.producer, self.telemetry = FakeProducer(), Telemetry()
        self.room = BoundedRoom({TOPIC: frozenset({"route"})}, room_bytes)
        self.app = build_app(
            self.producer,
            self.room,
            self.telemetry,
            SystemClock(),
            topic=TOPIC,
            max_request_bytes=MOST,
            timeout=timeout,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")

    async def post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self.client.post("/v1/traces", content=body, headers=headers)

    def counted(self, outcome: str) -> float:
        value = self.telemetry.registry.get_sample_value("spanloom_gateway_spans_total", {"outcome": outcome})
        return 0 if value is None else value

    def read_all(self) -> None:
        """`route` has passed everything."""
        for partition, values in self.producer.written.items():
            self.room.passed("route", TOPIC, partition, len(values))


@pytest.fixture
async def gateway() -> AsyncIterator[Setup]:
    setup = Setup()
    yield setup
    await setup.client.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[Setup]:
    setup = Setup(timeout=0.05)
    yield setup
    await setup.client.aclose()


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("is_json", [False, True])
async def test_an_export_reaches_the_topic_in_the_bytes_of_the_client(
    gateway: Setup, is_json: bool, is_packed: bool
) -> None:
    data = request(span(), span(span_id=2))
    body = to_json(data) if is_json else to_protobuf(data)
    headers = dict(JSON if is_json else PROTOBUF)
    if is_packed:
        headers["content-encoding"] = "gzip"
    answer = await gateway.post(gzip.compress(body) if is_packed else body, headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == headers["content-type"]
    assert answer.content == (b'{"partialSuccess":{}}' if is_json else b"")
    assert gateway.producer.values == [body]
    assert gateway.counted("accepted") == 2


async def test_the_project_header_wins_over_the_resource(gateway: Setup) -> None:
    data = request(span(), resource={"openinference.project.name": "old"})
    await gateway.post(to_json(data), JSON | {"x-project-name": " support "})
    (written,) = gateway.producer.requests
    (attribute,) = written.resource_spans[0].resource.attributes
    assert attribute.value.string_value == "support"


async def test_large_exports_are_spread_over_partitions_in_records_of_bounded_size(gateway: Setup) -> None:
    data = request(*(span(span_id=n, attributes={"input.value": "x" * 9_000}) for n in range(1, 301)))
    answer = await gateway.post(to_protobuf(data), PROTOBUF)
    assert answer.status_code == 200
    assert max(map(len, gateway.producer.values)) <= PREFERRED
    assert sorted(gateway.producer.written) == [0, 1, 2, 3]
    assert sorted(item.span_id for item in gateway.producer.spans) == sorted(
        item.span_id for item in data.resource_spans[0].scope_spans[0].spans
    )


async def test_requests_take_turns_over_the_partitions(gateway: Setup) -> None:
    for _ in range(8):
        await gateway.post(to_protobuf(request(span())), PROTOBUF)
    assert {partition: len(values) for partition, values in gateway.producer.written.items()} == dict.fromkeys(
        range(4), 2
    )


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\n\xff\xff", PROTOBUF, 400),
        (b"{nonsense", JSON, 400),
        (b'{"resourceSpans": 5}', JSON, 400),
        (b"not gzip", PROTOBUF | {"content-encoding": "gzip"}, 400),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"x", {}, 415),
        (b"x", PROTOBUF | {"content-encoding": "br"}, 415),
        (b"x" * (MOST + 1), PROTOBUF, 413),
        (gzip.compress(b"\0" * (MOST + 1)), PROTOBUF | {"content-encoding": "gzip"}, 413),
    ],
)
async def test_what_is_refused_for_good_says_why_in_the_encoding_of_the_request(
    gateway: Setup, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await gateway.post(body, headers)
    assert answer.status_code == status
    if headers.get("content-type") == PROTOBUF["content-type"]:
        told = Status.FromString(answer.content)
        assert (told.code, bool(told.message)) == (3, True)
    else:
        assert orjson.loads(answer.content).keys() == {"code", "message"}
    assert gateway.producer.values == []
    assert "retry-after" not in answer.headers


async def test_a_body_that_grows_over_the_limit_is_refused_without_being_read_to_its_end(gateway: Setup) -> None:
    sent = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"\0" * (1 << 20)

    answer = await gateway.client.post("/v1/traces", content=much(), headers=PROTOBUF)
    assert answer.status_code == 413
    assert sent == (MOST >> 20) + 1


@pytest.mark.parametrize("is_json", [False, True])
async def test_a_span_that_fits_no_record_is_rejected_and_the_others_are_taken(gateway: Setup, is_json: bool) -> None:
    data = request(span(), span(span_id=2, attributes={"input.value": "x" * LARGEST}), span(span_id=3))
    answer = await gateway.post(to_json(data) if is_json else to_protobuf(data), JSON if is_json else PROTOBUF)
    assert answer.status_code == 200
    if is_json:
        success = orjson.loads(answer.content)["partialSuccess"]
        assert success["rejectedSpans"] == "1"
        assert "too large" in success["errorMessage"]
    else:
        told = ExportTraceServiceResponse.FromString(answer.content)
        assert told.partial_success.rejected_spans == 1
        assert "too large" in told.partial_success.error_message
    assert len(gateway.producer.spans) == 2
    assert (gateway.counted("accepted"), gateway.counted("too_large")) == (2, 1)


async def test_a_record_that_the_broker_will_never_take_is_rejected(gateway: Setup) -> None:
    gateway.producer.largest = 10
    answer = await gateway.post(to_protobuf(request(span())), PROTOBUF)
    assert answer.status_code == 200
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert gateway.counted("too_large") == 1


@pytest.mark.parametrize("is_json", [False, True])
async def test_without_kafka_the_client_is_asked_to_come_again(gateway: Setup, is_json: bool) -> None:
    gateway.producer.is_down = True
    body = to_json(request(span())) if is_json else to_protobuf(request(span()))
    answer = await gateway.post(body, JSON if is_json else PROTOBUF)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    code = orjson.loads(answer.content)["code"] if is_json else Status.FromString(answer.content).code
    assert code == 14
    assert gateway.counted("refused") == 1
    assert gateway.counted("accepted") == 0


async def test_a_client_is_answered_only_after_kafka_has_acknowledged(gateway: Setup) -> None:
    gateway.producer.hold()
    answer = asyncio.create_task(gateway.post(to_protobuf(request(span())), PROTOBUF))
    done, _ = await asyncio.wait({answer}, timeout=0.1)
    assert not done
    gateway.producer.release()
    assert (await answer).status_code == 200


async def test_a_kafka_that_takes_too_long_is_a_503_and_what_it_still_takes_is_no_fault(hasty: Setup) -> None:
    hasty.producer.hold()
    answer = await hasty.post(to_protobuf(request(span())), PROTOBUF)
    assert answer.status_code == 503
    hasty.producer.release()
    answer = await hasty.post(to_protobuf(request(span(span_id=2))), PROTOBUF)
    assert answer.status_code == 200
    assert len(hasty.producer.spans) == 2


async def test_without_room_nothing_is_written_and_the_client_is_asked_to_come_again(gateway: Setup) -> None:
    body = to_protobuf(request(span(attributes={"input.value": "x" * 500_000})))
    statuses = [(await gateway.post(body, PROTOBUF)).status_code for _ in range(20)]
    assert statuses == [200] * 16 + [503] * 4
    assert len(gateway.producer.values) == 16
    gateway.read_all()
    assert (await gateway.post(body, PROTOBUF)).status_code == 200


async def test_a_partition_without_room_is_skipped(gateway: Setup) -> None:
    assert gateway.room.try_take(TOPIC, 0, 2 << 20)
    for _ in range(6):
        assert (await gateway.post(to_protobuf(request(span())), PROTOBUF)).status_code == 200
    assert sorted(gateway.producer.written) == [1, 2, 3]


async def test_an_export_larger_than_all_room_goes_through_while_readers_keep_up() -> None:
    setup = Setup(room_bytes=500_000)
    setup.producer.after_send = setup.read_all
    data = request(*(span(span_id=n, attributes={"input.value": "x" * 300_000}) for n in range(1, 13)))
    answer = await setup.post(to_protobuf(data), PROTOBUF)
    assert answer.status_code == 200
    assert len(setup.producer.spans) == 12
    await setup.client.aclose()


async def test_an_export_larger_than_all_room_is_a_503_when_readers_stand_still() -> None:
    setup = Setup(timeout=0.05, room_bytes=500_000)
    data = request(*(span(span_id=n, attributes={"input.value": "x" * 300_000}) for n in range(1, 13)))
    assert (await setup.post(to_protobuf(data), PROTOBUF)).status_code == 503
    assert len(setup.producer.spans) == 4
    await setup.client.aclose()


async def test_room_is_given_back_for_what_kafka_did_not_take(gateway: Setup) -> None:
    gateway.producer.is_down = True
    body = to_protobuf(request(span(attributes={"input.value": "x" * 500_000})))
    for _ in range(40):
        assert (await gateway.post(body, PROTOBUF)).status_code == 503
    gateway.producer.is_down = False
    statuses = [(await gateway.post(body, PROTOBUF)).status_code for _ in range(16)]
    assert statuses == [200] * 16


async def test_requests_over_what_may_be_held_in_memory_are_asked_to_come_again(gateway: Setup) -> None:
    gateway.producer.hold()
    body = to_protobuf(request(*(span(span_id=n, attributes={"x": "x" * 300_000}) for n in range(1, 4))))
    answers = [asyncio.create_task(gateway.post(body, PROTOBUF)) for _ in range(12)]
    done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status_code for task in done} == {503}
    gateway.producer.release()
    assert {task.result().status_code for task in (await asyncio.wait(waiting))[0]} <= {200, 503}


async def test_probes_and_metrics_are_on_the_same_port(gateway: Setup) -> None:
    await gateway.post(to_protobuf(request(span())), PROTOBUF)
    assert (await gateway.client.get("/healthz")).text == "OK"
    assert (await gateway.client.get("/readyz")).status_code == 200
    metrics = (await gateway.client.get("/metrics")).text
    assert 'spanloom_http_requests_total{route="/v1/traces",status="200"} 1.0' in metrics
    assert (await gateway.client.get("/v1/traces")).status_code == 405


async def test_while_a_reader_stands_still_everything_is_refused_with_the_reason(gateway: Setup) -> None:
    body = to_protobuf(request(span()))
    gateway.room.blocked("span-sink", "span-sink cannot insert: no space left on device")
    answer = await gateway.post(body, PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "no space left on device; try again" in Status.FromString(answer.content).message
    assert not gateway.producer.written
    gateway.room.blocked("span-sink", "")
    assert (await gateway.post(body, PROTOBUF)).status_code == 200
