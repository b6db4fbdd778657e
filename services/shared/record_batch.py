"""Batches of records as Kafka's producers send them and its log keeps them: format 2, compressed by lz4.

In place of aiokafka's builder, which compresses at lz4's level 9 and calls Python for each record: an eighth of its CPU
(services/sessionizer/decisions/0014-cheap-checkpoints.md). `_record_batch.pyx` writes bodies faster; `_body` is the
definition, and takes over where it declines.
"""

import struct
from collections.abc import Iterator, Sequence

import cramjam
from aiokafka.record.util import calc_crc32c

try:
    from services.shared._record_batch import body as _compiled_body
except ImportError:  # not built, or switched off
    _compiled_body = None  # type: ignore[assignment]  # the stub tells what it is where it is built

Headers = Sequence[tuple[str, bytes]]
Record = tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers]
"""Key, value and, if it has any, headers."""

ROOM = 2
"""How many times its limit a batch may take before it is compressed: fewer requests, less for readers to unpack."""

_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_AT, _CRC_FROM, _LENGTH_FROM = 17, 21, 12
_CRC = struct.Struct(">I")
_FORMAT, _NO_EPOCH, _LZ4, _TRANSACTIONAL = 2, -1, 3, 0x10
_NONE = b"\x01"  # the length -1

# lz4 frames without checksums, blocks independent: what brokers in Java read. The last byte checks the two before.
_FRAMES = (
    (64 << 10, bytes.fromhex("04224d18604082")),
    (256 << 10, bytes.fromhex("04224d186050fb")),
    (1 << 20, bytes.fromhex("04224d18606051")),
    (4 << 20, bytes.fromhex("04224d18607073")),
)
_LARGEST_BLOCK = _FRAMES[-1][0]
_BLOCK = struct.Struct("<I")
_STORED = 1 << 31  # of a block's length: the block is not compressed
_FRAME_END = bytes(_BLOCK.size)
_LAST_SEVEN, _MORE = 0x7F, 0x80  # bits of a byte of a varint

# Of one call; kept, since fresh memory is slow. Only the event loop's thread makes batches.
_scratch = bytearray(cramjam.lz4.compress_block_bound(bytes(_LARGEST_BLOCK)))


class RecordBatch:
    """A closed batch, as `AIOKafkaProducer.send_batch` takes one (`BatchBuilder`)."""

    def __init__(self, count: int, attributes: int, timestamp: int, payload: bytes) -> None:
        self._count, self._attributes, self._timestamp, self._payload = count, attributes, timestamp, payload
        self._size = _HEADER.size + len(payload)
        self._producer = (-1, -1, 0)
        self._built: bytes | None = None

    def record_count(self) -> int:
        return self._count

    def closed(self) -> bool:
        return True

    def close(self) -> None:
        """It is."""

    def append(self, **_: object) -> None:
        """It takes no more: None says so."""

    def size(self) -> int:
        return self._size

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes:
        """The bytes to send, the same ones at every attempt."""
        if self._built is None:
            head = bytearray(
                _HEADER.pack(
                    *(0, self._size - _LENGTH_FROM, _NO_EPOCH, _FORMAT, 0, self._attributes, self._count - 1),
                    *(self._timestamp, self._timestamp, *self._producer, self._count),
                )
            )
            checked = head[_CRC_FROM:] + self._payload
            _CRC.pack_into(head, _CRC_AT, calc_crc32c(checked))
            self._built = bytes(head[:_CRC_FROM] + checked)
            self._payload = b""
        return self._built


def batches(
    records: Sequence[Record], timestamp: int, limit: int, *, transactional: bool = True
) -> Iterator[RecordBatch]:
    """All records in order, in batches of at most `limit` bytes; a record that is larger goes alone.

    `timestamp` (ms) is that of every record; `transactional` is what their producer is. Each batch is made when it is
    asked for.
    """
    start, room = 0, ROOM * limit
    while start < len(records):
        body, count = _encode(records, start, room)
        attributes, payload = _compressed(body)
        if len(payload) > limit and count > 1:
            room //= 2
            continue
        yield RecordBatch(count, attributes | (_TRANSACTIONAL if transactional else 0), timestamp, payload)
        start += count


def _encode(records: Sequence[Record], start: int, room: int) -> tuple[bytes, int]:
    """Records from `start` on as the body of a batch, and how many: as many as fit into the room, at least one."""
    found = None if _compiled_body is None else _compiled_body(records, start, room)
    return found or _body(records, start, room)


def _body(records: Sequence[Record], start: int, room: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    for number in range(len(records) - start):
        part = _record(number, *records[start + number])
        room -= len(part)
        if room < 0 and parts:
            break
        parts.append(part)
    return b"".join(parts), len(parts)


def _record(number: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> bytes:
    """The `number`th of a batch whose records have one timestamp."""
    parts = [b"\x00\x00", _varint(number), _sized(key), _sized(value), _varint(len(headers))]
    for name, text in headers:
        parts += [_sized(name.encode()), _sized(text)]
    content = b"".join(parts)
    return _varint(len(content)) + content


def _sized(data: bytes | None) -> bytes:
    return _NONE if data is None else _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Of numbers that are not negative, which zigzag doubles."""
    number <<= 1
    written = bytearray()
    while number > _LAST_SEVEN:
        written.append(number & _LAST_SEVEN | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


def _compressed(body: bytes) -> tuple[int, bytes]:
    """Which compression it is, and the result; none where that is smaller."""
    largest, head = next((frame for frame in _FRAMES if len(body) <= frame[0]), _FRAMES[-1])
    parts = [head]
    for start in range(0, len(body), largest):
        block = memoryview(body)[start : start + largest]
        size = cramjam.lz4.compress_block_into(block, _scratch, store_size=False)
        is_smaller = size < len(block)
        parts.append(_BLOCK.pack(size if is_smaller else len(block) | _STORED))
        parts.append(bytes(memoryview(_scratch)[:size]) if is_smaller else bytes(block))
    parts.append(_FRAME_END)
    payload = b"".join(parts)
    return (_LZ4, payload) if len(payload) < len(body) else (0, body)
