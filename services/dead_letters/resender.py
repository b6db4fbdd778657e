"""Sends letters again: records and the ledger's entry about them are one Kafka transaction.

Starting fences every older run, so two at once do not send a letter twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from services.shared.errors import PermanentError, TransientError
from services.shared.kafka import LARGEST_DEAD_LETTER
from services.shared.records.dead_letters import Headers

_TIMEOUT = 60.0
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}  # noqa: SLF001 - librdkafka's own codes start with "_"


class TooLargeForTopicError(PermanentError):
    """The topic takes none of this size: raise its max.message.bytes. Nothing of the call was written."""


class _OutOfStepError(TransientError):
    """The broker expects another number of record: nothing was written, and it is put right by now."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """One record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Resender:
    """Blocks. Raises `TransientError` when no broker answers, `PermanentError` when another run has taken over."""

    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        self._faults: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 60_000,
                "message.max.bytes": LARGEST_DEAD_LETTER + (1 << 20),
                "batch.size": 512 << 10,  # under the 1 MB that a broker takes by default; a larger record goes alone
                "linger.ms": 5,
                "compression.type": "lz4",
                "queue.buffering.max.kbytes": 128 << 10,
                "log_level": 2,
            }
        )

    def __enter__(self) -> Self:
        self._call("taking over from older runs", self._producer.init_transactions, _TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._producer.purge()
        self._producer.flush(0)

    def send(self, shipments: Sequence[Shipment]) -> None:
        """All of them, or none. Raises `TooLargeForTopicError` when one of them is; the resender goes on then."""
        try:
            self._attempt(shipments)
        except _OutOfStepError:
            # librdkafka counts what the broker refused; the abort of this attempt has put that right.
            self._attempt(shipments)

    def _attempt(self, shipments: Sequence[Shipment]) -> None:
        self._faults.clear()
        self._call("beginning a transaction", self._producer.begin_transaction)
        try:
            for each in shipments:
                self._producer.produce(
                    each.topic,
                    each.value,
                    each.key,
                    each.partition,
                    on_delivery=self._hear,
                    headers=list(each.headers),
                )
                self._producer.poll(0)
            self._producer.commit_transaction(_TIMEOUT)
        except KafkaException as error:
            self._give_up(error)

    def _give_up(self, error: KafkaException) -> None:
        fault: KafkaError = error.args[0]
        if fault.code() in _FENCED:
            raise PermanentError("another replay has started and taken over: this one ends") from error
        self._call("aborting a transaction", self._producer.abort_transaction, _TIMEOUT)
        for each in (fault, *self._faults):
            if each.code() in _TOO_LARGE:
                raise TooLargeForTopicError(each.str()) from error
        if fault.code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER:
            raise _OutOfStepError(f"sending letters: {fault.str()}") from error
        raise TransientError(f"sending letters: {(self._faults or [fault])[0].str()}") from error

    def _hear(self, error: KafkaError | None, message: Message) -> None:
        del message
        # What an abort purges is a consequence of the fault, not the fault.
        if error is not None and error.code() != KafkaError._PURGE_QUEUE:  # noqa: SLF001 - as above
            self._faults.append(error)

    def _call(self, doing: str, function: object, *arguments: float) -> None:
        assert callable(function)
        try:
            function(*arguments)
        except KafkaException as error:
            fault: KafkaError = error.args[0]
            if fault.code() in _FENCED:
                raise PermanentError("another replay has started and taken over: this one ends") from error
            raise TransientError(f"{doing}: {fault.str()}") from error
