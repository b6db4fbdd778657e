"""Where records go that a sink cannot store, as privacy wants it."""

from collections.abc import Mapping

from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.redaction import Redaction
from services.shared.records.source_record import SourceRecord
from services.sink.sink import DeadLetters


class NoDeadLetters:
    """An installation that keeps none: they are counted, and gone."""

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        """Forget it."""

    async def stop(self) -> None:
        """Nothing is connected."""


class RedactedLetters:
    """Export requests that ClickHouse refused, without what the policy leaves out of them.

    They can be decoded, so that the exception for dead letters is not for them. To store them
    again gives the rows that they would have given: redaction of what is redacted changes nothing.
    """

    def __init__(self, letters: DeadLetters, redaction: Redaction) -> None:
        self._letters, self._redaction = letters, redaction

    async def put(self, record: SourceRecord, headers: Mapping[str, str]) -> None:
        """See `DeadLetters`."""
        request = decode_request(record.value or b"")
        if isinstance(request, DeadLetter):
            return  # never: what cannot be decoded has no rows that could be refused
        self._redaction.apply(request)
        await self._letters.put(record._replace(value=request.SerializeToString()), headers)

    async def stop(self) -> None:
        """See `DeadLetters`."""
        await self._letters.stop()
