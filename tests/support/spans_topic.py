"""The spans topic in memory: what the gateway writes, and a broker that can be slow, down or picky."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.errors import PermanentError, TransientError
from services.shared.otlp.decode import DeadLetter, decode_request


class FakeProducer:
    """`is_down`: every send fails. `largest`: longer values are refused for good. `hold()`: sends wait.

    `after_send` runs when a record was written.
    """

    def __init__(self, partitions: int = 4) -> None:
        self.written: defaultdict[int, list[bytes]] = defaultdict(list)
        self.is_down = False
        self.largest = 1 << 30
        self.after_send: Callable[[], None] = lambda: None
        self._partitions = partitions
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def partitions(self) -> int:
        return self._partitions

    async def send(self, partition: int, value: bytes) -> int:
        await self._open.wait()
        if self.is_down:
            raise TransientError("writing to otlp_spans: nobody there")
        if len(value) > self.largest:
            raise PermanentError("writing to otlp_spans: record too large")
        self.written[partition].append(value)
        self.after_send()
        return len(self.written[partition]) - 1

    @property
    def values(self) -> list[bytes]:
        return [value for partition in sorted(self.written) for value in self.written[partition]]

    @property
    def requests(self) -> list[TracesData]:
        """Every record, decoded as `route` decodes it."""
        decoded = [decode_request(value) for value in self.values]
        assert not [d for d in decoded if isinstance(d, DeadLetter)]
        return [d for d in decoded if isinstance(d, TracesData)]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]
