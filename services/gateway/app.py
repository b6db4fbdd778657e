"""POST /v1/traces: OTLP over HTTP in, Kafka out. 200 means that Kafka has every span the answer does not reject."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

import services
from services.gateway import answers
from services.gateway.body import Encoding, Export, Refusal, encoding_of, read_body
from services.gateway.delivery import Delivery, Producer
from services.gateway.records import LARGEST, to_records
from services.shared.clock import Clock
from services.shared.errors import TransientError
from services.shared.http import RETRY_AFTER, add_edge, monitor_router
from services.shared.otlp.redaction import Redaction
from services.shared.room import Room
from services.shared.telemetry import Telemetry

_SPANS = "spanloom_gateway_spans_total"
_IN_HAND = 4  # times the largest request, packed and unpacked: what all requests together may hold in memory
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_OPENAPI = {
    "parameters": [
        {
            "name": "x-project-name",
            "in": "header",
            "schema": {"type": "string"},
            "description": "Project of all spans: written into `openinference.project.name` over what is there.",
        },
        {"name": "content-encoding", "in": "header", "schema": {"type": "string", "enum": ["gzip", "identity"]}},
    ],
    "requestBody": {
        "required": True,
        "description": "An ExportTraceServiceRequest.",
        "content": {encoding.value: _BYTES if encoding is Encoding.PROTOBUF else {} for encoding in Encoding},
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Kafka has acknowledged every span, except those that `partial_success` rejects."},
    400: {"description": "Not a readable export request."},
    413: {"description": "Larger than is taken."},
    415: {"description": "Another content type or encoding."},
    503: {"description": "Kafka does not take it now; `Retry-After` says when to send it again."},
}


def gateway_router(
    producer: Producer,
    room: Room,
    *,
    topic: str,
    telemetry: Telemetry,
    max_request_bytes: int,
    redaction: Redaction | None = None,
    timeout: float = 10.0,
) -> APIRouter:
    """The gateway as a part of any application. `timeout` in seconds."""
    router = APIRouter(tags=["ingest"])
    gateway = Gateway(Delivery(producer, room, topic, timeout), telemetry, max_request_bytes, redaction)

    @router.post(
        "/v1/traces",
        summary="Take an OTLP export request, protobuf or JSON, gzip or not",
        operation_id="exportTraces",
        openapi_extra=_OPENAPI,
        responses=_RESPONSES,
        response_class=Response,
    )
    async def export_traces(request: Request) -> Response:
        return await gateway.export(request)

    return router


def build_app(
    producer: Producer,
    room: Room,
    telemetry: Telemetry,
    clock: Clock,
    *,
    topic: str,
    max_request_bytes: int,
    redaction: Redaction | None = None,
    timeout: float = 10.0,
    ready: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """A gateway with a port of its own."""

    async def readiness() -> Response:
        return PlainTextResponse("OK") if ready() else PlainTextResponse("not connected to Kafka", 503)

    app = FastAPI(title="Spanloom gateway", version=services.__version__, license_info={"name": "Apache-2.0"})
    add_edge(app, telemetry, clock)
    router = gateway_router(
        producer,
        room,
        topic=topic,
        telemetry=telemetry,
        max_request_bytes=max_request_bytes,
        redaction=redaction,
        timeout=timeout,
    )
    app.include_router(router)
    app.include_router(monitor_router(telemetry, readiness))
    return app


class Gateway:
    """What happens to one request."""

    def __init__(
        self, delivery: Delivery, telemetry: Telemetry, max_request_bytes: int, redaction: Redaction | None
    ) -> None:
        self._delivery, self._telemetry, self._most = delivery, telemetry, max_request_bytes
        self._redaction = redaction
        self._held = 0  # bytes of bodies in memory, of all requests

    async def export(self, request: Request) -> Response:
        encoding = encoding_of(request.headers.get("content-type", ""))
        if encoding is None:
            reason = f"Content-Type must be {' or '.join(known.value for known in Encoding)}"
            return _refuse(Encoding.JSON, Refusal(415, reason))
        with self._holding() as hold:
            body = await self._read(request, hold)
            export = body if isinstance(body, Refusal) else self._parse(body, encoding, request, hold)
            if isinstance(export, Refusal):
                return _refuse(encoding, export)
            return await self._deliver(export, encoding, request.headers.get("x-project-name", "").strip())

    async def _read(self, request: Request, hold: "_Hold") -> bytes | Refusal:
        """The body, without ever holding more than may be taken."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._most:
            return self._too_large()
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._most:
                return self._too_large()
            if not hold(len(chunk)):
                return _BUSY
        return bytes(body)

    def _parse(self, body: bytes, encoding: Encoding, request: Request, hold: "_Hold") -> Export | Refusal:
        export = read_body(body, encoding, request.headers.get("content-encoding", ""), self._most)
        if isinstance(export, Export) and not hold(len(export.data)):
            return _BUSY
        return export

    async def _deliver(self, export: Export, encoding: Encoding, project: str) -> Response:
        records = to_records(export, project, self._redaction)
        total = sum(record.span_count for record in records.records)
        try:
            refused = await self._delivery.deliver(records.records)
        except TransientError as error:
            self._telemetry.count(_SPANS, "refused", by=total + records.too_large)
            return _refuse(encoding, Refusal(503, f"{error}; try again"))
        too_large = records.too_large + sum(record.span_count for record in refused)
        self._telemetry.count(_SPANS, "accepted", by=total + records.too_large - too_large)
        reason = ""
        if too_large:
            self._telemetry.count(_SPANS, "too_large", by=too_large)
            reason = f"{too_large} spans are too large: with resource and scope one may have {LARGEST} bytes"
        return Response(answers.accepted(encoding, too_large, reason), media_type=encoding.value)

    @contextmanager
    def _holding(self) -> "Iterator[_Hold]":
        """Count what one request holds for as long as it does."""
        mine = 0

        def hold(size: int) -> bool:
            nonlocal mine
            if self._held + size > _IN_HAND * self._most:
                return False
            mine += size
            self._held += size
            return True

        try:
            yield hold
        finally:
            self._held -= mine

    def _too_large(self) -> Refusal:
        return Refusal(413, f"more than {self._most} bytes")


_Hold = Callable[[int], bool]
_BUSY = Refusal(503, "too many requests at the same time; try again")


def _refuse(encoding: Encoding, refusal: Refusal) -> Response:
    headers = {"retry-after": RETRY_AFTER} if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    body = answers.refused(encoding, refusal.status, refusal.reason)
    return Response(body, refusal.status, headers=headers, media_type=encoding.value)
