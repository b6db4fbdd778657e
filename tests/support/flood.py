"""Senders of OTLP/HTTP that go as fast as the gateway answers, and send again what it refuses with 503."""

import asyncio
import gzip
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

_OK, _UNAVAILABLE = 200, 503
_LONGEST_PAUSE = 1.0  # seconds; senders wait at most this long, whatever Retry-After says, to press hard


@dataclass(slots=True)
class FloodResult:
    accepted: int = 0
    refused: int = 0


async def flood(url: str, bodies: Sequence[bytes], *, senders: int) -> FloodResult:
    """POST every body until it is accepted. Fails for any answer but 200 and 503, and for a 503 without Retry-After."""
    result = FloodResult()
    waiting = list(reversed(bodies))

    async def send(client: httpx.AsyncClient) -> None:
        while waiting:
            body = waiting.pop()
            while not await _is_accepted(client, body, result):
                pass

    limits = httpx.Limits(max_connections=senders)
    async with (
        httpx.AsyncClient(base_url=url, timeout=60.0, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(senders):
            tasks.create_task(send(client))
    return result


async def _is_accepted(client: httpx.AsyncClient, body: bytes, result: FloodResult) -> bool:
    answer = await client.post("/v1/traces", content=body, headers=headers_of(body))
    if answer.status_code == _OK:
        result.accepted += 1
        return True
    assert answer.status_code == _UNAVAILABLE, answer.text
    result.refused += 1
    pause = min(float(answer.headers["retry-after"]), _LONGEST_PAUSE)
    with suppress(TimeoutError):  # what the protocol asks of a client, not a wait for a fact
        async with asyncio.timeout(pause):
            await asyncio.Event().wait()
    return False


def headers_of(body: bytes) -> dict[str, str]:
    """What a sender of these bytes says about them."""
    packed = body[:2] == b"\x1f\x8b"
    is_json = (gzip.decompress(body) if packed else body)[:1] == b"{"
    said = {"content-type": "application/json" if is_json else "application/x-protobuf"}
    return said | ({"content-encoding": "gzip"} if packed else {})
