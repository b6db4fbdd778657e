"""msgpack with integers of any size."""

import msgpack
import pytest

from services.shared.model.session_key import SessionKey
from services.shared.records import packed
from services.shared.records.session_spans import SpanGroup, SpansRecord, decode, encode_spans
from tests.support.spans import T0, call, facts


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**21, -(10**40)),
        *("text", "\x00", b"\xff", None, True, 1.5, (), (1, (2, b"3")), {1: 2, "a": (3,), b"k": None}),
    ],
)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    found = packed.unpack(packed.pack(value))
    assert (found, type(found)) == (value, type(value))


def test_what_is_no_plain_value_is_refused() -> None:
    with pytest.raises(TypeError, match="no plain value"):
        packed.pack([object()])


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x93\x01", b"\x01\x01", msgpack.packb(msgpack.ExtType(9, b"1")), b"\xa1\xff"]
)
def test_bytes_that_pack_does_not_write_are_refused(data: bytes) -> None:
    with pytest.raises(packed.UnpackError):
        packed.unpack(data)


def test_a_cost_of_a_billion_dollars_passes_between_the_stages() -> None:
    cost = 10**21 - 1
    span = facts(1, 1, T0, T0, call=call("gpt", 10**12, 5, prompt_cost=cost, completion_cost=cost, total_cost=2 * cost))
    record = SpansRecord((SpanGroup(SessionKey("shop", "s"), T0, (span,)),))
    assert decode(encode_spans(record.groups)) == record
