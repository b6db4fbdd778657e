"""Valid bytes made invalid, in the ways that break parsers: fast, and the same for the same random source."""

import gzip
from collections.abc import Callable, Sequence
from random import Random

Mutation = Callable[[bytearray, Random, Sequence[bytes]], bytearray]

_LENGTHS = (
    b"\xff\xff\xff\xff\x0f",  # protobuf: 4 GB
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 2**64 - 1, a negative length
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # a number longer than any
    b"\x80",
    b"\xdd\xff\xff\xff\xff",  # msgpack: an array, a map, bytes, text and an extension of 4 GB
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xdc\xff\xff",
)
_TOKENS = (
    *(b"null", b"true", b"-0", b"1e999", b"-1", b"18446744073709551616", b'""', b"[]", b"{}", b"[[]]", b'"\\ud800"'),
    *(b'"NaN"', b'"\\u0000"', b"9" * 400, b'{"resourceSpans":[]}', b'"AAAA"', b"0.5", b'"' + b"f" * 32 + b'"'),
)
_NESTS = (b"[", b'{"a":', b'{"arrayValue":{"values":[', b'{"kvlistValue":{"values":[{"value":', b"\x91", b"\x81\x01")
_DEPTHS = (20, 99, 101, 300, 1_100, 5_000)
_BOMB = gzip.compress(bytes(40 << 20), 9, mtime=0)


def mutated(value: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """One to four mutations of `value`; `others` are spliced in."""
    data = bytearray(value)
    for _ in range(random.choice((1, 1, 1, 1, 1, 1, 2, 4))):
        data = random.choices(_MUTATIONS, _WEIGHTS)[0](data, random, others)
    return bytes(data)


def _flip(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    for _ in range(random.choice((1, 1, 2, 8))):
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def _set(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    if data:
        data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xC0, 0xC1, 0xFE, 0xFF, 0x0A, 0x12))
    return data


def _truncate(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    return data[: random.randrange(len(data) + 1)]


def _cut(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    start = random.randrange(len(data) + 1)
    del data[start : start + random.choice((1, 2, 4, 16, 200))]
    return data


def _insert(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))
    return data


def _repeat(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    start = random.randrange(len(data) + 1)
    part = bytes(data[start : start + random.choice((1, 8, 64))])
    data[start:start] = part * random.choice((1, 2, 50))
    return data


def _splice(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    other = random.choice(others)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _length(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    at = random.randrange(len(data) + 1)
    data[at : at + random.randrange(2)] = random.choice(_LENGTHS)
    return data


def _token(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    """Another JSON value where one is, or anywhere."""
    start = max(data.find(b":", random.randrange(len(data) + 1)), 0)
    end = min((found for mark in b",}]" if (found := data.find(mark, start + 1)) > 0), default=start)
    data[start + 1 : end] = random.choice(_TOKENS)
    return data


def _nest(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    at = random.randrange(len(data) + 1)
    depth = random.choices(_DEPTHS, (20, 10, 10, 5, 2, 1))[0]
    if random.random() < 0.5:
        data[at:at] = random.choice(_NESTS) * depth
        return data
    for _ in range(min(depth, 300)):  # a message in a message: each length has to be right
        size = len(data)
        if size >= 1 << 14:
            break
        head = b"\x0a" + (bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7)))
        data = bytearray(head) + data
    return data


def _pack(data: bytearray, random: Random, others: Sequence[bytes]) -> bytearray:
    if random.random() < 0.001:
        return bytearray(_BOMB)
    packed = bytearray(gzip.compress(bytes(data), 1, mtime=0))
    return _flip(packed, random, others) if random.random() < 0.5 else packed


_CHOICES: Sequence[tuple[Mutation, int]] = (
    (_flip, 30),
    (_set, 15),
    (_truncate, 8),
    (_cut, 10),
    (_insert, 10),
    (_repeat, 5),
    (_splice, 8),
    (_length, 10),
    (_token, 8),
    (_nest, 2),
    (_pack, 2),
)
_MUTATIONS, _WEIGHTS = zip(*_CHOICES, strict=True)
